"""Condensation into a generative model: its losses, what is trained along, options, refusals, the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import condensery
from condensery import PROTOCOLS, BadInput, FailedWork, ImageData, Rng, State, Task, driver, get_method
from condensery.augment import SiameseAugmentation
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.matching.layers import layer_features
from condensery.methods.adversary import balance, codes_for, drawn_images
from condensery.methods.associates import Eye, divided
from condensery.methods.generative import Generative
from condensery.pretraining import FeatureDiscriminator, ImageDiscriminator
from condensery.synthetic import Generated, own_codes
from condensery.teaching import teacher_network
from condensery.teaching.classes import class_means, standardised

Maker = Callable[..., Any]
RNG = Rng(3)
QUICK = {"real_batch": 6, "gan_steps": 3, "generator_width": 8, "code_length": 8, "network_updates": 3}
QUICK |= {"teacher_epochs": 30}
FAST = replace(PROTOCOLS["quick"], name="fast", epochs=2, plain_epochs=2, repeats=1)
ONE_HOT = {"condition": "one-hot"}  # needs no teacher


def quick(**more: Any) -> Generative:
    return get_method("generative", **{**QUICK, **more})  # type: ignore[return-value]


def begin(task: Task, **more: Any) -> tuple[Generative, State]:
    method = quick(**more)
    return method, driver.begin(method, task, RNG)


def after(task: Task, steps: int, **more: Any) -> State:
    method, state = begin(task, **more)
    for state, _loss in driver.trajectory(method, task, state, RNG, steps):  # noqa: B007, B020
        pass
    return state


def generated(state: State) -> Generated:
    assert isinstance(state.synthetic, Generated)
    return state.synthetic


def test_every_loss_against_a_plain_transcription(make_task: Maker) -> None:
    """Two codes, three classes, six real images each: three for each synthetic image, dealt in turn."""
    task = make_task(ipc=2)
    method, state = begin(task, **ONE_HOT, associates="dealt", temperature=0.7, margin=3.0)
    found = {name: float(loss.detach()) for name, loss in method.losses(task, state, RNG).items()}
    network, discriminator = state.networks["network"].eval(), state.networks["discriminator"]
    first, second = network.features[:4], network.features[4:]  # type: ignore[index]

    def layers(images: Tensor) -> list[Tensor]:
        once = first(images)
        return [once.flatten(1), second(once).flatten(1)]

    with torch.no_grad():
        synthetic = layers(state.synthetic.images)
        real = [layers(task.pool.sample(c, 6, RNG.fork("real batch", c))) for c in range(3)]
        match = 0.0
        for c in range(3):
            for k in range(2):
                for layer in range(2):
                    mean = (real[c][layer][k] + real[c][layer][k + 2] + real[c][layer][k + 4]) / 3
                    match += float((synthetic[layer][2 * c + k] - mean).square().mean()) / 6
        centres = [real[c][1].mean(0) for c in range(3)]
        intra = 0.0
        for c in range(3):
            f = [F.normalize(synthetic[1][2 * c + k], dim=0) for k in range(2)]
            for k in range(2):
                positive = math.exp(float(f[k] @ F.normalize(centres[c], dim=0)) / 0.7)
                intra -= math.log(positive / (math.exp(float(f[k] @ f[1 - k]) / 0.7) + positive)) / 6
        pairs = [(0, 1), (0, 2), (1, 2)]
        scale = sum(float((centres[a] - centres[b]).norm()) for a, b in pairs) / 3
        means = [synthetic[1][2 * c : 2 * c + 2].mean(0) for c in range(3)]
        inter = sum(max(3.0 - float((means[a] - means[b]).norm()) / scale, 0) for a, b in pairs) / 3
        labels = torch.tensor([0, 0, 1, 1, 2, 2])
        source, said = discriminator(synthetic[1], torch.eye(3)[labels])
        adversarial = -float(torch.sigmoid(source).log().mean())
        classes = -float(said.softmax(1)[range(6), labels].log().mean())
    expected = {"adversarial": adversarial, "class": classes, "match": match, "intra": intra, "inter": inter}
    assert found == pytest.approx(expected, rel=1e-4)
    (term,) = method.terms(task, state, RNG)
    weights = {"adversarial": 1.0, "class": 1.0, "match": method.match_weight, "intra": 1.0, "inter": 1.0}
    assert float(term.detach()) == pytest.approx(
        sum(weights[name] * expected[name] for name in weights), rel=1e-4
    )


def test_logits_in_place_of_layers_are_matched_with_the_means_of_real_ones(make_task: Maker) -> None:
    """Two images, three classes, six real images each: the mean square over values and images."""
    task = make_task(ipc=2)
    method, state = begin(task, **ONE_HOT, associates="dealt", matched="logits")
    found = method.losses(task, state, RNG)
    plain = quick(**ONE_HOT, associates="dealt").losses(task, state, RNG)
    network = state.networks["network"].eval()
    with torch.no_grad():
        made = network(state.synthetic.images)
        real = [network(task.pool.sample(c, 6, RNG.fork("real batch", c))) for c in range(3)]
        means = torch.stack([real[c][k::2].mean(0) for c in range(3) for k in range(2)])
    torch.testing.assert_close(found["match"].detach(), (made - means).square().mean())
    assert all(torch.equal(found[name], plain[name]) for name in plain if name != "match")


def test_baselines_are_the_method_with_other_defaults(make_task: Maker) -> None:
    """IT-GAN learns codes alone, one for each image; DiM the generator alone, with codes of its own at every step."""
    task = make_task(ipc=2)
    learned = {}
    for name in ("it-gan", "dim"):
        method = get_method(name, **QUICK, **ONE_HOT)
        state = driver.begin(method, task, RNG)
        assert generated(state).codes.shape == (6, 8)
        *_, (last, _) = driver.trajectory(method, task, state, RNG, 2)
        learned[name] = set(last.synthetic.leaves())
    assert learned["it-gan"] == {"codes"}
    assert "codes" not in learned["dim"] and "input.weight" in learned["dim"]
    defaults = get_method("dim")
    assert isinstance(defaults, Generative) and (defaults.matched, defaults.condition) == (
        "logits",
        "one-hot",
    )


def test_a_weight_of_zero_leaves_a_loss_out(make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, **ONE_HOT, intra_weight=0.0, adversarial_weight=0.0)
    assert set(method.losses(task, state, RNG)) == {"class", "match", "inter"}


def test_rates_fall_in_a_straight_line(make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, **ONE_HOT, iterations=4)
    for state, _ in driver.trajectory(method, task, state, RNG, 2):  # noqa: B020
        groups = state.optimizers["synthetic"].param_groups
        left = 1 - (state.step - 1) / 4
        assert groups[0]["lr"] == pytest.approx(0.01 * left)
        assert [g["lr"] for g in groups[1:]] == pytest.approx([0.001 * left] * (len(groups) - 1))


def test_the_feature_network_learns_from_real_images_and_is_drawn_anew(make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, **ONE_HOT, network_updates=2, generator_updates=2)
    seen = [state.networks["network"]]
    weights = [next(seen[0].parameters()).detach().clone()]
    for state, _ in driver.trajectory(method, task, state, RNG, 8):  # noqa: B020
        seen.append(state.networks["network"])
        weights.append(next(seen[-1].parameters()).detach().clone())
    same = [torch.equal(a, b) for a, b in pairwise(weights)]
    assert same == [True, False, True, False, True, False, True, False]
    # one update of the network every two of the generator; the second one is by a new network
    assert [a is b for a, b in pairwise(seen)] == [True, True, True, False] * 2


def test_the_discriminator_comes_with_its_network(make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, **ONE_HOT, network_updates=2)
    first = state.networks["discriminator"]
    assert isinstance(first, FeatureDiscriminator)
    before = [p.detach().clone() for p in first.parameters()]
    state, _ = driver.advance(method, task, state, RNG)
    assert state.networks["discriminator"] is first
    assert not all(torch.equal(a, b) for a, b in zip(before, first.parameters(), strict=True))
    state, _ = driver.advance(method, task, state, RNG)
    assert state.networks["discriminator"] is not first


def test_a_discriminator_of_pixels_is_the_pretrained_one(make_task: Maker) -> None:
    state = after(make_task(), 4, **ONE_HOT, judged="pixels")
    assert isinstance(state.networks["discriminator"], ImageDiscriminator)


def test_class_embeddings_are_a_teachers_mean_features(make_task: Maker, tiny: ImageData) -> None:
    task = make_task()
    method, state = begin(task)
    teacher = teacher_network(task.pool, method._teacher(task), task.device)
    with torch.no_grad():
        images = task.pool.images_at(task.pool.members(1))
        features = teacher.features(images).mean((0, 2, 3))  # type: ignore[operator]
        probabilities = teacher(images).softmax(1).mean(0)
    means = class_means(teacher, task.pool)
    torch.testing.assert_close(means.features[1], features)
    torch.testing.assert_close(means.probabilities[1], probabilities)
    embeddings = state.networks["embeddings"].weight
    torch.testing.assert_close(embeddings, standardised(means.features))
    torch.testing.assert_close(embeddings.mean(0), torch.zeros_like(embeddings[0]), atol=1e-5, rtol=0)
    assert float(embeddings.square().mean()) == pytest.approx(1, rel=1e-4)


def test_online_features_follow_the_network(make_task: Maker) -> None:
    task = make_task()
    fixed, online = (after(task, 2, condition=condition) for condition in ("class", "online"))
    before = begin(task)[1].networks["embeddings"].weight
    assert torch.equal(fixed.networks["embeddings"].weight, before)
    assert not torch.equal(online.networks["embeddings"].weight, before)
    assert generated(online).embeddings is online.networks["embeddings"]  # so that a checkpoint restores both


def test_soft_labels_are_what_a_teacher_says_of_the_class(make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, soft_labels="yes")
    soft = state.memory["soft labels"]
    assert soft.shape == (3, 3)
    torch.testing.assert_close(soft.sum(1), torch.ones(3))
    hard = method.losses(task, State(**{**vars(state), "memory": {}}), RNG)["class"]
    assert not torch.equal(method.losses(task, state, RNG)["class"], hard)


@pytest.mark.parametrize(
    "settings",
    [
        {"condition": "online", "soft_labels": "yes"},
        {**ONE_HOT, "judged": "pixels", "optimizer": "adam"},
        {**ONE_HOT, "associates": "class", "inversion_steps": 3},
        {**ONE_HOT, "factor": 2, "teacher_weight": 1.0},
    ],
    ids=["online", "pixels", "inversion", "tiles"],
)
def test_a_restored_state_goes_on_to_the_same_bits(settings: dict[str, Any], make_task: Maker) -> None:
    task = make_task()
    whole = after(task, 5, **settings)
    method, fresh = begin(task, **settings)
    kept = {name: tensor.clone() for name, tensor in after(task, 2, **settings).tensors().items()}
    again = fresh.restored(kept, 2)
    for again, _loss in driver.trajectory(method, task, again, RNG, 5):  # noqa: B007, B020
        pass
    first, second = whole.tensors(), again.tensors()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(whole.synthetic.content().images, again.synthetic.content().images)


def test_only_what_is_asked_for_is_learned(make_task: Maker) -> None:
    task = make_task()
    every = set(begin(task, **ONE_HOT)[1].synthetic.leaves())
    assert {"codes", "projection.weight", "input.weight", "layers.0.weight", "output.bias"} < every
    assert set(begin(task, **ONE_HOT, generator="fixed")[1].synthetic.leaves()) == {"codes"}
    assert set(begin(task, **ONE_HOT, codes="gaussian")[1].synthetic.leaves()) == every - {"codes"}
    with pytest.raises(BadInput, match="nothing is learned with --codes truncated --generator fixed"):
        quick(codes="truncated", generator="fixed").check(task)


@pytest.mark.parametrize("codes", ["gaussian", "truncated"])
def test_drawn_codes_are_new_at_each_step_and_fixed_in_the_file(codes: str, make_task: Maker) -> None:
    task = make_task()
    method, state = begin(task, **ONE_HOT, codes=codes)
    images = state.synthetic.content().images
    assert torch.equal(images, state.synthetic.content().images)
    losses = [method.losses(task, state, Rng(k))["match"] for k in range(2)]
    assert losses[0] != losses[1]
    assert bool((generated(state).codes.abs() <= 0.7).all()) == (codes == "truncated")


def test_own_codes_are_one_for_each_image(make_task: Maker) -> None:
    synthetic = generated(begin(make_task(ipc=2), **ONE_HOT, codebook="own")[1])
    assert synthetic.codes.shape == (6, 8) and len(synthetic.images) == 6


def test_many_classes_and_codes_are_drawn(make_task: Maker) -> None:
    synthetic = generated(begin(make_task(ipc=4), **ONE_HOT)[1])
    drawn = drawn_images(synthetic, 2, 3, Rng(0))
    assert drawn.labels.tolist() == [drawn.classes[0]] * 3 + [drawn.classes[1]] * 3
    codes = own_codes(synthetic.codes, synthetic.counts)[drawn.places]
    assert torch.equal(codes, synthetic.codes[drawn.numbers.flatten()])
    assert all(len(numbers.unique()) == 3 for numbers in drawn.numbers)
    chosen = {tuple(drawn_images(synthetic, 2, 3, Rng(k)).classes) for k in range(20)}
    assert chosen == {(0, 1), (0, 2), (1, 2)}
    every = drawn_images(synthetic, 9, 9, Rng(0))
    torch.testing.assert_close(
        synthetic.of_codes(own_codes(synthetic.codes, synthetic.counts)[every.places], every.labels),
        synthetic.images,
    )


def test_clusters_divide_the_images_of_a_class(make_task: Maker) -> None:
    """Twelve images of each class, three clusters, without a teacher: by pixels, each nearest to its own mean."""
    task = make_task(ipc=3)
    clusters = begin(task, **ONE_HOT)[1].memory["clusters"]
    for c in range(3):
        members = task.pool.members(c)
        images, own = task.pool.images_at(members).flatten(1), clusters[torch.from_numpy(members)]
        assert sorted(own.unique().tolist()) == [0, 1, 2]
        means = torch.stack([images[own == k].mean(0) for k in range(3)])
        assert torch.equal(torch.cdist(images, means).argmin(1), own)
    assert "clusters" not in begin(task, **ONE_HOT, codes="gaussian")[1].memory


def test_associates_come_from_the_cluster_of_their_image(make_task: Maker) -> None:
    """Asked for as many as there are, the mean of each cluster's features."""
    task = make_task(ipc=3)
    _method, state = begin(task, **ONE_HOT)
    clusters, network = state.memory["clusters"], state.networks["network"].eval()
    plain = SiameseAugmentation("")
    eye = Eye(task, network, plain, plain.sample(Rng(0), (8, 8)))
    drawn = drawn_images(generated(state), 2, 2, Rng(1))
    found = eye.associates(drawn, 99, clusters, Rng(2))[-1]
    place = 0
    for c, numbers in zip(drawn.classes, drawn.numbers, strict=True):
        for k in numbers.tolist():
            members = task.pool.members(c)
            own = members[clusters[torch.from_numpy(members)].numpy() == k]
            with torch.no_grad():
                expected = eye.layers(task.pool.images_at(own))[-1].mean(0)
            torch.testing.assert_close(found[place], expected, atol=1e-5, rtol=1e-4)
            place += 1
    assert place == len(found) == 4


