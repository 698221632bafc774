"""Trajectory matching: the loss and its gradient against a graph through every step, TESLA's, the learned rate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from finite_differences import assert_slopes

from condensery import BadInput, Rng, driver, get_method
from condensery.errors import FailedWork
from condensery.matching import unrolling
from condensery.training_recipe import own_recipe

RNG = Rng(2)
NETWORK = "convnet+width=4+depth=1"
QUICK = {
    "experts": 2,
    "max_start_epoch": 2,
    "syn_steps": 4,
    "rate": 0.2,
    "expert_lr": 0.1,
    "expert_batch": 12,
}


def begun(make_task, **fields):
    task = make_task(NETWORK, ipc=2)
    method = get_method("mtt", **{**QUICK, **fields})
    return task, method, driver.begin(method, task, RNG)


def gradients(method, task, state) -> tuple[float, list[torch.Tensor]]:
    leaves = state.leaves()
    for leaf in leaves:
        leaf.grad = None
    (term,) = method.terms(task, state, RNG)
    term.backward(inputs=leaves)
    return float(term.detach()), [leaf.grad.clone() for leaf in leaves]


def by_autograd(method, task, state, tesla: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Algorithm 1 (or TESLA's equations) with autograd's own graph, fed the same draws; augmentation is off."""
    images, rate = state.synthetic.images, state.synthetic.rates
    source = RNG.fork("segment").numpy()
    expert, epoch = int(source.integers(2)), int(source.integers(2))
    start, target = (state.prepared.weights(state.network, expert, e) for e in (epoch, epoch + 2))
    names = [name for name, _ in state.network.named_parameters()]
    weights, labels = tuple(w.requires_grad_() for w in start), state.synthetic.labels
    if method.labels == "expert":
        labels = torch.func.functional_call(
            state.network, dict(zip(names, target, strict=True)), (images.detach(),)
        ).softmax(1)
    moved = sum((a - b).square().sum() for a, b in zip(start, target, strict=True)).detach()
    sums = [torch.zeros_like(w) for w in start]
    for step in range(4):
        order = torch.randperm(6, generator=RNG.fork("order", step // 2).torch())
        batch = order.split(3)[step % 2]
        here = tuple(w.detach().requires_grad_() for w in weights) if tesla else weights
        said = torch.func.functional_call(
            state.network, dict(zip(names, here, strict=True)), (images[batch],)
        )
        found = torch.autograd.grad(F.cross_entropy(said, labels[batch]), here, create_graph=True)
        sums = [total + g for total, g in zip(sums, found, strict=True)]
        weights = tuple(w - rate * g for w, g in zip(weights, found, strict=True))
    last = [s - rate * total for s, total in zip(start, sums, strict=True)] if tesla else weights
    value = sum((a - b).square().sum() for a, b in zip(last, target, strict=True)) / moved
    return value, list(torch.autograd.grad(value, [images, rate]))


@pytest.mark.parametrize(("gradient", "labels"), [("exact", "hard"), ("tesla", "hard"), ("exact", "expert")])
def test_loss_and_gradients_are_those_of_autograd(gradient: str, labels: str, make_task) -> None:
    task, method, state = begun(make_task, gradient=gradient, labels=labels, augmentation="none", syn_batch=3)
    value, expected = by_autograd(method, task, state, gradient == "tesla")
    loss, found = gradients(method, task, state)
    assert loss == pytest.approx(float(value.detach()), rel=1e-4)
    for ours, theirs in zip((found[0], found[-1]), expected, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * scale)


def test_gradients_are_those_of_finite_differences_in_double_precision(make_task) -> None:
    """Of images and rate, with all augmentations, in a random direction each."""
    task, method, state = begun(make_task, augmentation="auto", syn_batch=3)
    images, rate = (t.detach().double().requires_grad_() for t in state.leaves())
    synthetic = replace(state.synthetic, images=images, rates=rate)
    state = replace(state, synthetic=synthetic, networks={"network": state.network.double()})
    _, found = gradients(method, task, state)
    assert_slopes(lambda: next(iter(method.terms(task, state, RNG))), (images, rate), found, RNG)


def test_teslas_gradient_is_not_the_exact_one_but_near_it(make_task) -> None:
    """At small rates the two agree; at large ones they part: an approximation, and measured here as one."""
    apart = []
    for rate in (0.001, 0.5):
        both = []
        for gradient in ("exact", "tesla"):
            task, method, state = begun(
                make_task, gradient=gradient, augmentation="none", rate=rate, syn_steps=8
            )
            both.append(gradients(method, task, state)[1][0].flatten())
        apart.append(float((both[0] - both[1]).norm() / both[0].norm()))
    assert apart[0] < 0.01 < apart[1]


def test_labels_are_what_the_target_expert_says_and_are_kept(make_task) -> None:
    task, method, state = begun(make_task, labels="expert")
    state, _ = driver.advance(method, task, state, RNG)
    found = driver.content(method, task, state).targets
    assert found is not None and torch.allclose(found.sum(1), torch.ones(6)) and bool((found > 0).all())
    source = RNG.fork("step", 0).fork("segment").numpy()
    expert, epoch = int(source.integers(2)), int(source.integers(2))
    target = state.prepared.weights(state.network, expert, epoch + 2)
    names = [name for name, _ in state.network.named_parameters()]
    images = driver.begin(method, task, RNG).synthetic.images.detach()  # before the update
    said = torch.func.functional_call(state.network, dict(zip(names, target, strict=True)), (images,))
    torch.testing.assert_close(found, said.softmax(1))


def test_an_update_is_sgd_with_momentum_at_two_rates(make_task) -> None:
    task, method, state = begun(make_task, image_lr=3.0, rate_lr=0.01)
    before = [leaf.detach().clone() for leaf in state.leaves()]
    first = gradients(method, task, replace(state))[1]
    twin = driver.begin(method, task, RNG)
    twin = replace(twin, step=0)
    state, _ = driver.advance(method, task, twin, RNG)
    moved = [leaf.detach() - old for leaf, old in zip(state.leaves(), before, strict=True)]
    used = [leaf.grad for leaf in state.leaves()]
    torch.testing.assert_close(moved[0], -3.0 * used[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(moved[1], -0.01 * used[1], rtol=1e-2, atol=1e-7)
    assert first[0].shape == moved[0].shape


def test_every_image_is_used_before_one_comes_again(make_task) -> None:
    task, method, _ = begun(make_task, syn_batch=4)
    picked = [method._picked(task, step, RNG).tolist() for step in range(4)]
    assert [len(p) for p in picked] == [4, 2, 4, 2]
    assert sorted(picked[0] + picked[1]) == sorted(picked[2] + picked[3]) == list(range(6))
    assert picked[0] != picked[2]


def test_the_set_is_trained_at_its_learned_rate(make_task) -> None:
    task, method, state = begun(make_task)
    recipe, augmentation = own_recipe(method.training(task, state))
    assert (recipe.epochs, recipe.decay_after, recipe.momentum) == (1001, (502,), 0.9)
    assert recipe.lr == pytest.approx(0.2) and augmentation == "color_crop_cutout_flip_scale_rotate"


def test_experts_are_trained_as_far_as_the_last_target_and_an_estimate_needs_none(
    make_task, fresh_cache
) -> None:
    task, method = make_task(NETWORK), get_method("mtt", **QUICK)
    needed = driver.preparation(method, task, RNG)
    assert needed is not None and len(needed.missing) == 2 and needed.work == 36 * 3
    assert driver.estimate(needed.without, task, RNG, 5).seconds > 0
    assert len(driver.preparation(method, task, RNG).missing) == 2
    state = driver.begin(method, task, RNG)
    assert state.prepared.epochs == 3 and driver.preparation(method, task, RNG).missing == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gradient": "none"}, "unknown gradient 'none'; choose one of exact, tesla"),
        ({"labels": "soft"}, "unknown labels 'soft'; choose one of hard, expert"),
        ({"experts": 10**9}, "--experts must be 10,000 at most, not 1,000,000,000"),
        ({"rate": 0.0}, r"--rate, where the learned rate begins, must be in \(0, 1e6\], not 0"),
    ],
)
def test_bad_input(make_task, fields, said) -> None:
    with pytest.raises(BadInput, match=said):
        get_method("mtt", **fields).check(make_task(NETWORK))


def test_networks_of_a_users_own_are_refused(make_task) -> None:
    with pytest.raises(BadInput, match="a network of your own, which may change"):
        get_method("mtt").check(make_task("test_dm:Identity"))


def test_an_unrolling_that_does_not_fit_is_refused(make_task, monkeypatch) -> None:
    monkeypatch.setattr(unrolling, "device_memory", lambda device: 500_000)
    with pytest.raises(
        BadInput, match=r"9,000 unrolled steps of 6 images .*: \d+ steps would fit; choose fewer --syn"
    ):
        get_method("mtt", syn_steps=9000).check(make_task(NETWORK))


def test_a_learned_rate_of_less_than_zero_ends_the_run(make_task) -> None:
    task, method, state = begun(make_task)
    with torch.no_grad():
        state.synthetic.rates.fill_(-0.1)
    with pytest.raises(
        FailedWork, match=r"step 0: the learned rate became -0\.1: choose less than --rate-lr 1e-05"
    ):
        list(method.terms(task, state, RNG))


def test_a_learned_rate_that_no_recipe_can_hold_is_kept_as_the_most_and_ends_the_run(make_task) -> None:
    task, method, state = begun(make_task)
    with torch.no_grad():
        state.synthetic.rates.fill_(3e8)
    assert method.training(task, state)["lr"] == 1e6
    with pytest.raises(
        FailedWork, match=r"step 0: the learned rate became 3e\+08: choose less than --rate-lr"
    ):
        list(method.terms(task, state, RNG))


def test_experts_that_diverge_are_refused_and_not_kept(make_task, fresh_cache) -> None:
    method = get_method("mtt", **{**QUICK, "expert_lr": 1e30})
    task = make_task(NETWORK + "+norm=none")
    with pytest.raises(BadInput, match=r"expert 0 diverged in epoch 1: choose less than --expert-lr 1e\+30"):
        driver.begin(method, task, RNG)
    assert len(driver.preparation(method, task, RNG).missing) == 2
