"""FRePo: objective, labels and pool by hand; its own recipe; what a kernel that cannot be solved leaves behind."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import condensery
from condensery import BadInput, Rng, Task, driver, get_method
from condensery.errors import FailedWork
from condensery.method import State
from condensery.methods.frepo import lecun_normal, missing_margin, own_training
from condensery.resuming import resume_run
from condensery.session import Options
from condensery.training_recipe import own_recipe

RNG = Rng(1)
NETWORK = "convnet+width=8+depth=2"
IDENTITY = "test_dm:Identity"  # embeds an image as its own pixels


def begun(make_task, network: str = IDENTITY, ipc: int = 2, steps: int | None = 7, **fields):
    task = replace(make_task(network, ipc=ipc), steps=steps)
    method = get_method("frepo", **{"real_batch": 8, "mirror": "no", "init": "noise", **fields})
    return task, method, driver.begin(method, task, RNG)


def loss_of(method, task: Task, state: State, rng: Rng = RNG) -> float:
    (term,) = method.terms(task, state, rng)
    return float(term.detach())


# ---- the objective


@pytest.mark.parametrize("mirror", ["no", "yes"])
def test_objective_is_that_of_numpy_in_double_precision(mirror: str, make_task) -> None:
    task, method, state = begun(make_task, mirror=mirror, ridge=0.01, real_batch=10)
    images, targets = (leaf.detach().numpy() for leaf in (state.synthetic.images, state.synthetic.targets))
    drawn = RNG.fork("real batch").numpy().choice(36, 10, replace=False)
    real = task.pool.images_at(drawn).numpy().reshape(10, -1).astype(np.float64)
    labels = np.eye(3)[task.pool.labels[drawn]] - 1 / 3
    if mirror == "yes":
        images, targets = np.concatenate([images, images[..., ::-1]]), np.concatenate([targets, targets])
    features, y = images.reshape(len(images), -1).astype(np.float64), targets.astype(np.float64)
    kernel = features @ features.T
    ridge = 0.01 * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    predicted = real @ features.T @ np.linalg.inv(kernel + ridge) @ y
    expected = 0.5 * ((predicted - labels) ** 2).sum() / 10  # the labels have all their margin at first
    assert loss_of(method, task, state) == pytest.approx(expected, rel=1e-6)


def test_gradient_of_images_and_labels_is_that_of_finite_differences(make_task) -> None:
    task, method, state = begun(make_task, mirror="yes", ridge=0.1)
    (term,) = method.terms(task, state, RNG)
    term.backward(inputs=state.leaves())
    for name, leaf in state.synthetic.leaves().items():
        assert leaf.grad is not None, name
        for index in (3, 40 % leaf.numel(), leaf.numel() - 1):
            flat, losses = leaf.data.view(-1), []
            before = float(flat[index])
            for offset in (0.02, -0.02):
                flat[index] = before + offset
                losses.append(loss_of(method, task, state))
            flat[index] = before
            slope = (losses[0] - losses[1]) / 0.04
            assert float(leaf.grad.view(-1)[index]) == pytest.approx(slope, rel=1e-2, abs=1e-5), (name, index)


def test_missing_margin_by_hand() -> None:
    """Of 4 classes: a margin of 0.1 misses 0.15 of 1/4, a margin of 0.5 misses nothing."""
    targets = torch.tensor([[0.5, 0.4, 0.0, -1.0], [-0.2, 0.7, 0.2, 0.1]], requires_grad=True)
    missing = missing_margin(targets)
    assert missing.item() == pytest.approx(0.15 / 2)
    missing.backward()
    assert targets.grad is not None
    assert targets.grad.tolist() == [[-0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_loss_of_labels_that_are_all_zero_by_hand(make_task) -> None:
    """Half of (2/3)^2 + 2 (1/3)^2, since zeros are predicted, and the whole margin of 1/3."""
    task, method, state = begun(make_task)
    with torch.no_grad():
        state.synthetic.targets.zero_()
    assert loss_of(method, task, state) == pytest.approx(1 / 3 + 1 / 3)


def test_network_is_asked_in_evaluation_mode_and_learns_nothing_from_the_objective(make_task) -> None:
    task, method, state = begun(make_task, "convnet+width=8+depth=2+norm=batch")
    network = state.networks[str(int(state.memory["current"]))]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    (term,) = method.terms(task, state, RNG)
    term.backward(inputs=state.leaves())
    assert not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    method.advance(task, state, RNG)
    layer = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    batch = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert layer.momentum == 0.9 and int(layer.num_batches_tracked) == 1
    assert batch.weight.requires_grad


# ---- labels


def test_labels_begin_as_centred_classes_over_the_root_of_a_tenth_of_the_classes(make_task) -> None:
    _, _, state = begun(make_task, ipc=1)
    expected = (torch.eye(3) - 1 / 3) / math.sqrt(0.3)
    torch.testing.assert_close(state.synthetic.targets.detach(), expected)


def test_fixed_labels_are_the_classes_and_never_change(make_task) -> None:
    task, method, state = begun(make_task, NETWORK, labels="fixed")
    state, _ = driver.advance(method, task, state, RNG)
    assert list(state.synthetic.leaves()) == ["images"]
    assert state.synthetic.content().targets is None
    assert state.synthetic.content().training["loss"] == "mse"


def test_learned_labels_change_and_are_saved_with_the_recipe(tiny_file: Path, tmp_path: Path) -> None:
    settings = {"ipc": 2, "network": NETWORK, "device": "cpu", "real_batch": 8, "image_lr": 0.05}
    made = condensery.condense(tiny_file, "frepo", steps=4, out=tmp_path / "run", **settings)
    loaded = condensery.load(tmp_path / "run")
    start = condensery.load(tmp_path / "run" / "initial.safetensors")
    assert loaded.targets is not None and torch.equal(loaded.targets, made.targets)
    assert (loaded.targets - start.targets).abs().amax(1).min() > 0
    assert loaded.training == made.training == own_training(6, flip=True)
    scores = condensery.evaluate(loaded, protocol="quick", repeats=1, baselines=()).scores
    assert {score.recipe for score in scores} == {"common protocol", "own recipe"}


def test_a_run_from_a_set_begins_with_its_images_and_learned_labels(tiny_file: Path, tmp_path: Path) -> None:
    asked = {"network": NETWORK, "device": "cpu", "real_batch": 8, "steps": 1}
    first = condensery.condense(tiny_file, "frepo", ipc="0=1,1=3,2=2", out=tmp_path / "first", **asked)
    lines: list[str] = []
    asked |= {"init": str(tmp_path / "first"), "announce": lines.append}
    condensery.condense(tiny_file, "frepo", out=tmp_path / "second", **asked)
    start = condensery.load(tmp_path / "second" / "initial.safetensors")
    assert torch.equal(start.images, first.images) and start.counts == (1, 3, 2)
    assert first.targets is not None and torch.equal(start.targets, first.targets)
    assert not any("not used" in line for line in lines)
    condensery.condense(tiny_file, "dm", **asked)
    assert "labels of the set to start from (learned) are not used" in lines


def test_tiles_have_a_label_for_each_image(make_task) -> None:
    task, method, state = begun(make_task, NETWORK, ipc=1, factor=2)
    state, _ = driver.advance(method, task, state, RNG)
    content = state.synthetic.content()
    assert content.images.shape[0] == len(content.targets) == 12
    assert content.training["batch_size"] == 12
    assert (state.synthetic.targets.grad.abs().amax(1) > 0).all()


# ---- the pool


def test_ages_begin_staggered_and_an_old_network_is_drawn_anew(make_task) -> None:
    """Two networks, three updates each: what ages and networks must be, followed step by step."""
    task, method, state = begun(make_task, NETWORK, pool_size=2, network_updates=3)
    assert state.memory["ages"].tolist() == [0, 1]
    expected, renewed = [0, 1], 0
    for _ in range(24):
        used = int(state.memory["current"])
        before, optimizers = dict(state.networks), dict(state.optimizers)
        weights = [p.detach().clone() for p in before[str(used)].parameters()]
        state, _loss = driver.advance(method, task, state, RNG)
        anew = expected[used] > 3
        expected[used] = 0 if anew else expected[used] + 1
        renewed += anew
        assert state.memory["ages"].tolist() == expected
        other = str(1 - used)
        assert state.networks[other] is before[other] and state.optimizers[other] is optimizers[other]
        assert (state.networks[str(used)] is not before[str(used)]) == anew
        assert (state.optimizers[str(used)] is not optimizers[str(used)]) == anew
        now = list(state.networks[str(used)].parameters())
        assert not all(torch.equal(a, b) for a, b in zip(weights, now, strict=True))
        if anew:
            assert not any(
                p.any() for name, p in state.networks[str(used)].named_parameters() if "head.bias" in name
            )
            assert not state.optimizers[str(used)].state
    assert renewed >= 3


def test_a_network_makes_one_step_of_adam_on_the_synthetic_set(make_task) -> None:
    """By the authors' rule, written out: half the squared distance from the labels, the mean over images."""
    plain = f"{NETWORK}+norm=none"  # behind a norm, a bias has no gradient but noise, which Adam makes great
    task, method, state = begun(make_task, plain, pool_size=1, network_lr=0.01)
    twin = task.new_network(RNG)
    twin.load_state_dict(state.networks["0"].state_dict())
    after = method.advance(task, state, RNG)
    optimizer = torch.optim.Adam(twin.parameters(), 0.01)
    said = twin(state.synthetic.images.detach())
    (0.5 * (said - state.synthetic.targets.detach()).square().sum(1)).mean().backward()
    optimizer.step()
    for a, b in zip(after.networks["0"].parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_networks_are_drawn_uniformly(make_task) -> None:
    _, method, _ = begun(make_task, pool_size=4)
    drawn = torch.stack([method._drawn(RNG.fork(k)) for k in range(2000)])
    counts = torch.bincount(drawn, minlength=4)
    assert counts.min() > 420 and counts.max() < 580  # 4 standard deviations


def test_initial_weights_are_lecuns() -> None:
    network = nn.Sequential(nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(400, 300))
    lecun_normal(network.requires_grad_(False), RNG)
    for layer, inputs in ((network[0], 144), (network[3], 400)):
        assert float(layer.weight.std()) == pytest.approx(inputs**-0.5, rel=0.02)
        assert float(layer.weight.abs().max()) <= 2 * inputs**-0.5 / 0.8796
        assert float(layer.weight.abs().max()) > 1.9 * inputs**-0.5 / 0.8796
        assert not layer.bias.any()
    assert torch.equal(network[1].weight, torch.ones(64))


def test_default_weights_are_torchs(make_task) -> None:
    task, _, state = begun(make_task, NETWORK, network_init="default", pool_size=1)
    plain = task.new_network(RNG.fork("start").fork("network", 0))
    assert torch.equal(state.networks["0"].head.weight, plain.head.weight)


def test_resumed_labels_networks_optimisers_and_ages_are_the_same_bits(
    tiny_file: Path, tmp_path: Path
) -> None:
    """A checkpoint after 6 of 12 steps, in which two networks of a pool of two were drawn anew."""
    settings = {
        "ipc": 1,
        "network": NETWORK,
        "device": "cpu",
        "real_batch": 8,
        "network_updates": 2,
        "pool_size": 2,
    }
    whole, half = tmp_path / "whole", tmp_path / "half"
    condensery.condense(tiny_file, "frepo", steps=12, out=whole, **settings)

    def stop(report) -> None:
        if report.step == 6:
            raise FailedWork("on purpose")

    with pytest.raises(FailedWork, match="on purpose; the set after step 6 is kept"):
        condensery.condense(tiny_file, "frepo", steps=12, out=half, callback=stop, **settings)
    resume_run(half, options=Options(device="cpu"))
    tensors = [condensery.run_folder.RunFolder(folder).load()[0] for folder in (whole, half)]
    assert tensors[0].keys() == tensors[1].keys()
    assert {"synthetic.targets", "memory.ages", "memory.current", "networks.1.head.weight"} <= tensors[
        0
    ].keys()
    assert any(name.startswith("optimizers.0.0.exp_avg") for name in tensors[0])  # of a network
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name


# ---- schedule, mirrors, recipe


def test_the_rate_falls_to_a_tenth_over_the_steps_of_the_run(make_task) -> None:
    task, method, state = begun(make_task, steps=10, image_lr=1.0)
    rates = []
    for step in range(11):
        list(method.terms(task, replace(state, step=step), RNG))
        rates.append(state.optimizers["synthetic"].param_groups[0]["lr"])
    assert [rates[0], rates[5], rates[10]] == pytest.approx([1.0, 0.55, 0.1])
    assert rates == sorted(rates, reverse=True)
    task = replace(task, steps=None)
    list(method.terms(task, replace(state, step=250_000), RNG))
    assert state.optimizers["synthetic"].param_groups[0]["lr"] == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("ipc", "factor", "mirrored"), [(1, 1, True), (166, 1, True), (167, 1, False), (50, 2, False)]
)
def test_auto_mirrors_few_images(ipc: int, factor: int, mirrored: bool, make_task) -> None:
    notes = get_method("frepo", factor=factor, init="noise").check(make_task(ipc=ipc))
    assert any("mirrored images beside" in note for note in notes) == mirrored