def test_classes_can_be_matched_as_a_whole(make_task: Maker) -> None:
    """The mean of a class's synthetic images with that of its real ones, twelve of each, by all layers or the last."""
    task = make_task(ipc=2)
    found = {}
    for matched in ("layers", "last"):
        method, state = begin(task, **ONE_HOT, associates="class", matched=matched, real_batch=99)
        found[matched] = method.losses(task, state, RNG)["match"].detach()
    network = state.networks["network"].eval()
    with torch.no_grad():
        real = [layer_features(network, task.pool.images_at(task.pool.members(c))) for c in range(3)]
        ours = [layer_features(network, state.synthetic.of_class(c)) for c in range(3)]
        gaps = [
            torch.stack(
                [(o[k].mean(0) - r[k].mean(0)).square().mean() for o, r in zip(ours, real, strict=True)]
            )
            for k in range(2)
        ]
    torch.testing.assert_close(found["layers"], gaps[0].mean() + gaps[1].mean())
    torch.testing.assert_close(found["last"], gaps[1].mean())


def test_losses_of_classes_add_up_to_those_of_all(make_task: Maker) -> None:
    """Without losses that join classes the step goes class by class, with the same sum; tiles are four to a code."""
    task = make_task(ipc=2)
    apart: dict[str, Any] = {"adversarial_weight": 0.0, "class_weight": 0.0, "inter_weight": 0.0}
    method, state = begin(task, **ONE_HOT, **apart, factor=2, associates="class")
    terms = [term.detach() for term in method.terms(task, state, RNG)]
    found = method.losses(task, state, RNG)
    assert len(terms) == 3 and set(found) == {"match", "intra"}
    torch.testing.assert_close(sum(terms), 100 * found["match"].detach() + found["intra"].detach())
    (whole,) = quick(**ONE_HOT, factor=2).terms(task, state, RNG)
    assert float(whole.detach()) > 0 and len(state.synthetic.images) == 24


