"""DCC measures one distance for all classes together, after a warm-up; DSAC is DCC under shared transformations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import (
    BadInput,
    ImageData,
    ImageSpec,
    LabeledImages,
    Method,
    Rng,
    State,
    Task,
    driver,
    get_method,
)
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.methods.dcc import DCC
from condensery.synthetic import Pixels

RNG = Rng(1)
BATCH_NORM = "convnet+width=8+depth=2+norm=batch"

Maker = Callable[..., Any]


def states(method: Method, task: Task, steps: int) -> list[State]:
    state = driver.begin(method, task, RNG)
    return [s for s, _ in driver.trajectory(method, task, state, RNG, steps)]


def images_after(method: Method, task: Task, steps: int) -> Tensor:
    return states(method, task, steps)[-1].synthetic.images.detach()


# ---- section 3.2: features that all classes share


def two_gaussians(alpha: float, beta: float) -> ImageData:
    """Images of two pixels: x = (y alpha, beta) + noise of standard deviation .1, for y = -1 and y = 1."""
    noise = 0.1 * Rng(2).numpy().standard_normal((2, 200, 2))
    means = np.array([[-alpha, beta], [alpha, beta]])[:, None]
    pixels = np.round((means + noise) / 4 * 255 + 127.5).clip(0, 255).astype(np.uint8).reshape(400, 1, 2, 1)
    images = LabeledImages(pixels, np.repeat([0, 1], 200))
    spec = ImageSpec(1, 1, 2, ("minus", "plus"), mean=(0.5,), std=(0.25,))
    return ImageData(spec, images, images, "two gaussians", "two gaussians")


def share_of_discriminative(images: Tensor) -> float:
    """R of equation 5 for images (2, 1, 1, 2): its mean over the two of |s . phi_1| / (|s . phi_1| + |s . phi_2|)."""
    sizes = images.flatten(1).abs()
    return float((sizes[:, 0] / sizes.sum(1)).mean())


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 1.0), (0.2, 1.8), (0.5, 0.0)])
@pytest.mark.parametrize("warmup", ["bilevel", "none"])
def test_motivating_example(warmup: str, alpha: float, beta: float, make_task: Maker) -> None:
    """Class-wise matching keeps what the classes share, collective matching drops it (equations 7 and 9).

    The paper takes the hinge loss of a linear classifier. What the package matches are cross entropy gradients, and
    for logits W x of two classes at W = 0 these are of the same form: softmax gives 1/2 each, so the gradient of
    the mean loss of class c is (p - e_c) mu_c^T with rows -mu_c / 2 and mu_c / 2 (in some order), mu_c the mean
    image. With the squared Euclidean distance and the paper's price on size, here k/2 |s|^2 for each image:

    * class-wise: D_c + k/2 |s_c|^2 = 1/2 |mu_c - s_c|^2 + k/2 |s_c|^2 is least at s_c = mu_c / (1 + k), so that
      R = alpha / (alpha + beta), whatever k is (no sample is cut off as by the hinge, so equality holds);
    * collective: the mean gradient has rows +-(mu_1 - mu_0) / 4, D = 1/8 |(mu_1 - mu_0) - (s_1 - s_0)|^2, and with
      the price the least is at s_1 = -s_0 = (mu_1 - mu_0) / (2 + 4 k) = alpha phi_1 / (1 + 2 k), so that R = 1.

    Without a price the collective distance says nothing of s_0 + s_1. `terms` gives D; the price is added here.
    """
    k = 0.1
    task = make_task(data=two_gaussians(alpha, beta), ipc=1, chunk=None)
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.zeros_(network[1].weight)
    images = torch.tensor([[0.5, 0.7], [0.3, -0.2]]).view(2, 1, 1, 2).requires_grad_()
    state = State.of(Pixels(images, (1, 1)), torch.optim.SGD([images], 1.0), network)
    method = DCC(warmup=warmup, distance="euclidean")
    for _ in range(120):
        state.optimizers["synthetic"].zero_grad()
        (sum(method.terms(task, state, RNG)) + k / 2 * images.square().sum()).backward(inputs=[images])
        state.optimizers["synthetic"].step()
    means = torch.stack([task.pool.sample(c, 200, RNG).mean(0) for c in (0, 1)])
    half_gap = (means[1] - means[0]) / 2
    expected = {
        "bilevel": means / (1 + k),
        "none": torch.stack([-half_gap, half_gap]) / (1 + 2 * k),
    }[warmup]
    torch.testing.assert_close(images.detach(), expected, rtol=1e-3, atol=1e-4)
    ratio = {"bilevel": alpha / (alpha + beta), "none": 1.0}[warmup]
    tolerance = 0.03  # 200 samples of noise .1
    assert share_of_discriminative(images.detach()) == pytest.approx(ratio, abs=tolerance)


# ---- the warm-up


@pytest.mark.parametrize("ipc", [1, 10])
@pytest.mark.parametrize("network", [0, 1, 249, 250, 999])
@pytest.mark.parametrize("update", [0, 9])
def test_warm_up_at_1_and_10(ipc: int, network: int, update: int) -> None:
    """10 updates per network: class-wise on the first 250 networks, collective afterwards."""
    step = 10 * network + update
    assert get_method("dcc").is_warming_up(step, ipc) == (network < 250)
    assert get_method("dcc", warmup="simple").is_warming_up(step, ipc)
    assert not get_method("dcc", warmup="none").is_warming_up(step, ipc)


@pytest.mark.parametrize(
    ("network", "update", "bilevel", "simple"),
    [
        (0, 0, True, True),
        (0, 9, True, True),
        (0, 10, False, False),
        (0, 49, False, False),
        (249, 9, True, True),
        (249, 10, False, False),
        (250, 0, False, True),
        (250, 10, False, False),
        (999, 9, False, True),
    ],
)
def test_warm_up_at_50(network: int, update: int, bilevel: bool, simple: bool) -> None:
    step = 50 * network + update
    assert get_method("dcc").is_warming_up(step, 50) == bilevel
    assert get_method("dcc", warmup="simple").is_warming_up(step, 50) == simple
    assert not get_method("dcc", warmup="none").is_warming_up(step, 50)


def test_the_warm_up_decides_what_is_matched(quick_method: Maker, make_task: Maker) -> None:
    """2 networks of 3 updates, warm-up of 1 network and 2 updates: 3 terms (one per class), or one."""
    method, task = quick_method("dcc", outer_warmup=1, inner_warmup=2), make_task()
    first = driver.begin(method, task, RNG)
    seen = [first, *states(method, task, 5)]
    assert [len(list(method.terms(task, state, RNG))) for state in seen] == [3, 3, 1, 1, 1, 1]


def test_in_the_warm_up_it_is_dc(quick_method: Maker, make_task: Maker) -> None:
    task = make_task()
    dcc, dc = quick_method("dcc"), quick_method("dc", init="real")
    assert torch.equal(images_after(dcc, task, 4), images_after(dc, task, 4))
    contrastive = quick_method("dcc", warmup="none")
    assert not torch.allclose(images_after(contrastive, task, 4), images_after(dc, task, 4))


@pytest.mark.parametrize(
    ("ipc", "fields", "line"),
    [
        (
            1,
            {},
            "warm-up (bilevel): classes one by one in 10 of 10 updates on 250 of 1,000 networks, "
            "all at once for the first time after 2,500 steps",
        ),
        (
            50,
            {},
            "warm-up (bilevel): classes one by one in 10 of 50 updates on 250 of 1,000 networks, "
            "all at once for the first time after 10 steps",
        ),
        (
            50,
            {"warmup": "simple"},
            "warm-up (simple): classes one by one in 10 of 50 updates on 1,000 of 1,000 networks, "
            "all at once for the first time after 10 steps",
        ),
        (
            10,
            {"warmup": "simple"},
            "warm-up (simple) in all 10,000 steps: all classes are never matched at once",
        ),
        (
            10,
            {"iterations": 100},
            "warm-up (bilevel) in all 1,000 steps: all classes are never matched at once",
        ),
        (10, {"warmup": "none"}, "no warm-up: all classes are matched at once from the start"),
    ],
)
def test_check_says_how_long_the_warm_up_is(
    ipc: int, fields: dict[str, Any], line: str, make_task: Maker
) -> None:
    assert line in get_method("dcc", **fields).check(make_task(ipc=ipc))


@pytest.mark.parametrize("name", ["dcc", "dsac"])
def test_unknown_warm_up_refused(name: str, make_task: Maker) -> None:
    with pytest.raises(BadInput, match="unknown warm-up 'short'; choose one of bilevel, simple, none"):
        get_method(name, warmup="short").check(make_task())


# ---- the collective distance


@pytest.mark.parametrize("name", ["dcc", "dsac"])
@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", "mlp"])
def test_collective_distance_is_the_plain_one(name: str, network: str, make_task: Maker) -> None:
    """One autograd.grad on the concatenated batch, images of a class under the parameters of their real ones.

    Classes have as many real images each, so the mean of their gradients is the gradient of one mean.
    """
    task = make_task(network, ipc=2)
    method = get_method(name, warmup="none", real_batch=7)
    state = driver.begin(method, task, RNG)
    (term,) = method.terms(task, state, RNG)
    (ours,) = torch.autograd.grad(term, state.leaves())

    plain = state.synthetic.images.detach().clone().requires_grad_()
    augmentation = SiameseAugmentation(resolve_strategy(method.augmentation, task.spec.flip))
    real, synthetic = [], []
    for c in range(3):
        parameters = augmentation.sample(RNG.fork("augmentation", c), (8, 8))
        real.append(augmentation.apply(task.pool.sample(c, 7, RNG.fork("real batch", c)), parameters))
        synthetic.append(augmentation.apply(plain[2 * c : 2 * c + 2], parameters))
    weights = list(state.network.parameters())
    real_loss = F.cross_entropy(state.network(torch.cat(real)), torch.arange(3).repeat_interleave(7))
    loss = F.cross_entropy(state.network(torch.cat(synthetic)), torch.arange(3).repeat_interleave(2))
    pairs = zip(
        torch.autograd.grad(loss, weights, create_graph=True),
        torch.autograd.grad(real_loss, weights),
        strict=True,
    )
    distance = torch.zeros(())
    for s, r in pairs:
        if s.ndim > 1:
            s, r = s.flatten(1), r.flatten(1)
            distance = distance + (1 - (s * r).sum(1) / (s.norm(dim=1) * r.norm(dim=1) + 1e-6)).sum()
    torch.testing.assert_close(term, distance, rtol=1e-4, atol=1e-4)
    (expected,) = torch.autograd.grad(distance, plain)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_classes_weigh_alike_however_many_real_images_they_have(tiny: ImageData, make_task: Maker) -> None:
    """A mean of class means: 3, 12 and 12 real images, in batches of up to 12."""
    keep = np.concatenate([np.flatnonzero(tiny.train.labels == c)[:n] for c, n in enumerate((3, 12, 12))])
    train = LabeledImages(tiny.train.pixels[keep], tiny.train.labels[keep])
    task = make_task(data=ImageData(tiny.spec, train, tiny.test, "uneven", "uneven"), ipc=3)
    method = DCC(warmup="none", distance="euclidean")
    state = driver.begin(method, task, RNG)
    (term,) = method.terms(task, state, RNG)
    weights = list(state.network.parameters())

    def gradients(batches: list[Tensor]) -> list[Tensor]:
        losses = [F.cross_entropy(state.network(b), task.labels(c, len(b))) for c, b in enumerate(batches)]
        return list(torch.autograd.grad(torch.stack(losses).mean(), weights))

    real = gradients([task.pool.sample(c, 12, RNG.fork("real batch", c)) for c in range(3)])
    synthetic = gradients([state.synthetic.of_class(c) for c in range(3)])
    expected = sum(float((s - r).square().sum()) for s, r in zip(synthetic, real, strict=True))
    assert float(term.detach()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["dcc", "dsac"])
@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", BATCH_NORM], ids=["plain", "batch-norm"])
def test_one_term_reaches_every_image(name: str, network: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(network, ipc=3), quick_method(name, warmup="none")
    state = driver.begin(method, task, RNG)
    (term,) = method.terms(task, state, RNG)
    (gradient,) = torch.autograd.grad(term, state.leaves())
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()


def test_an_image_feels_the_images_of_other_classes(quick_method: Maker, make_task: Maker) -> None:
    """Which is the contrastive signal: class by class it would not."""

    def gradient_of_class_0(warmup: str, change: float) -> Tensor:
        method, task = quick_method("dcc", warmup=warmup), make_task()
        state = driver.begin(method, task, RNG)
        with torch.no_grad():
            state.synthetic.of_class(2).add_(change)
        total = torch.stack(list(method.terms(task, state, RNG))).sum()
        return torch.autograd.grad(total, state.leaves())[0][:2]

    assert torch.equal(gradient_of_class_0("bilevel", 0.0), gradient_of_class_0("bilevel", 0.5))
    assert not torch.allclose(gradient_of_class_0("none", 0.0), gradient_of_class_0("none", 0.5))


def test_batch_norm_is_frozen_before_the_collective_pass(quick_method: Maker, make_task: Maker) -> None:
    task = make_task(BATCH_NORM, ipc=2, chunk=None)
    method = quick_method("dcc", warmup="none", norm_images=4)
    state = driver.begin(method, task, RNG)
    layer = next(m for m in state.network.modules() if isinstance(m, nn.BatchNorm2d))
    seen: list[tuple[bool, int]] = []
    layer.register_forward_hook(lambda m, inputs, output: seen.append((m.training, len(inputs[0]))))
    list(method.terms(task, state, RNG))
    assert seen == [(True, 12), (False, 8), (False, 8), (False, 8), (False, 6)]


def probe(method: Method, task: Task, state: State) -> float:
    """The distance on networks and batches that no step of a run has seen."""
    total = 0.0
    for k in range(3):
        source = Rng(99).fork("probe", k)
        probed = State.of(state.synthetic, state.optimizers["synthetic"], task.new_network(source))
        (term,) = method.terms(task, probed, source)
        total += float(term.detach())
    return total


def test_the_collective_distance_falls(quick_method: Maker, make_task: Maker) -> None:
    method, task = quick_method("dcc", warmup="none", init="noise"), make_task()
    before = probe(method, task, driver.begin(method, task, RNG))
    assert probe(method, task, states(method, task, 25)[-1]) < 0.9 * before


def test_the_collective_distance_vanishes_on_the_real_images(make_task: Maker) -> None:
    """Squared Euclidean, since rowwise cosine keeps a rest: 1e-6 / |row|^2 of every row, and rows are short here."""
    method, task = DCC(warmup="none", distance="euclidean"), make_task(ipc=12)  # all there are
    noise = driver.begin(DCC(init="noise"), task, RNG)
    assert probe(method, task, driver.begin(method, task, RNG)) < 1e-9 * probe(method, task, noise)


# ---- DSAC, loops


@pytest.mark.parametrize("warmup", ["bilevel", "none"])
def test_dsac_is_dcc_with_augmentation(warmup: str, make_task: Maker) -> None:
    fields = {"outer_loop": 2, "inner_loop": 1, "real_batch": 6, "warmup": warmup, "outer_warmup": 1}
    task = make_task()
    dsac, dcc = get_method("dsac", **fields), get_method("dcc", augmentation="auto", **fields)
    assert torch.equal(images_after(dsac, task, 5), images_after(dcc, task, 5))
    assert dsac.check(task) == dcc.check(task)
    plain = get_method("dcc", **fields)
    assert not torch.equal(images_after(plain, task, 5), images_after(dcc, task, 5))


def test_defaults_differ_in_augmentation_alone() -> None:
    dcc, dsac = asdict(get_method("dcc")), asdict(get_method("dsac"))
    assert list(dcc) == list(dsac)
    assert {key: (dcc[key], dsac[key]) for key in dcc if dcc[key] != dsac[key]} == {
        "augmentation": ("none", "auto")
    }


def test_defaults_shared_with_dsa_are_dsas() -> None:
    dsa, dsac = asdict(get_method("dsa")), asdict(get_method("dsac"))
    assert {key: dsac[key] for key in dsa} == dsa
    assert dsac.keys() - dsa.keys() == {"warmup", "outer_warmup", "inner_warmup"}


@pytest.mark.parametrize(("ipc", "steps"), [(1, 10_000), (10, 10_000), (50, 50_000)])
def test_steps(ipc: int, steps: int) -> None:
    assert get_method("dcc").steps(ipc) == get_method("dsac").steps(ipc) == steps


@pytest.mark.parametrize("field", ["outer_loop", "inner_loop"])
def test_one_loop_given_leaves_the_other_published(field: str, make_task: Maker) -> None:
    expected = {"outer_loop": (3, 5), "inner_loop": (10, 3)}[field]
    notes = get_method("dcc", **{field: 3}).check(make_task(ipc=1))
    assert notes[0] == (
        f"loops (given): {expected[0]} image updates per network, {expected[1]} epochs of training between them"
    )