def test_auto_mirrors_no_digits(make_task, digits) -> None:
    assert "no mirrored images" in get_method("frepo").check(make_task(data=digits))[0]


def test_notes_say_how_the_rate_falls(make_task) -> None:
    notes = get_method("frepo").check(replace(make_task(), steps=1200))
    assert "the learning rate falls from 0.0003 to 3e-05 over the 1,200 steps of this run" in notes
    assert any("move by about 20 % of their length at most: a higher --image-lr" in note for note in notes)
    assert not any("of their length" in note for note in get_method("frepo").check(make_task()))


PUBLISHED = {10: (1000, 10), 100: (2000, 100), 200: (20_000, 200), 500: (5000, 500), 1000: (10_000, 500)}
NEAREST = {1: (1000, 1), 300: (5000, 300), 5000: (40_000, 500), 20_000: (40_000, 500)}


@pytest.mark.parametrize("prototypes", [*PUBLISHED, *NEAREST])
def test_own_recipe_is_the_authors(prototypes: int) -> None:
    steps, batch = {**PUBLISHED, **NEAREST}[prototypes]
    recipe, augmentation = own_recipe(own_training(prototypes, flip=False))
    assert recipe.epochs * math.ceil(prototypes / batch) == steps
    assert (recipe.batch_size, recipe.loss, recipe.optimizer, recipe.lr) == (batch, "mse", "adam", 3e-4)
    assert recipe.weight_decay == 0
    assert augmentation == "color_crop_cutout_scale_rotate"
    assert recipe.rate(499, steps) == pytest.approx(3e-4)
    assert recipe.rate(0, steps) == pytest.approx(3e-4 / 500)
    assert recipe.rate(steps, steps) == pytest.approx(3e-6)