def test_a_teacher_says_what_images_are(make_task: Maker) -> None:
    """Its cross entropy on random crops falls as the images are learned."""
    task = make_task(ipc=2)
    alone = {f"{name}_weight": 0.0 for name in ("adversarial", "class", "match", "intra", "inter")}
    settings: dict[str, Any] = {**ONE_HOT, **alone, "optimizer": "adam", "teacher_weight": 1.0}
    settings |= {"generator_lr": 0.02, "code_lr": 0.1}
    method, state = begin(task, **settings)
    assert "a teacher (convnet+width=32) takes part" in method.check(task)[-1]
    losses = [loss for _state, loss in driver.trajectory(method, task, state, RNG, 12)]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_an_inversion_fits_real_images(
    make_task: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image comes near to that real one of its class which is the nearest to its cluster's mean; tiles too."""
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path))
    task, fitted = make_task(ipc=2), {}
    adam: dict[str, Any] = {**ONE_HOT, "optimizer": "adam", "generator_lr": 0.005, "associates": "clusters"}
    for factor in (1, 2):
        counts = (2 * factor**2,) * 3
        found = divided(task, counts, None, RNG.fork("start"))
        for c in range(3):
            members = task.pool.members(c)
            for k in range(counts[c]):
                own = members[found.clusters[torch.from_numpy(members)].numpy() == k]
                images = task.pool.images_at(own).flatten(1)
                gaps = (images - images.mean(0)).square().sum(1)
                chosen = own == int(found.nearest[counts[c] * c + k])
                torch.testing.assert_close(gaps[torch.from_numpy(chosen)], gaps.min()[None])
        targets = task.pool.images_at(found.nearest.numpy())
        for steps in (1, 300):
            method, state = begin(task, **adam, factor=factor, inversion_steps=steps)
            assert torch.equal(state.memory["clusters"], found.clusters)
            assert state.synthetic.images.shape == targets.shape
            fitted[steps] = float((state.synthetic.images - targets).detach().square().mean())
        assert fitted[300] < 0.5 * fitted[1]
    again = begin(task, **adam, factor=2, inversion_steps=300)[1]  # from the cache
    assert torch.equal(again.synthetic.images, state.synthetic.images)
    needed = driver.preparation(method, task, RNG)
    assert needed is not None and not needed.missing


