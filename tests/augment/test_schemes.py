"""Which side of a pair is transformed, and whether alike (thesis Table 4.4)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from condensery.augment import SCHEMES, SiameseAugmentation, augment_pair, require_scheme
from condensery.errors import BadInput
from condensery.rng import Rng

CROP = SiameseAugmentation("crop")
ROW = (
    torch.arange(8.0).reshape(1, 1, 1, 8).expand(1, 1, 8, 8) + 1
)  # every row 1..8: a shift shows as another row


def shifts(images: Tensor) -> set[bytes]:
    """The different pictures among `images`; of equal images, as many as there were different shifts."""
    return {image.numpy().tobytes() for image in images}


def pairs(scheme: str, count: int = 20) -> list[tuple[Tensor, Tensor]]:
    real, synthetic = ROW.repeat(6, 1, 1, 1), ROW.repeat(6, 1, 1, 1)
    return [augment_pair(CROP, real, synthetic, Rng(1).fork(k), scheme) for k in range(count)]


def test_siamese_is_one_transformation_for_all_images_of_both() -> None:
    drawn = pairs("siamese")
    assert all(torch.equal(real, synthetic) and len(shifts(real)) == 1 for real, synthetic in drawn)
    assert len(shifts(torch.cat([real[:1] for real, _ in drawn]))) > 3


def test_independent_draws_for_every_image_of_both() -> None:
    drawn = pairs("independent")
    assert not any(torch.equal(real, synthetic) for real, synthetic in drawn)
    assert sum(len(shifts(side)) > 1 for pair in drawn for side in pair) > 35


@pytest.mark.parametrize(("scheme", "transformed"), [("real", 0), ("synthetic", 1)])
def test_one_side_alone(scheme: str, transformed: int) -> None:
    original = ROW.repeat(6, 1, 1, 1)
    for pair in pairs(scheme):
        assert torch.equal(pair[1 - transformed], original)
        assert len(shifts(pair[transformed])) > 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_groups_nothing_changes(scheme: str) -> None:
    real, synthetic = augment_pair(SiameseAugmentation("none"), ROW, ROW + 1, Rng(0), scheme)
    assert torch.equal(real, ROW) and torch.equal(synthetic, ROW + 1)


def test_unknown_scheme() -> None:
    with pytest.raises(BadInput, match=r"unknown augmentation scheme 'siames'; .*did you mean 'siamese'"):
        require_scheme("siames")
