"""DC's own augmentation: one operation for each image, never in place. Values: see test_augment_reference."""

from __future__ import annotations

import pytest
import scipy.ndimage
import torch
from torch import Tensor

from condensery.augment import PerImageAugmentation
from condensery.augment.per_image import turn
from condensery.errors import BadInput
from condensery.rng import Rng

ALL = "crop_scale_rotate_noise"


def images(count: int, height: int = 8, width: int = 8) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("strategy", ["", "none"])
def test_no_strategy_is_a_copy(strategy: str) -> None:
    x = images(3)
    result = PerImageAugmentation(strategy)(x, Rng(0))
    assert torch.equal(result, x) and result.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("strategy", ["crop", "scale", "rotate", "noise", ALL])
def test_zero_strength_is_the_identity(strategy: str) -> None:
    x = images(12)
    augment = PerImageAugmentation(strategy, crop=0, scale=0, rotate=0, noise=0)
    torch.testing.assert_close(augment(x, Rng(0)), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["crop", "scale", "rotate", "noise", ALL])
@pytest.mark.parametrize("size", [(8, 8), (6, 20)])
def test_a_new_tensor_and_no_global_draw(strategy: str, size: tuple[int, int]) -> None:
    x, state = images(12, *size), torch.get_rng_state()
    before = x.clone()
    augment = PerImageAugmentation(strategy)
    result = augment(x, Rng(1))
    assert result.shape == x.shape and result.dtype == x.dtype and torch.isfinite(result).all()
    assert torch.equal(x, before) and not torch.equal(result, x)
    assert torch.equal(result, augment(x, Rng(1)))
    assert torch.equal(torch.get_rng_state(), state)


def test_each_image_gets_one_operation_drawn_uniformly() -> None:
    """With crop and noise off, only the images that drew scale are changed."""
    x = images(3000)
    result = PerImageAugmentation("crop_noise_scale", crop=0, noise=0)(x, Rng(2))
    changed = (result != x).flatten(1).any(1).float().mean()
    # 8 pixels become 6..9 (rounded down), each side on its own: 7 % of them keep both sides.
    assert 0.25 < float(changed) < 0.36


def test_crop_shifts_by_minus_4_to_3() -> None:
    x = torch.zeros(2000, 1, 9, 9)
    x[:, :, 4, 4] = 1
    result = PerImageAugmentation("crop")(x, Rng(3))
    rows = (result > 0.5).nonzero()[:, 2]
    assert sorted(set(rows.tolist())) == list(range(1, 9))  # a window moved down by k moves the picture up


def test_noise_is_small_and_normal() -> None:
    x = images(200)
    noise = PerImageAugmentation("noise")(x, Rng(4)) - x
    assert float(noise.std()) == pytest.approx(0.001, rel=0.03)


def test_a_gradient_is_not_carried() -> None:
    assert not PerImageAugmentation("noise")(images(2).requires_grad_(), Rng(0)).requires_grad


def test_bad_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="crop, scale, rotate, noise"):
        PerImageAugmentation("flip")
    with pytest.raises(BadInput, match="scale"):
        PerImageAugmentation("scale", scale=1.5)
    with pytest.raises(BadInput, match="rotate"):
        PerImageAugmentation("rotate", rotate=-1)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14), (3, 17, 17)])
def test_turning_all_images_at_once_gives_the_numbers_of_scipy(shape: tuple[int, int, int]) -> None:
    degrees = torch.tensor([*range(-45, 45, 3), 0, 30, 60, 90, 179, 180, -90, -120, 360])
    x = torch.randn(len(degrees), *shape, generator=torch.Generator().manual_seed(3))
    turned = turn(x, degrees, 0.3)
    (_, height, width), whole = shape, shape[1] == shape[2]
    for image, angle, result in zip(x.numpy(), degrees.tolist(), turned, strict=True):
        canvas = scipy.ndimage.rotate(image, angle, axes=(-2, -1), reshape=whole, order=3, cval=0.3)
        top, left = (canvas.shape[1] - height) // 2, (canvas.shape[2] - width) // 2
        expected = torch.from_numpy(canvas[:, top : top + height, left : left + width])
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
