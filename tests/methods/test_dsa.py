"""DSA is DC under transformations that both sides share."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from condensery import BadInput, Rng, driver, get_method
from condensery.augment import SCHEMES, SiameseAugmentation

RNG = Rng(1)


def images_after(method, task, steps: int):
    state = driver.begin(method, task, RNG)
    *_, (last, _loss) = driver.trajectory(method, task, state, RNG, steps)
    return last.synthetic.images.detach()


def test_dsa_without_augmentation_is_dc(make_task) -> None:
    fields = {"outer_loop": 2, "inner_loop": 2, "real_batch": 6, "init": "real", "augmentation": "none"}
    task = make_task()
    dsa, dc = (images_after(get_method(name, **fields), task, 4) for name in ("dsa", "dc"))
    assert torch.equal(dsa, dc)


def test_dc_with_augmentation_is_dsa(make_task) -> None:
    dsa = get_method("dsa", outer_loop=2, inner_loop=1, real_batch=6)
    dc = get_method("dc", **asdict(dsa))
    assert torch.equal(images_after(dsa, make_task(), 3), images_after(dc, make_task(), 3))


def test_defaults_differ_in_start_and_augmentation_alone() -> None:
    dc, dsa = asdict(get_method("dc")), asdict(get_method("dsa"))
    differing = {key: (dc[key], dsa[key]) for key in dc if dc[key] != dsa[key]}
    assert differing == {"init": ("noise", "real"), "augmentation": ("none", "auto")}


@pytest.mark.parametrize("name", ["dm", "dsa"])
def test_real_and_synthetic_images_of_a_class_are_transformed_alike(
    name: str, make_task, monkeypatch
) -> None:
    """The same parameters, one for all images, others for another class or step."""
    applied = []
    real = SiameseAugmentation.apply

    def spy(self, images, parameters):
        applied.append((len(images), parameters))
        return real(self, images, parameters)

    monkeypatch.setattr(SiameseAugmentation, "apply", spy)
    task, method = make_task(ipc=2), get_method(name, real_batch=7)
    state = driver.begin(method, task, RNG)
    for step in range(3):
        list(method.terms(task, state, RNG.fork("step", step)))
    assert [n for n, _ in applied] == [7, 2] * 9
    pairs = [(applied[2 * i][1], applied[2 * i + 1][1]) for i in range(9)]
    assert all(a is b for a, b in pairs)
    assert all(len(values) == 1 for a, _ in pairs for values in a.values.values())
    drawn = {(a.group, *(float(v) for v in a.values.values())) for a, _ in pairs}
    assert len(drawn) > 5


@pytest.mark.parametrize(
    ("flip", "strategy"),
    [(True, "color_crop_cutout_flip_scale_rotate"), (False, "color_crop_cutout_scale_rotate")],
)
def test_strategy_by_data(flip: bool, strategy: str, make_task, tiny) -> None:
    data = replace(tiny, spec=replace(tiny.spec, flip=flip))
    for name in ("dsa", "dm"):
        assert f"Siamese augmentation {strategy}" in get_method(name).check(make_task(data=data))


# ---- the schemes of the ablation (thesis Table 4.4)

GRADIENT_MATCHING = ("dc", "dsa", "dcc", "dsac")


@pytest.mark.parametrize("name", GRADIENT_MATCHING)
def test_every_scheme_gives_other_images(name: str, make_task) -> None:
    fields = {"outer_loop": 1, "real_batch": 6, "init": "real", "augmentation": "crop"}
    results = [images_after(get_method(name, scheme=scheme, **fields), make_task(), 2) for scheme in SCHEMES]
    results.append(images_after(get_method(name, **{**fields, "augmentation": "none"}), make_task(), 2))
    for i, one in enumerate(results):
        assert not any(torch.equal(one, other) for other in results[i + 1 :])


@pytest.mark.parametrize("warmup", ["bilevel", "none"])
def test_contrastive_matching_transforms_by_the_scheme_too(warmup: str, make_task, monkeypatch) -> None:
    assert (
        transformed(
            get_method("dsac", scheme="synthetic", real_batch=7, warmup=warmup), make_task(), monkeypatch
        )
        == [2] * 3
    )


@pytest.mark.parametrize(
    ("scheme", "sizes"), [("real", [7] * 3), ("synthetic", [2] * 3), ("independent", [7, 2] * 3)]
)
def test_which_side_is_transformed(scheme: str, sizes: list[int], make_task, monkeypatch) -> None:
    assert transformed(get_method("dsa", scheme=scheme, real_batch=7), make_task(), monkeypatch) == sizes


def transformed(method, task, monkeypatch) -> list[int]:
    """How many images each call of one step transforms."""
    applied = []
    real = SiameseAugmentation.apply
    monkeypatch.setattr(
        SiameseAugmentation, "apply", lambda self, x, p: applied.append(len(x)) or real(self, x, p)
    )
    list(method.terms(task, driver.begin(method, task, RNG), RNG))
    return applied


@pytest.mark.parametrize(("scheme", "trained_on_transformed"), [*((s, s != "real") for s in SCHEMES)])
def test_the_network_is_trained_on_what_is_matched(
    scheme: str, trained_on_transformed: bool, make_task
) -> None:
    """Its weights after training equal those without augmentation only where the synthetic side has none."""
    task = make_task()
    fields = {"outer_loop": 2, "inner_loop": 2, "real_batch": 6}

    def trained(augmentation: str) -> torch.Tensor:
        method = get_method("dsa", scheme=scheme, augmentation=augmentation, **fields)
        state = method.advance(task, driver.begin(method, task, RNG), RNG)
        return state.network.head.weight.detach()

    assert torch.equal(trained("crop"), trained("none")) is not trained_on_transformed


def test_a_scheme_is_checked_and_told(make_task) -> None:
    assert "augmentation (real) crop" in get_method("dsa", scheme="real", augmentation="crop").check(
        make_task()
    )
    for name in GRADIENT_MATCHING:
        with pytest.raises(BadInput, match="unknown augmentation scheme 'both'"):
            get_method(name, scheme="both").check(make_task())
