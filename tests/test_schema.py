"""What records may hold: each kind of value that a stranger could write in the place of ours is refused in a line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from test_artifact import RECORD, SPEC, refusal, written
from test_run_folder import SETTINGS

from condensery import BadFile, schema
from condensery.artifact import write_tensors
from condensery.data.options import Options
from condensery.run_folder import RunFolder, RunSettings

HUGE = 10**400


def misfit(found: object, form: schema.Form) -> str:
    with pytest.raises(schema.Misfit) as caught:
        schema.check(found, form, "record")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    return str(caught.value)


@pytest.mark.parametrize("value", [True, 1.0, -1, 2**63, "1", None, float("nan"), [1], HUGE], ids=repr)
def test_whole_numbers(value: Any) -> None:
    misfit(value, schema.whole(0))


@pytest.mark.parametrize(
    "value", [True, "1", None, float("nan"), float("inf"), -float("inf"), -0.1, 1.1, HUGE], ids=repr
)
def test_numbers(value: Any) -> None:
    misfit(value, schema.FRACTION)
    schema.check(0.5, schema.FRACTION, "record")


@pytest.mark.parametrize("found", ["\ud800", {"\udfff": 1}, {"a": ["\ud800"]}, {"a": {"b": HUGE}}], ids=repr)
def test_what_cannot_be_written_is_refused_anywhere(found: Any) -> None:
    misfit(found if isinstance(found, dict) else {"x": found}, schema.Fields())


def test_a_path_that_is_not_utf_8_is_one() -> None:
    """Python reads the byte E9 of such a name as U+DCE9."""
    schema.check({**asdict(SETTINGS), "source": "/caf\udce9"}, schema.SETTINGS, "settings")
    schema.check({**SPEC.to_json(), "class_names": ["caf\udce9", "b"]}, schema.SPEC, "spec")
    assert "not a text" in misfit({**asdict(SETTINGS), "method": "caf\udce9"}, schema.SETTINGS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ipc": -1}, "ipc in its record is -1, not a whole number of at least 1"),
        ({"ipc": True}, "ipc"),
        ({"step": 1.5}, "step in its record is 1.5"),
        ({"steps": -1}, "steps"),
        ({"seconds": float("nan")}, "seconds in its record is nan, not a finite number"),
        ({"seconds": float("inf")}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"loss": HUGE}, "a number of 1329 bits"),
        ({"time": "\ud800"}, "no Unicode"),
        ({"note": {"deep": ["\ud800"]}}, "no Unicode"),
        ({"accuracies": [{"mean": float("nan")}]}, "mean in its accuracies"),
        ({"accuracies": [{"mean": 85.0}]}, "not a finite number from 0 to 1"),
        ({"accuracies": [{"n": 0}]}, "n in its accuracies"),
        ({"indices": [-1]}, "one of indices in its record is -1"),
        ({"data": {"options": {"progress": True}}}, "unknown option 'progress'"),
    ],
)
def test_records_of_sets(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in refusal(written(tmp_path / "x.safetensors", record={**RECORD, **change}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_names": "cdö"}, "class_names in its spec is 'cdö', not a list"),
        ({"class_names": ["a", 2, "c"]}, "one of class_names"),
        ({"class_names": ["a", "\ud800", "c"]}, "no Unicode"),
        ({"height": 8.0}, "height"),
        ({"flip": 0}, "flip in its spec is 0, not true or false"),
        ({"mean": [HUGE, 0, 0]}, "bits"),
    ],
)
def test_specs_of_sets(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in refusal(written(tmp_path / "x.safetensors", spec={**SPEC.to_json(), **change}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ipc": -1}, "ipc in its settings is -1"),
        ({"steps": 0}, "steps"),
        ({"seed": 1.0}, "seed"),
        ({"options": {"cache_dir": "/elsewhere"}}, "unknown option 'cache_dir'"),
        ({"options": {"size": True}}, "size in its options"),
        ({"options": {"value_range": [0, float("nan")]}}, "value_range"),
        ({"fields": {"image_lr": HUGE}}, "bits"),
        ({"out": "/elsewhere"}, "unknown setting 'out'"),
    ],
)
def test_settings_of_runs(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    (tmp_path / "run/run.json").write_text(json.dumps({**asdict(SETTINGS), **change}))
    with pytest.raises(BadFile, match=r"run\.json is damaged: ") as caught:
        folder.settings()
    assert words in str(caught.value) and "start a new run" in str(caught.value)


def test_settings_of_version_0_1(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    (tmp_path / "run/run.json").write_text(json.dumps({**asdict(SETTINGS), "shard": []}))
    assert folder.settings() == SETTINGS


@pytest.mark.parametrize(
    "change",
    [
        *({"step": value} for value in (-1, 1.5, True, "1", None, HUGE)),
        *({"loss": [value]} for value in (True, "1", None, float("nan"), HUGE)),
        *({"seconds": value} for value in (True, "1", None, -1, float("inf"), HUGE)),
        {"accuracy": [{"step": -1}]},
        {"accuracy": 3},
        {"evil": 3},
    ],
    ids=lambda change: f"{change!r:.30}",
)
def test_checkpoints(change: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    curve = {"loss": [0.5], "accuracy": [], "seconds": 1.0}
    curve |= {name: value for name, value in change.items() if name != "step"}
    write_tensors(
        tmp_path / "run/checkpoint.safetensors", {}, {"step": change.get("step", 1), "curve": curve}
    )
    with pytest.raises(BadFile, match=r"checkpoint\.safetensors is damaged: .*start a new run"):
        folder.load()


def test_every_setting_has_a_form() -> None:
    assert set(schema.SETTINGS.forms) == {name for name in RunSettings.__dataclass_fields__}


def test_every_option_of_loading_has_a_form() -> None:
    assert set(schema.OPTIONS.forms) == {*Options.__dataclass_fields__, "classes"}
