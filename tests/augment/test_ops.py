"""What each operation promises: identity, one rule for any batch size, gradients, conventions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from condensery.augment import ops

# operation -> (call, parameters for three images, whether it can be differentiated twice)
Call = Callable[..., Tensor]
CASES: dict[str, tuple[Call, dict[str, Tensor], bool]] = {
    "brightness": (ops.brightness, {"offset": torch.tensor([-0.4, 0.0, 0.3])}, True),
    "saturation": (ops.saturation, {"factor": torch.tensor([0.1, 1.0, 1.8])}, True),
    "contrast": (ops.contrast, {"factor": torch.tensor([0.6, 1.0, 1.4])}, True),
    "crop": (ops.crop, {"rows": torch.tensor([2, 0, -1]), "columns": torch.tensor([-2, 0, 1])}, True),
    "cutout": (
        lambda x, **p: ops.cutout(x, **p, size=(3, 2)),
        {"rows": torch.tensor([0, 2, 5]), "columns": torch.tensor([6, 3, 0])},
        True,
    ),
    "flip": (ops.flip, {"mirrored": torch.tensor([True, False, True])}, True),
    "scale": (ops.scale, {"x": torch.tensor([0.9, 1.0, 1.2]), "y": torch.tensor([1.1, 1.0, 0.85])}, False),
    "rotate": (ops.rotate, {"degrees": torch.tensor([-15.0, 0.0, 8.0])}, False),
}
parametrised = pytest.mark.parametrize("name", CASES)


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@parametrised
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_equals_its_images_one_by_one(name: str, channels: int) -> None:
    """Also compares the way for one shared parameter (n = 1) with the way for one per image."""
    call, parameters, _ = CASES[name]
    x = images(3, channels, 6, 7)
    together = call(x, **parameters)
    alone = [call(x[i : i + 1], **{k: v[i : i + 1] for k, v in parameters.items()}) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-5)


@parametrised
def test_one_parameter_is_shared_by_all_images(name: str) -> None:
    call, parameters, _ = CASES[name]
    x = images(3, 3, 6, 7)
    for i in range(3):
        one = {k: v[i : i + 1] for k, v in parameters.items()}
        three = {k: v.expand(3) for k, v in one.items()}
        torch.testing.assert_close(call(x, **one), call(x, **three), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("cutout", "flip")])
def test_the_middle_case_is_the_identity(name: str) -> None:
    call, parameters, _ = CASES[name]
    x = images(2, 3, 8, 8)
    result = call(x, **{k: v[1:2] for k, v in parameters.items()})
    torch.testing.assert_close(result, x, atol=1e-5, rtol=1e-5)


@parametrised
@pytest.mark.parametrize("shared", [True, False])
def test_gradients(name: str, shared: bool) -> None:
    call, parameters, twice = CASES[name]
    if shared:
        parameters = {k: v[:1] for k, v in parameters.items()}
    x = images(3, 2, 4, 5, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda x: call(x, **parameters), (x,))
    if twice:
        assert gradgradcheck(lambda x: call(x, **parameters).square(), (x,))


@parametrised
def test_nothing_is_changed_in_place_and_dtype_is_kept(name: str) -> None:
    call, parameters, _ = CASES[name]
    for dtype in (torch.float32, torch.float64):
        x = images(3, 3, 6, 6, dtype=dtype)
        before = x.clone()
        result = call(x, **parameters)
        assert torch.equal(x, before)
        assert result.dtype == dtype and result.shape == x.shape


@parametrised
def test_channels_last_gives_the_same(name: str) -> None:
    call, parameters, _ = CASES[name]
    x = images(3, 3, 6, 6)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(call(last, **parameters), call(x, **parameters), atol=1e-6, rtol=1e-5)


def test_crop_moves_by_rows_then_columns() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    result = ops.crop(x, torch.tensor([1]), torch.tensor([-2]))
    expected = [[0, 0, 4, 5], [0, 0, 8, 9], [0, 0, 0, 0]]
    assert result[0, 0].tolist() == expected


def test_cutout_hangs_over_the_border() -> None:
    x = torch.ones(2, 1, 4, 4)
    result = ops.cutout(x, torch.tensor([0, 4]), torch.tensor([2, 4]), (2, 2))
    assert (result == 0).sum(dim=(1, 2, 3)).tolist() == [2, 1]
    assert result[0, 0, 0].tolist() == [1, 0, 0, 1]


def test_rotation_is_anticlockwise() -> None:
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 2] = 1  # right of the centre
    result = ops.rotate(x, torch.tensor([90.0]))
    assert result[0, 0, 0, 1] == pytest.approx(1)  # above it


def test_rotation_keeps_the_aspect_of_a_long_image() -> None:
    x = torch.zeros(1, 1, 3, 7)
    x[0, 0, 1, 4] = 1  # one pixel right of the centre
    result = ops.rotate(x, torch.tensor([90.0]))
    assert result[0, 0, 0, 3] == pytest.approx(1, abs=1e-5)


def test_scale_above_one_shrinks() -> None:
    x = torch.ones(1, 1, 9, 9)
    result = ops.scale(x, torch.tensor([2.0]), torch.tensor([1.0]))
    assert result[0, 0, 4, 0] == 0 and result[0, 0, 0, 4] == pytest.approx(1)


def test_a_grey_image_has_no_saturation() -> None:
    x = images(2, 1, 4, 4)
    assert torch.equal(ops.saturation(x, torch.tensor([0.0])), x)
