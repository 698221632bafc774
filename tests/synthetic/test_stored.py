"""What a file may store in place of images: the images that it makes again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from condensery import BadInput, ImageData, ImageSpec, Rng, SyntheticSet
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.synthetic import DECODERS, decoded, with_pixels
from condensery.synthetic.low_resolution import enlarged_tiles

SPEC = ImageSpec(1, 4, 4, ("a", "b"), (0.5,), (0.25,))


def test_tiles_by_hand() -> None:
    """Factor 2: pixel i of 4 lies at (i + 0.5) / 2 - 0.5 of 2: -0.25 (the border), 0.25, 0.75, 1.25 (the border)."""
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 2], image[0, 0, 0, 3] = 4.0, 8.0  # the tile above on the right
    tiles = enlarged_tiles(image, 2)
    assert tiles.shape == (4, 1, 4, 4)
    assert tiles[1, 0, 0].tolist() == [4.0, 5.0, 7.0, 8.0]
    assert tiles[1, 0, :, 0].tolist() == [4.0, 3.0, 1.0, 0.0]
    assert not bool(tiles[[0, 2, 3]].any())


def test_tiles_of_an_image_stay_together_and_carry_gradients() -> None:
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 6, 6).clone().requires_grad_()
    tiles = enlarged_tiles(images, 3)
    assert tiles.mean((1, 2, 3)).tolist() == [0.0] * 9 + [1.0] * 9
    tiles.sum().backward()
    assert images.grad is not None and bool((images.grad > 0).all())


def test_a_factor_of_one_changes_nothing() -> None:
    images = torch.randn(2, 1, 4, 4, generator=Rng(0).torch())
    assert torch.equal(enlarged_tiles(images, 1), images)


def test_real_images_come_out_of_8_bits_bit_for_bit(tiny: ImageData) -> None:
    chosen = random_selection(ClassPool(tiny.train, tiny.spec, torch.device("cpu")), 2, Rng(0))
    stored = with_pixels(chosen)
    assert torch.equal(stored.images, chosen.images) and set(stored.stored) == {"pixels.images"}
    assert stored.bytes == 6 * 64 + 6 * 8 and chosen.bytes == 4 * 6 * 64 + 6 * 8
    assert with_pixels(stored) is stored


def test_other_images_are_rounded_but_never_clipped() -> None:
    images = 3 * torch.randn(4, 1, 4, 4, generator=Rng(1).torch())
    rounded = with_pixels(SyntheticSet(images, torch.tensor([0, 0, 1, 1]), SPEC))
    span = float(images.max() - images.min())
    assert float((rounded.images - images).abs().max()) <= span / 255 / 2 + 1e-5
    assert float(rounded.images.max()) == pytest.approx(float(images.max()))
    assert torch.equal(decoded(rounded.stored, SPEC), rounded.images)
    flat = with_pixels(SyntheticSet(torch.full((4, 1, 4, 4), 9.3), torch.tensor([0, 0, 1, 1]), SPEC))
    torch.testing.assert_close(flat.images, torch.full((4, 1, 4, 4), 9.3))


def test_tiles_are_kept_in_8_bits_as_tiles() -> None:
    images = 3 * torch.randn(2, 1, 4, 4, generator=Rng(1).torch())
    tiles = {"tiles.images": images, "tiles.factor": torch.tensor(2)}
    learned = SyntheticSet(decoded(tiles, SPEC), torch.tensor([0] * 4 + [1] * 4), SPEC, stored=tiles)
    small = with_pixels(learned)
    assert small.stored["tiles.images"].dtype == torch.uint8 and len(small) == 8
    assert learned.bytes - small.bytes == 3 * images.numel() - 8  # and two float32 for the range
    assert (
        float((small.images - learned.images).abs().max())
        <= float(images.max() - images.min()) / 255 / 2 + 1e-5
    )
    assert torch.equal(decoded(small.stored, SPEC), small.images)
    assert with_pixels(small) is small


IMAGES = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("stored", "match"),
    [
        ({}, "an unknown way, none; there are generator, pixels, tiles"),
        ({"secret.images": IMAGES}, "an unknown way, secret"),
        ({"tiles.images": IMAGES}, "the tensor tiles.factor is missing"),
        (
            {"tiles.images": IMAGES, "tiles.factor": torch.tensor(3)},
            "3 does not divide the sides of 4x4 images: choose 2 or",
        ),
        ({"tiles.images": IMAGES, "tiles.factor": torch.tensor(0)}, "a factor of 0 does not divide"),
        ({"tiles.images": IMAGES, "tiles.factor": torch.tensor(2.0)}, "single int64"),
        (
            {"tiles.images": IMAGES[:, :, :3], "tiles.factor": torch.tensor(2)},
            "tiles are stored as float32 or uint8 images of",
        ),
        ({"pixels.images": IMAGES}, "pixels are uint8 images of"),
        (
            {"pixels.images": IMAGES.to(torch.uint8), "pixels.range": torch.tensor([1.0, 1.0])},
            "the second greater than the first",
        ),
    ],
)
def test_what_cannot_be_decoded(stored: dict[str, Tensor], match: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        decoded(stored, SPEC)
    assert "\n" not in str(caught.value)


def test_a_way_of_storing_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        DECODERS, "constant", lambda t, spec: t["codes"][:, None, None, None].expand(-1, *spec.shape)
    )
    codes = torch.tensor([1.0, 2.0])
    made = decoded({"constant.codes": codes}, SPEC)
    synthetic = SyntheticSet(made, torch.tensor([0, 1]), SPEC, stored={"constant.codes": codes})
    assert (len(synthetic), synthetic.stored_images, synthetic.bytes) == (2, 2, 2 * 4 + 2 * 8)


def test_stored_and_trained_on_are_two_numbers() -> None:
    stored = {"tiles.images": IMAGES, "tiles.factor": torch.tensor(2)}
    synthetic = SyntheticSet(decoded(stored, SPEC), torch.arange(2).repeat_interleave(4), SPEC, stored=stored)
    assert (len(synthetic), synthetic.stored_images, synthetic.bytes) == (8, 2, 2 * 16 * 4 + 8 + 8 * 8)
