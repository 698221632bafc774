"""The command that makes a set again, and records that do not say enough for one."""

from __future__ import annotations

from pathlib import Path

import pytest

import condensery
from condensery.commands import run_command

NETWORK = "convnet+width=8+depth=2"


@pytest.fixture(scope="module")
def record(tiny_file: Path) -> dict[str, object]:
    return condensery.condense(
        tiny_file, "dm", steps=2, real_batch=7, network=NETWORK, seed=3, device="cpu"
    ).record


def test_every_setting_that_was_chosen_is_in_it(record, tiny_file: Path) -> None:
    command = run_command(record)
    assert command.startswith(f"condense run --data {tiny_file} --method dm --ipc 1 --steps 2 ")
    assert "--real-batch 7" in command and f"--network {NETWORK}" in command and "--seed 3" in command


@pytest.mark.parametrize("missing", ["method", "ipc", "step", "network", "seed", "fields", "data"])
def test_a_record_that_says_too_little_has_none(record, missing: str) -> None:
    assert run_command({key: value for key, value in record.items() if key != missing}) == ""
    assert run_command({**record, "data": {}}) == ""


def test_counts_and_the_set_to_start_from_are_in_it(record) -> None:
    start = {"set": "/runs/a set/set.safetensors", "sha256": "0"}
    fields = {**record["fields"], "init": "set"}
    command = run_command({**record, "ipc": [5, 2, 1], "start": start, "fields": fields})
    assert "--ipc 5,2,1 " in command and "--init '/runs/a set/set.safetensors'" in command
    assert run_command({**record, "start": {**start, "set": ""}, "fields": fields}) == ""