def test_codes_of_given_classes_are_their_own(make_task: Maker) -> None:
    synthetic = generated(begin(make_task(ipc=2), **ONE_HOT, codebook="own")[1])
    labels = torch.tensor([2, 0, 2, 1] * 8)
    codes = codes_for(synthetic, labels, Rng(0))
    for c in range(3):
        own = synthetic.codes[2 * c : 2 * c + 2]
        drawn = codes[labels == c]
        assert bool((drawn[:, None] == own[None]).all(2).any(1).all()) and len(drawn.unique(dim=0)) == 2


def test_a_class_with_a_single_image(tiny: ImageData, tmp_path: Path) -> None:
    keep = np.concatenate([np.flatnonzero(tiny.train.labels == c)[: 1 if c == 1 else 8] for c in range(3)])
    arrays = {"x_train": tiny.train.pixels[keep], "y_train": tiny.train.labels[keep]}
    np.savez(tmp_path / "few.npz", **arrays, x_test=tiny.test.pixels, y_test=tiny.test.labels)
    settings: dict[str, Any] = {"network": "convnet+width=8+depth=2", "device": "cpu", **QUICK, **ONE_HOT}
    made = condensery.condense(tmp_path / "few.npz", "generative", ipc=1, steps=2, **settings)
    assert bool(torch.isfinite(made.images).all())


