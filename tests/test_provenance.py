"""Where a number came from."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import torch

from condensery import BadInput
from condensery.provenance import environment, pick_device
from condensery.text import count

ROOT = Path(__file__).parents[1]


def test_environment_is_json_and_complete() -> None:
    facts = json.loads(json.dumps(environment(torch.device("cpu"))))
    assert set(facts) == {"time", "hardware", "versions", "commit"}
    assert time.strptime(facts["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert f"{count(torch.get_num_threads(), 'thread')} of " in facts["hardware"]
    assert set(facts["versions"]) == {"condensery", "torch", "python"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_commit_of_a_checkout() -> None:
    commit = environment(torch.device("cpu"))["commit"]
    assert commit
    kind = ["git", "cat-file", "-t", commit.rstrip("+")]
    assert subprocess.run(kind, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "commit\n"


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "", "gpu", "meta", "cuda:x", "cpu:-1x"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(BadInput, match=r"unknown device .*: choose auto, cpu or cuda"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu() -> None:
    for name in ("cuda", "cuda:1"):
        with pytest.raises(BadInput, match=f"--device {name} was asked for, but this machine has no usable"):
            pick_device(name)
