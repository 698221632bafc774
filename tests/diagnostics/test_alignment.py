"""Alignment and uniformity: by hand, against the authors' own two functions, and measured on sets."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from condensery import BadInput, ImageData, Rng, SyntheticSet
from condensery.diagnostics import alignment, alignment_loss, uniformity_loss

NETWORK = "convnet+width=8+depth=1"


class Linear(nn.Module):
    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * image_size[0] * image_size[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Embedding(Linear):
    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))


def features(count: int) -> Tensor:
    return torch.randn(count, 5, generator=Rng(1).torch())


def test_alignment_by_hand() -> None:
    """Class 0 at right angles (squared distance 2), class 1 opposite (4), class 2 alone; lengths do not count."""
    points = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    labels = torch.tensor([0, 1, 0, 1, 2])
    assert alignment_loss(points, labels) == pytest.approx(3.0)
    assert alignment_loss(points, labels, alpha=1) == pytest.approx((math.sqrt(2) + 2) / 2)


def test_uniformity_by_hand() -> None:
    """Squared distances 2, 2 and 4 of east, north and west."""
    points = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]])
    assert uniformity_loss(points) == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3))
    assert uniformity_loss(torch.ones(4, 3)) == pytest.approx(0.0, abs=1e-12)


def test_as_the_authors_write_them() -> None:
    """align_loss and uniform_loss of Wang & Isola, on normalised features and all pairs of one class."""
    x = torch.nn.functional.normalize(features(6))
    first, second = torch.triu_indices(6, 6, 1)
    align = (x[first] - x[second]).norm(p=2, dim=1).pow(2).mean()
    uniform = torch.pdist(x, p=2).pow(2).mul(-2).exp().mean().log()
    assert alignment_loss(features(6), torch.zeros(6)) == pytest.approx(float(align), rel=1e-5)
    assert uniformity_loss(features(6)) == pytest.approx(float(uniform), rel=1e-5)


def test_one_image_of_each_class_has_no_pair() -> None:
    with pytest.raises(BadInput, match="2 or more images per class"):
        alignment_loss(features(3), torch.arange(3))


def sets_of(tiny: ImageData) -> list[SyntheticSet]:
    """Noise, and one picture repeated in each class."""
    labels = torch.arange(3).repeat_interleave(2)
    noise = torch.randn(6, 1, 8, 8, generator=Rng(2).torch())
    return [SyntheticSet(images, labels, tiny.spec) for images in (noise, noise[labels * 2])]


def test_measured_on_sets(tiny: ImageData) -> None:
    sets = sets_of(tiny)
    found = alignment.measure(tiny, sets, network=NETWORK, device="cpu", networks=2, epochs=1)
    assert json.loads(json.dumps(found)) == found
    assert [(p["set"], p["network"]) for p in found["points"]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert found["alignment"]["n"] == found["uniformity"]["n"] == 4
    values = [p["alignment"] for p in found["points"]]
    assert found["alignment"]["mean"] == pytest.approx(sum(values) / 4)
    assert values[0] > 0.01 and values[0] != values[2]  # other networks see another distance
    assert values[1] == values[3] == 0.0  # equal images are perfectly aligned
    again = alignment.measure(tiny, sets[:1], network=NETWORK, device="cpu", networks=2, epochs=1)
    assert again["points"][0] == found["points"][0]


def test_refusals(tiny: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any network is trained."""
    monkeypatch.setattr(alignment, "trained_networks", None)
    single = SyntheticSet(torch.zeros(3, 1, 8, 8), torch.arange(3), tiny.spec)
    for sets, network, message in (
        ([single], NETWORK, "2 or more images per class"),
        ([], NETWORK, "no set to measure"),
        (sets_of(tiny), "test_alignment:Linear", "test_alignment:Linear has no embedding"),
        (sets_of(tiny), "test_alignment:Embedding", "is a network of your own"),
        (
            [SyntheticSet(torch.zeros(3, 1, 8, 8), torch.tensor([0, 0, 1]), tiny.spec)],
            NETWORK,
            "must hold images of each class",
        ),
    ):
        with pytest.raises(BadInput, match=message):
            alignment.measure(tiny, sets, network=network, device="cpu", networks=1, epochs=1)
