"""The code of docs/file-format.md, run on a file with labels of views as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import condensery
from condensery import ImageData, LabelSettings, Rng, TeacherSettings, ViewSampling
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.views import Views

pytestmark = pytest.mark.usefixtures("fresh_cache")
PAGE = (Path(__file__).parents[1] / "docs" / "file-format.md").read_text(encoding="utf-8")
READING, PLAIN, ALONE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(params=[False, True], ids=["floats", "pixels"])
def labelled(
    request: pytest.FixtureRequest, digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> condensery.SyntheticSet:
    """A set with 4 views of each image, mirrored ones too, in a folder of the current one."""
    monkeypatch.chdir(tmp_path)
    chosen = random_selection(ClassPool(digits.train, digits.spec, torch.device("cpu")), 3, Rng(0))
    teacher = TeacherSettings("convnet+width=8+depth=2+norm=batch", epochs=4)
    condensery.label(
        chosen,
        digits,
        settings=LabelSettings(ViewSampling(4)),
        teacher=teacher,
        pixels=request.param,
        device="cpu",
        out="labelled",
    )
    return condensery.load("labelled")


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "docs/file-format.md", "exec"), names)
    return names


def test_the_plain_loop_learns(labelled: condensery.SyntheticSet, digits: ImageData) -> None:
    with Rng(0).seeded():
        names = run(PLAIN.replace("range(10)", "range(300)"))
    assert names["views"].shape[1:] == labelled.images.shape[1:]
    right = names["network"](labelled.images).argmax(1) == labelled.labels
    assert float(right.float().mean()) > 0.7
    assert len(PLAIN.splitlines()) <= 18


def test_the_code_without_condensery_makes_the_same_views(labelled: condensery.SyntheticSet) -> None:
    names = run(ALONE)
    assert "condensery" not in names and "import condensery" not in ALONE
    assert isinstance(labelled.targets, Views)
    every = torch.arange(len(labelled))
    for v in range(4):
        views, probabilities = names["view"](v)
        torch.testing.assert_close(views, labelled.targets.of(labelled.images, every, v), rtol=0, atol=1e-6)
        torch.testing.assert_close(probabilities, labelled.targets.probabilities(every, v), rtol=0, atol=1e-7)


def test_reading_a_plain_set(digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = random_selection(ClassPool(digits.train, digits.spec, torch.device("cpu")), 2, Rng(0))
    condensery.save(chosen, "set.safetensors")
    names = run(READING)
    assert torch.equal(names["images"], chosen.images) and len(names["dataset"]) == 20