@pytest.mark.parametrize(
    "name",
    [
        *("associates", "condition", "codes", "codebook", "generator", "optimizer", "matched", "judged"),
        *("centre", "soft_labels", "projection"),
    ],
)
def test_unknown_words_are_refused(name: str, make_task: Maker) -> None:
    with pytest.raises(BadInput, match=f"unknown {name} 'nothing'; choose one of"):
        quick(**{name: "nothing"}).check(make_task())


def test_refusals_before_any_work(make_task: Maker) -> None:
    with pytest.raises(BadInput, match=r"4 blocks .* use --blocks 3 or fewer"):
        quick(blocks=4).check(make_task())
    with pytest.raises(
        BadInput, match=r"2 codes of --code-length 100000000000 and .* take .*; ask for smaller"
    ):
        quick(code_length=100_000_000_000, **ONE_HOT).check(make_task())
    with pytest.raises(BadInput, match=r"generator of --generator-width 1000000 take .*; ask for smaller"):
        quick(generator_width=1_000_000, **ONE_HOT).check(make_task())
    with pytest.raises(BadInput, match="--temperature must be more than 0"):
        quick(temperature=0.0).check(make_task())
    with pytest.raises(BadInput, match="nothing is learned with --codes gaussian --generator fixed"):
        quick(codes="gaussian", generator="fixed").check(make_task())
    with pytest.raises(BadInput, match="--codes truncated are drawn anew: use --inversion-steps 0"):
        quick(codes="truncated", inversion_steps=1).check(make_task())
    with pytest.raises(BadInput, match=r"a factor of 3 does not divide the sides of 8x8 images"):
        quick(factor=3).check(make_task())
    assert "is cut into 2x2 tiles" in quick(factor=2, **ONE_HOT).check(make_task())[0]


