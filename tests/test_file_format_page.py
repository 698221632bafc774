"""The code of docs/file-format.md and its example, and the loop of docs/use.md, run on a file with labels of views."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import read_labels_of_views
import torch

import condensery
from condensery import ImageData, LabelSettings, Rng, TeacherSettings, ViewSampling
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.views import Views

pytestmark = pytest.mark.usefixtures("fresh_cache")
PAGE = (Path(__file__).parents[1] / "docs" / "file-format.md").read_text(encoding="utf-8")
(READING,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
USE = (Path(__file__).parents[1] / "docs" / "use.md").read_text(encoding="utf-8")
PLAIN = re.findall(r"^```python\n(.*?)^```", USE, re.MULTILINE | re.DOTALL)[-1]


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


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, "docs/file-format.md", "exec"), names)
    return names


def test_the_plain_loop_learns(labelled: condensery.SyntheticSet, digits: ImageData) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
    network(labelled.images)  # gives the lazy layer its size
    loop = PLAIN.replace("range(30)", "range(60)").replace("runs/digits-views2", "labelled")
    with Rng(0).seeded():
        names = run(loop, condensery=condensery, torch=torch, network=network)
    assert names["views"].shape[1:] == labelled.images.shape[1:]
    right = network(labelled.images).argmax(1) == labelled.labels
    assert float(right.float().mean()) > 0.7
    assert len(PLAIN.splitlines()) <= 18


def test_the_code_without_condensery_makes_the_same_views(labelled: condensery.SyntheticSet) -> None:
    source = Path(read_labels_of_views.__file__).read_text(encoding="utf-8")
    assert "import condensery" not in source and "from condensery" not in source
    tensors, header = read_labels_of_views.read("labelled/set.safetensors")
    assert isinstance(labelled.targets, Views)
    every = torch.arange(len(labelled))
    for v in range(4):
        views, probabilities = read_labels_of_views.view(tensors, header, v)
        torch.testing.assert_close(views, labelled.targets.of(labelled.images, every, v), rtol=0, atol=1e-6)
        torch.testing.assert_close(probabilities, labelled.targets.probabilities(every, v), rtol=0, atol=1e-7)


def test_reading_a_plain_set(digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = random_selection(ClassPool(digits.train, digits.spec, torch.device("cpu")), 2, Rng(0))
    condensery.save(chosen, "set.safetensors")
    names = run(READING)
    assert torch.equal(names["images"], chosen.images) and len(names["dataset"]) == 20


def test_the_example_prints_a_line_for_each_view(
    labelled: condensery.SyntheticSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_labels_of_views.main("labelled/set.safetensors") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"view {v}" for v in range(4)]
