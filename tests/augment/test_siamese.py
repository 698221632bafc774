"""Sampling: which groups, how many parameters, from where; and the identity at zero strength."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from condensery.augment import GROUPS, Parameters, SiameseAugmentation, default_strategy
from condensery.errors import BadInput
from condensery.rng import Rng

ALL = "color_crop_cutout_flip_scale_rotate"
SIZE = (8, 10)


def images(count: int, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, *SIZE, generator=torch.Generator().manual_seed(2))


def test_default_strategies_are_the_papers() -> None:
    assert default_strategy(True) == ALL
    assert default_strategy(False) == "color_crop_cutout_scale_rotate"


@pytest.mark.parametrize("strategy", ["", "none", "None"])
def test_no_strategy_is_the_identity(strategy: str) -> None:
    augment, x = SiameseAugmentation(strategy), images(2)
    assert torch.equal(augment(x, Rng(0)), x)
    assert augment.sample(Rng(0), SIZE).group == "none"


@pytest.mark.parametrize("group", GROUPS)
def test_zero_strength_is_the_identity(group: str) -> None:
    off = {name: 0 for name in ("rotate", "crop", "cutout", "brightness", "saturation", "contrast")}
    augment, x = SiameseAugmentation(group, prob_flip=0, scale=1, **off), images(4)
    for k in range(5):
        torch.testing.assert_close(augment(x, Rng(0).fork(k)), x, atol=1e-5, rtol=1e-5)


def test_groups_are_drawn_uniformly() -> None:
    augment, count = SiameseAugmentation(ALL), 3000
    drawn = Counter(augment.sample(Rng(3).fork(k), SIZE).group for k in range(count))
    assert set(drawn) == set(GROUPS)
    spread = math.sqrt(count * (1 / 6) * (5 / 6))
    assert all(abs(n - count / 6) < 4 * spread for n in drawn.values())


@pytest.mark.parametrize("group", GROUPS)
def test_siamese_draws_one_parameter_training_draws_one_per_image(group: str) -> None:
    augment = SiameseAugmentation(group)
    assert all(len(v) == 1 for v in augment.sample(Rng(0), SIZE).values.values())
    several = augment.sample(Rng(0), SIZE, 50).values
    assert all(len(v) == 50 and len(v.unique()) > 1 for v in several.values())


@pytest.mark.parametrize("group", GROUPS)
def test_both_branches_get_the_same_transform(group: str) -> None:
    """The transform of an image does not depend on the batch it comes in."""
    augment, real, synthetic = SiameseAugmentation(group), images(5), images(5)[:2]
    parameters = augment.sample(Rng(4), SIZE)
    both = augment.apply(real, parameters)
    torch.testing.assert_close(augment.apply(synthetic, parameters), both[:2], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
def test_parameters_stay_in_their_range(group: str) -> None:
    values = SiameseAugmentation(group).sample(Rng(5), (32, 28), 4000).values
    bounds = {
        "color": {"brightness": (-0.5, 0.5), "saturation": (0, 2), "contrast": (0.5, 1.5)},
        "crop": {"rows": (-4, 4), "columns": (-4, 4)},
        "cutout": {"rows": (0, 32), "columns": (0, 28)},
        "flip": {"mirrored": (0, 1)},
        "scale": {"x": (1 / 1.2, 1.2), "y": (1 / 1.2, 1.2)},
        "rotate": {"degrees": (-15, 15)},
    }[group]
    assert set(values) == set(bounds)
    for name, (low, high) in bounds.items():
        drawn = values[name].double()
        assert low - 1e-6 <= drawn.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < drawn.max() <= high + 1e-6
        assert abs(float(drawn.mean()) - (low + high) / 2) < 0.03 * (high - low)


def test_an_odd_hole_stays_inside_the_image() -> None:
    values = SiameseAugmentation("cutout").sample(Rng(0), (9, 9), 500).values  # hole of 5 pixels
    assert int(values["rows"].min()) == 0 and int(values["rows"].max()) == 8


def test_the_same_source_draws_the_same_and_the_global_generator_is_untouched() -> None:
    augment, x, state = SiameseAugmentation(ALL), images(6), torch.get_rng_state()
    for k in range(12):
        assert torch.equal(augment(x, Rng(7).fork(k)), augment(x, Rng(7).fork(k)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("group", GROUPS)
def test_gradient_reaches_the_images(group: str) -> None:
    augment, x = SiameseAugmentation(group), images(3).requires_grad_()
    (gradient,) = torch.autograd.grad(augment(x, Rng(1)).square().sum(), x)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "color_crops"}, "did you mean 'crop'"),
        ({"strategy": "blur"}, ", ".join(GROUPS)),
        ({"strategy": "crop_crop"}, "twice"),
        ({"strategy": "scale", "scale": 0.5}, "0.5"),
        ({"strategy": "flip", "prob_flip": 2}, "prob_flip"),
        ({"strategy": "color", "brightness": float("nan")}, "brightness"),
    ],
)
def test_bad_settings_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        SiameseAugmentation(**arguments)


def test_parameters_for_another_batch_are_refused() -> None:
    with pytest.raises(BadInput, match="3 images"):
        SiameseAugmentation("color").apply(images(2), Parameters("color", {"brightness": torch.zeros(3)}))