def test_what_cannot_work_is_refused_before_it_is_timed(tiny_file: Path) -> None:
    with pytest.raises(BadInput, match="TB at once, more than half"):
        condensery.condense(tiny_file, "generative", minutes=1, code_length=100_000_000_000, ipc=1)


@pytest.mark.parametrize("what", ["one-hot", "features", "near"])
def test_the_projection_balances_classes_with_codes(what: str) -> None:
    """Each class becomes the same standard normal vector, however near the classes are."""
    classes = torch.eye(4) if what == "one-hot" else torch.randn(4, 9, generator=Rng(0).torch())
    if what == "near":
        classes[1] = classes[0] + 0.1 * classes[1]
    projections = [nn.Linear(classes.shape[1], 50) for _ in range(2)]
    for projection in projections:
        balance(projection, classes, Rng(1))
    vectors = [projection(classes).detach() for projection in projections]
    assert torch.equal(vectors[0], vectors[1])
    wanted = torch.randn(4, 50, generator=Rng(1).torch())
    torch.testing.assert_close(vectors[0], wanted, atol=1e-3, rtol=1e-3)


def test_online_features_keep_the_default_projection(make_task: Maker) -> None:
    """They change, and what was made for the first ones would blow up the difference."""
    task = make_task()
    weights = {}
    for condition in ("class", "online"):
        for projection in ("balanced", "default"):
            state = begin(task, condition=condition, projection=projection)[1]
            weights[condition, projection] = generated(state).weights["projection.weight"]
    assert torch.equal(weights["online", "balanced"], weights["online", "default"])
    assert not torch.equal(weights["class", "balanced"], weights["class", "default"])


def test_images_that_overflow_end_a_run_with_the_fix(tiny: ImageData, tmp_path: Path) -> None:
    """The step after the one that spoils the weights sees it, when the images are past keeping."""
    settings: dict[str, Any] = {"network": "convnet+width=8+depth=2", "device": "cpu", **QUICK, **ONE_HOT}
    settings |= {"generator_lr": 1e9, "optimizer": "adam", "out": tmp_path / "run"}
    with pytest.raises(FailedWork, match=r"step 1: .* a smaller --generator-lr often helps; .* not finite"):
        condensery.condense(tiny, "generative", ipc=1, steps=3, **settings)


def test_lines_for_the_user_tell_what_the_file_takes(make_task: Maker) -> None:
    task = make_task(ipc=2)
    method, state = begin(task, **ONE_HOT)
    (first, second) = method.check(task)
    stored = state.synthetic.content().stored
    taken = sum(t.nbytes for name, t in stored.items() if name != "generator.counts")
    assert f"generator and codes take {taken:,} bytes; as pixels the images take {4 * 6 * 64:,}" in first
    assert "classes by one-hot; soft labels no; Siamese augmentation none" in second


def test_a_run_is_a_file_that_trains(tiny_file: Path, tmp_path: Path, fresh_cache: Path) -> None:
    """More images per code than pixels would allow in these bytes; what is saved is what is evaluated."""
    settings: dict[str, Any] = {"network": "convnet+width=8+depth=2", "device": "cpu", **QUICK, **ONE_HOT}
    heard: list[str] = []
    made = condensery.condense(
        tiny_file, "generative", ipc=3, steps=3, out=tmp_path / "run", announce=heard.append, **settings
    )
    again = condensery.load(tmp_path / "run")
    assert torch.equal(again.images, made.images) and (len(again), again.stored_images) == (9, 3)
    assert any("trained 1 of 1 piece " in line for line in heard)
    evaluation = condensery.evaluate(
        again, tiny_file, protocol=FAST, baselines=("random", EQUAL_BYTES), device="cpu"
    )
    own, random, equal = evaluation.scores
    assert own.images == random.images == 9 and own.bytes == again.bytes
    assert equal.images == 3 * min(12, again.bytes // (4 * 64) // 3)  # as many as have these bytes
