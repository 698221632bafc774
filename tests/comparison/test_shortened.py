"""A comparison within minutes: ordinary settings, kept, so that the same command goes on without a clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from condensery import PROTOCOLS, BadInput, compare
from condensery.comparison import shortened
from condensery.minutes import fitting

JUDGE = replace(PROTOCOLS["quick"], name="judge", epochs=4, plain_epochs=4, repeats=2)
NETWORK = {"condense_with": ["convnet+width=4+depth=1"], "device": "cpu", "protocol": JUDGE}


def test_settings_are_chosen_once_and_kept(tiny_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fitting, "_rounded", lambda steps: 3)
    short = (JUDGE.with_epochs(1), 1, "; cut to fit: 1 epoch")
    monkeypatch.setattr(shortened, "judged_within", lambda *_: short)
    heard: list[str] = []
    run = {"out": tmp_path / "out", "announce": heard.append, **NETWORK}
    first = compare(tiny_file, ["dm", "random"], minutes=600, settings={"dm.image_lr": 0.5}, **run)
    plan = json.loads((tmp_path / "out" / "comparison.json").read_text())["plan"]
    dm = next(one for one in plan["contenders"] if one["method"] == "dm")
    assert (dm["steps"], dm["fields"]["real_batch"], dm["fields"]["image_lr"]) == (3, 64, 0.5)
    assert (plan["protocol"]["name"], plan["repeats"]) == ("judge+epochs=1", 1)
    assert "judging; cut to fit: 1 epoch" in heard and any(line.startswith("dm: ") for line in heard)
    monkeypatch.setattr(shortened, "made_within", None)
    monkeypatch.setattr(shortened, "judged_within", None)
    again = compare(tiny_file, ["dm", "random"], minutes=9, settings={"dm.image_lr": 0.5}, **run)
    assert first.complete and again.complete
    assert [m.mean for m in first.measurements] == [m.mean for m in again.measurements]
    assert len(list((tmp_path / "out" / "sets").iterdir())) == 2, "nothing was made anew"


def test_minutes_beside_steps_are_refused(tiny_file: Path, tmp_path: Path) -> None:
    for other, flag in (({"steps": 3}, "--steps"), ({"scale": 0.1}, "--scale")):
        with pytest.raises(BadInput, match=f"{flag} and --minutes 1 both say how long"):
            compare(tiny_file, ["dm"], out=tmp_path / "out", minutes=1, **other)
    with pytest.raises(BadInput, match="--minutes must be a positive number, not 0"):
        compare(tiny_file, ["dm"], out=tmp_path / "out", minutes=0)