# ---- bad input


@pytest.mark.parametrize(("field", "value"), [("labels", "soft"), ("mirror", "on"), ("network_init", "he")])
def test_unknown_words_are_refused(field: str, value: str, make_task) -> None:
    with pytest.raises(BadInput, match=f"unknown {field} '{value}'; choose one of"):
        get_method("frepo", **{field: value}).check(make_task())


def test_a_kernel_that_cannot_be_solved_names_step_and_fix(make_task) -> None:
    task, method, state = begun(make_task, ridge=0.0)
    with torch.no_grad():
        state.synthetic.images[1] = state.synthetic.images[0]
    with pytest.raises(
        FailedWork, match=r"step 0: the kernel of 6 .*more than --ridge 0 or less than --image-lr"
    ):
        loss_of(method, task, state)


def test_a_run_with_such_a_kernel_keeps_its_set(digits, tmp_path: Path) -> None:
    """A network of two features cannot tell ten images apart without a ridge."""
    settings = {
        "ipc": 1,
        "steps": 12,
        "device": "cpu",
        "ridge": 0.0,
        "real_batch": 16,
        "out": tmp_path / "run",
    }
    with pytest.raises(FailedWork, match=r"^step 0: the kernel of 10 .*; the set after step 0 is kept in"):
        condensery.condense("digits", "frepo", network="convnet+width=2+depth=3", **settings)
    assert len(condensery.load(tmp_path / "run")) == 10
