"""A whole selection: record, file, estimate, progress, refusals."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import condensery
from condensery import BadFile, BadInput, ImageData, Rng, SelectionReport, SyntheticSet, artifact, select
from condensery.commands import run_command
from condensery.coresets import get_selector, random_selection
from condensery.data import ClassPool

NETWORK = "convnet+width=8+depth=1"


def herding(data: Any, **options: Any) -> SyntheticSet:
    return select(data, "herding", **{"network": NETWORK, "device": "cpu", "epochs": 1, "ipc": 2, **options})


def test_result_and_record(tiny_file: Path, tiny: ImageData) -> None:
    result = herding(tiny_file, seed=5)
    record = json.loads(json.dumps(result.record))
    assert result.spec == tiny.spec and result.images.shape == (6, 1, 8, 8)
    assert record["fields"] == {"weights": "trained", "epochs": 1}
    assert (record["method"], record["ipc"], record["network"], record["seed"]) == ("herding", 2, NETWORK, 5)
    expected = {"source": str(tiny_file), "options": {}, "fingerprint": tiny.fingerprint}
    prints = dict(zip(("train", "test"), tiny.found.prints, strict=True))
    assert record["data"] == {**expected, "prints": prints}
    assert {"seconds", "time", "hardware", "versions", "commit", "accuracies"} <= set(record)
    pool = ClassPool(tiny.train, tiny.spec, torch.device("cpu"))
    assert torch.equal(result.images, pool.images_at(np.array(record["indices"])))


def test_saved_and_loaded_it_is_the_same(tiny: ImageData, tmp_path: Path) -> None:
    result = herding(tiny, out=tmp_path / "set")
    loaded = condensery.load(tmp_path / "set")
    assert torch.equal(loaded.images, result.images) and torch.equal(loaded.labels, result.labels)
    assert loaded.record == result.record and loaded.spec == result.spec
    assert (tmp_path / "set" / "set.png").stat().st_size > 0


@pytest.mark.parametrize("indices", [3, [1, "2"], [1.5], [-1], [True]])
def test_indices_of_another_type_are_refused(indices: Any, tiny: ImageData, tmp_path: Path) -> None:
    result = herding(tiny)
    result.record["indices"] = indices
    artifact.save(result, tmp_path / "set.safetensors")
    with pytest.raises(BadFile, match=r"is damaged: .*indices"):
        condensery.load(tmp_path / "set.safetensors")


def test_random_is_the_selection_that_evaluations_draw(tiny: ImageData) -> None:
    pool = ClassPool(tiny.train, tiny.spec, torch.device("cpu"))
    ours = select(tiny, "random", ipc=3, seed=7, device="cpu")
    theirs = random_selection(pool, 3, Rng(7).fork("select"))
    assert torch.equal(ours.images, theirs.images) and ours.record["indices"] == theirs.record["indices"]
    assert theirs.record == {"method": "random", "ipc": 3, "indices": theirs.record["indices"]}


def test_random_selection_draws_what_it_always_drew(digits: ImageData) -> None:
    """Published baselines depend on these numbers."""
    pool = ClassPool(digits.train, digits.spec, torch.device("cpu"))
    drawn = random_selection(pool, 2, Rng(0).fork("random selection", 0)).record["indices"]
    expected = [
        Rng(0)
        .fork("random selection", 0)
        .fork(c)
        .numpy()
        .permutation(np.flatnonzero(digits.train.labels == c))[:2]
        for c in range(10)
    ]
    assert drawn == np.concatenate(expected).tolist()


def test_a_selector_that_is_configured(tiny: ImageData) -> None:
    by_name = herding(tiny)
    selector = get_selector("herding", epochs=1)
    assert (
        select(tiny, selector, ipc=2, network=NETWORK, device="cpu").record["indices"]
        == by_name.record["indices"]
    )
    with pytest.raises(BadInput, match="set epochs on the selector itself"):
        select(tiny, selector, epochs=2)


def test_options_of_the_data_are_kept(tiny_file: Path) -> None:
    result = select(tiny_file, "random", device="cpu", channels=3, data_options={"test_fraction": None})
    assert result.record["data"]["options"] == {"channels": 3} and result.spec.channels == 3
    command = run_command(result.record)
    assert command == f"condense select --data {tiny_file} --method random --ipc 1 --channels 3"


def test_callback_hears_all_the_work(tiny: ImageData, fresh_cache: Path) -> None:
    heard: list[SelectionReport] = []
    herding(tiny, callback=heard.append)
    assert [r.stage for r in heard] == ["training"] + ["features"] * 3
    assert heard[-1].done == pytest.approx(heard[-1].total) == pytest.approx(36 + 12)
    assert all(a.done < b.done and a.seconds <= b.seconds for a, b in pairwise(heard))


def test_estimate_is_announced_where_it_is_worth_it(digits: ImageData) -> None:
    lines: list[str] = []
    herding(digits, announce=lines.append, epochs=1)
    assert lines[0].startswith("features of one network")
    assert [line for line in lines if line.startswith("about ") and line.endswith(" on cpu")]
    lines.clear()
    select(digits, "random", announce=lines.append)
    assert lines == []


def test_estimate_changes_no_bit(digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    with_estimate = herding(digits)
    monkeypatch.setattr("condensery.selection._WORTH_ESTIMATING", 10**9)
    assert herding(digits).record["indices"] == with_estimate.record["indices"]


def test_more_than_a_class_has(tiny: ImageData) -> None:
    lines: list[str] = []
    chosen = select(tiny, "random", ipc="0=2,1=13,2=12", announce=lines.append)
    assert chosen.counts == (2, 12, 12) and chosen.record["ipc"] == [2, 12, 12]
    assert "fewer training images than asked for, all are taken: 1 12 of 13" in lines
