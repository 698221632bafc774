"""DM with an identity for an embedding, by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import condensery
from condensery import BadInput, ImageData, Rng, driver, get_method
from condensery.data import ClassPool
from condensery.models.registry import resolve
from condensery.pretraining import accuracy_range
from condensery.resuming import resume_run
from condensery.session import Options
from condensery.teaching import Guide, TeacherSettings, teacher_network
from condensery.teaching.sampling import random_crops

RNG = Rng(1)
SMALL = "convnet+width=8+depth=2"


class Identity(nn.Module):
    """Embeds an image as its own pixels."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * image_size[0] * image_size[1], num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def begun(make_task, ipc: int = 3, **fields):
    task = make_task("test_dm:Identity", ipc=ipc)
    method = get_method("dm", augmentation="none", init="noise", **fields)
    return task, method, driver.begin(method, task, RNG)


def real_mean(task, c: int) -> Tensor:
    return task.pool.sample(c, 256, RNG).mean(0)


def test_gradient_is_two_over_ipc_times_the_gap(make_task) -> None:
    task, method, state = begun(make_task)
    for term in method.terms(task, state, RNG):
        term.backward(inputs=state.leaves())
    for c in range(3):
        images = state.synthetic.of_class(c).detach()
        expected = 2 / 3 * (images.mean(0) - real_mean(task, c))
        for gradient in state.synthetic.images.grad[3 * c : 3 * c + 3]:
            torch.testing.assert_close(gradient, expected)


def test_loss_is_the_squared_gap_summed_over_dimensions_and_classes(make_task) -> None:
    task, method, state = begun(make_task)
    terms = [float(t.detach()) for t in method.terms(task, state, RNG)]
    gaps = [state.synthetic.of_class(c).detach().mean(0) - real_mean(task, c) for c in range(3)]
    assert terms == pytest.approx([float((gap**2).sum()) for gap in gaps], rel=1e-5)


def test_one_image_and_a_rate_of_a_half_give_the_class_mean(make_task) -> None:
    """x - 1/2 * 2 * (x - mean) = mean, in one step."""
    task, method, state = begun(make_task, ipc=1, image_lr=0.5, image_momentum=0.0)
    driver.advance(method, task, state, RNG)
    for c in range(3):
        torch.testing.assert_close(
            state.synthetic.images[c].detach(), real_mean(task, c), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("at_once", [16, 1 << 14])
def test_classes_that_go_through_the_network_together_give_the_same_gradient(
    make_task, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Whole batches, as on a GPU: two classes of 8 real images and one, or all three."""
    monkeypatch.setattr("condensery.methods.dm._AT_ONCE", at_once)
    found = []
    for chunk in (4, None):
        method, task = get_method("dm", real_batch=8), make_task(ipc=3, chunk=chunk)
        state = driver.begin(method, task, RNG)
        terms = list(method.terms(task, state, RNG.fork("step")))
        found.append((len(terms), *torch.autograd.grad(sum(terms), state.leaves())))
    (alone, expected), (together, gradient) = found
    assert (alone, together) == (3, 2 if at_once == 16 else 1)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_fewer_real_images_are_drawn_if_asked(make_task) -> None:
    """With one real image the target is that image, which differs from step to step."""
    task, method, state = begun(make_task, ipc=1, image_lr=0.5, image_momentum=0.0, real_batch=1)
    state, _ = driver.advance(method, task, state, RNG)
    first = state.synthetic.images[0].detach().clone()
    drawn = task.pool.sample(0, 1, RNG.fork("step", 0).fork("real batch", 0))[0]
    torch.testing.assert_close(first, drawn, rtol=1e-4, atol=1e-5)


def test_a_new_network_at_every_step(make_task) -> None:
    task, method = make_task(), get_method("dm", real_batch=4)
    state = driver.begin(method, task, RNG)
    seen = [state.network.head.weight.detach().clone()]
    for after, _ in driver.trajectory(method, task, state, RNG, 3):
        seen.append(after.network.head.weight.detach().clone())
    assert len({w.numpy().tobytes() for w in seen}) == 4


SEVERAL = {"real_batch": 4, "other_networks": "convnet+width=6+norm=batch, convnet+width=4+depth=1"}


def test_networks_of_a_list_take_turns(make_task) -> None:
    task, method = make_task(SMALL), get_method("dm", **SEVERAL)
    looked, draw = [], nn.Module.requires_grad_
    state = driver.begin(method, task, RNG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "requires_grad_", lambda m, on: (looked.append(m), draw(m, on))[1])
        for _ in driver.trajectory(method, task, state, RNG, 5):
            pass
    sizes = [sum(p.numel() for p in m.parameters()) for m in looked]
    assert sizes[:2] == sizes[3:5]
    assert len(set(sizes)) == 3
    assert len({id(m) for m in looked}) == 5
    assert (
        f"updates take turns at {SMALL}, convnet+width=6+norm=batch, convnet+width=4+depth=1"
        in method.check(task)
    )


def test_one_network_gives_the_bits_that_a_list_begins_with(make_task) -> None:
    task = make_task()
    alone, several = (
        next(iter(driver.trajectory(m, task, driver.begin(m, task, RNG), RNG, 1)))[0].synthetic.images
        for m in (get_method("dm", real_batch=4), get_method("dm", **SEVERAL))
    )
    assert torch.equal(alone, several)


def test_a_list_of_networks_resumes_to_the_same_bits(tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    whole = condensery.condense(tiny, "dm", ipc=1, network=SMALL, steps=5, **SEVERAL)
    condensery.condense(tiny, "dm", ipc=1, network=SMALL, steps=2, out=out, **SEVERAL)
    again = condensery.condense(tiny, "dm", ipc=1, network=SMALL, steps=5, out=out, resume=True, **SEVERAL)
    assert torch.equal(whole.images, again.images)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"other_networks": "convnett"}, ["convnett", "did you mean"]),
        ({"other_networks": "mlp"}, ["mlp", "embed()"]),
        ({"other_networks": "test_dm:Identity"}, ["test_dm:Identity", "--network"]),
        ({"other_networks": "convnet+depth=1", "weights": "30-40"}, ["depth=1", "--weights 30-40"]),
    ],
)
def test_lists_of_networks_that_are_refused(make_task, fields, words) -> None:
    with pytest.raises(BadInput) as refused:
        get_method("dm", **fields).check(make_task())
    assert all(word in str(refused.value) for word in words)


def test_the_papers_learning_rate_from_100_images_on_is_mentioned(make_task) -> None:
    notes = get_method("dm").check(make_task(ipc=100))
    assert any("--image-lr 10" in note and note.endswith("this run 1") for note in notes)
    assert not any("image-lr" in note for note in get_method("dm", image_lr=10.0).check(make_task(ipc=100)))
    assert not any("image-lr" in note for note in get_method("dm").check(make_task(ipc=50)))


# ---- trained networks (thesis section 5.3.4)

TRAINED = {"real_batch": 8, "trained_networks": 2, "trained_epochs": 3}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def weights_seen(method, task, steps: int) -> list[bytes]:
    """The head's weights of the network of every step."""
    state = driver.begin(method, task, RNG)
    states = [state, *(after for after, _ in driver.trajectory(method, task, state, RNG, steps))]
    return [s.network.head.weight.detach().numpy().tobytes() for s in states]


def test_networks_are_drawn_from_the_pool_in_every_step(make_task, cache: Path) -> None:
    task, method = make_task(), get_method("dm", weights="all", **TRAINED)
    seen = weights_seen(method, task, 12)
    pool = driver.begin(method, task, RNG).prepared.pool
    known = set()
    for stage in pool.stages:
        network = task.new_network(RNG)
        stage.load_into(network)
        known.add(network.head.weight.detach().numpy().tobytes())
    assert len(known) == len(pool.stages) == 8  # untrained and three epochs of one update, of two networks
    assert set(seen) <= known and len(set(seen)) > 3


def test_only_networks_of_the_range_are_drawn(make_task, cache: Path) -> None:
    task = make_task()
    pool = driver.begin(get_method("dm", weights="0-100", **TRAINED), task, RNG).prepared.pool
    assert len(pool.stages) == 6  # trained ones alone
    best = max(stage.accuracy for stage in pool.stages)
    low = int(100 * best)
    drawn = driver.begin(get_method("dm", weights=f"{low}-100", **TRAINED), task, RNG).prepared.pool
    assert {stage.accuracy for stage in drawn.stages} == {best}


@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", "convnet+width=8+depth=2+norm=batch"])
@pytest.mark.parametrize("cache_survives", [True, False])
def test_resume_is_bit_for_bit(
    network: str, cache_survives: bool, tiny_file: Path, tmp_path: Path, cache: Path
) -> None:
    settings = {"weights": "all", **TRAINED, "ipc": 2, "network": network, "seed": 11, "device": "cpu"}
    whole = condensery.condense(tiny_file, "dm", steps=5, **settings)
    condensery.condense(tiny_file, "dm", steps=2, out=tmp_path / "run", **settings)
    if not cache_survives:
        shutil.rmtree(cache)
    resumed = resume_run(tmp_path / "run", steps=5, options=Options(device="cpu"))
    assert torch.equal(whole.images, resumed.images)
    random = condensery.condense(tiny_file, "dm", steps=5, **{**settings, "weights": "random"})
    assert not torch.equal(whole.images, random.images)


def test_random_weights_train_nothing(make_task, cache: Path) -> None:
    state = driver.begin(get_method("dm", **TRAINED), make_task(), RNG)
    assert state.prepared == (None, None) and not cache.exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("30-40", (0.3, 0.4)), ("0-5", (0.0, 0.05)), ("70-100", (0.7, 1.0))]
)
def test_ranges(text: str, expected: tuple[float, float]) -> None:
    assert accuracy_range(text) == expected


@pytest.mark.parametrize("text", ["", "30", "40-30", "30-30", "70-101", "-5-10", ">=70", "Random", "30-40%"])
def test_bad_ranges(text: str, make_task) -> None:
    with pytest.raises(BadInput, match=f"range of percent such as '30-40', not {text!r}"):
        get_method("dm", weights=text).check(make_task())


def test_a_network_of_ones_own_cannot_be_kept(make_task) -> None:
    with pytest.raises(BadInput, match="test_dm:Identity is a network of your own, which may change"):
        get_method("dm", weights="all").check(make_task("test_dm:Identity"))


def test_what_is_trained_first_is_told(make_task) -> None:
    notes = get_method("dm", weights="30-40").check(make_task())
    assert notes[-1].startswith(
        "networks of 30% to 40% validation accuracy, from 1000 that are first trained"
    )
    assert len(get_method("dm").check(make_task())) == 1


def test_a_step_may_match_some_of_the_classes(make_task) -> None:
    task, method = make_task(), get_method("dm", classes_per_step=2, real_batch=4, augmentation="none")
    state, matched = driver.begin(method, task, Rng(0)), []
    for step in range(6):
        state.synthetic.images.grad = None
        for term in method.terms(task, state, Rng(step)):
            term.backward(inputs=state.leaves())
        reached = state.leaves()[0].grad.flatten(1).abs().amax(1).view(3, -1).amin(1) > 0
        matched.append(tuple(reached.nonzero().flatten().tolist()))
    assert {len(classes) for classes in matched} == {2} and len(set(matched)) > 1


def test_coarse_steps_see_averages_and_resume_at_either_size(tiny_file: Path, tmp_path: Path) -> None:
    """Where only means of 2x2 pixels are matched, the gradient is the same for the four of them."""
    run = {"network": "convnet+width=8+depth=1", "device": "cpu", "real_batch": 4, "augmentation": "none"}
    coarse = condensery.condense(tiny_file, "dm", steps=3, coarse=2, coarse_steps=3, **run)
    start = condensery.condense(tiny_file, "dm", steps=1, image_lr=1e-30, **run)
    moved = (coarse.images - start.images).unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)  # (M, C, h, w, 4)
    assert moved.abs().max() > 1e-4 and (moved - moved[..., :1]).abs().max() < 1e-6
    whole = condensery.condense(tiny_file, "dm", steps=4, coarse=2, coarse_steps=2, **run)
    for steps in (1, 3):
        folder = {"out": tmp_path / f"run{steps}", "coarse": 2, "coarse_steps": 2}
        condensery.condense(tiny_file, "dm", steps=steps, **folder, **run)
        again = condensery.condense(tiny_file, "dm", steps=4, resume=True, **folder, **run)
        assert torch.equal(again.images, whole.images)


@pytest.mark.parametrize(
    ("network", "fields", "message"),
    [
        (
            "convnet+width=8+depth=3",
            {"coarse": 4, "coarse_steps": 1},
            "leaves images of 2x2 pixels, which convnet",
        ),
        (
            "convnet+width=8+depth=2+norm=layer",
            {"coarse": 2, "coarse_steps": 1},
            "leaves images of 4x4 pixels",
        ),
    ],
)
def test_impossible_coarse_steps_are_refused(make_task, network: str, fields, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        get_method("dm", **fields).check(make_task(network))


# ---- a teacher

TAUGHT = {"real_batch": 8, "augmentation": "none", "teacher_epochs": 8}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers of 8 filters."""
    monkeypatch.setattr(TeacherSettings, "factory", lambda settings, spec: resolve(SMALL))


def recognised(task, images: Tensor) -> float:
    """Cross entropy of the teacher on the images as they are."""
    teacher = teacher_network(task.pool, TeacherSettings(epochs=8), task.device)
    labels = torch.arange(10).repeat_interleave(len(images) // 10)
    return F.cross_entropy(teacher(images), labels).item()


def test_the_teachers_terms_are_the_weighted_loss_of_each_class(
    make_task, digits, cache: Path, narrow
) -> None:
    task = make_task(SMALL, ipc=2, data=digits)
    found = {}
    for weight in (0.0, 1.0, 3.0):
        method = get_method("dm", **TAUGHT, teacher_weight=weight)
        state = driver.begin(method, task, RNG)
        found[weight] = torch.stack(list(method.terms(task, state, RNG))).detach()
    plain, once, thrice = (found[weight] for weight in (0.0, 1.0, 3.0))
    assert len(once) == 20 and torch.equal(once[10:], plain) and torch.equal(thrice[10:], plain)
    torch.testing.assert_close(thrice[:10], 3 * once[:10])
    images = state.synthetic.of_class(4)
    crops = random_crops(images, task.spec.flip, RNG.fork("teacher").fork(4))
    said = F.log_softmax(state.prepared.teacher(crops), 1)[:, 4]
    torch.testing.assert_close(once[4], -said.mean().detach())


def test_the_teacher_takes_the_images_for_their_class(make_task, digits, cache: Path, narrow) -> None:
    task, seen = make_task(SMALL, ipc=2, data=digits), []
    for weight in (0.0, 10.0):
        method = get_method("dm", **TAUGHT, init="noise", teacher_weight=weight)
        steps = driver.trajectory(method, task, driver.begin(method, task, RNG), RNG, 20)
        *_, (state, _) = steps
        seen.append(recognised(task, state.synthetic.images.detach()))
    assert seen[1] < 0.5 * seen[0]


def test_resume_with_a_teacher_is_bit_for_bit(tiny_file: Path, tmp_path: Path, cache: Path, narrow) -> None:
    settings = {**TAUGHT, "teacher_weight": 1.0, "ipc": 2, "network": SMALL, "seed": 11, "device": "cpu"}
    whole = condensery.condense(tiny_file, "dm", steps=5, **settings)
    condensery.condense(tiny_file, "dm", steps=2, out=tmp_path / "run", **settings)
    shutil.rmtree(cache)
    resumed = resume_run(tmp_path / "run", steps=5, options=Options(device="cpu"))
    assert torch.equal(whole.images, resumed.images)


def test_an_estimate_trains_no_teacher(make_task, cache: Path) -> None:
    task, method = make_task(SMALL), get_method("dm", **TAUGHT, teacher_weight=1.0)
    needed = driver.preparation(method, task, RNG)
    assert needed and needed.piece == "teacher epoch" and len(needed.missing) == 8 and needed.without
    driver.advance(needed.without, task, driver.begin(needed.without, task, RNG), RNG)
    assert not list(cache.rglob("*.safetensors"))
    assert driver.preparation(method, task, RNG).missing == needed.missing


def test_the_time_of_the_teacher_is_in_the_record(tiny_file: Path, cache: Path, narrow) -> None:
    settings = {**TAUGHT, "teacher_weight": 1.0, "ipc": 1, "network": SMALL, "device": "cpu", "steps": 1}
    first, second = (condensery.condense(tiny_file, "dm", **settings, seed=seed).record for seed in (0, 1))
    assert first["seconds_before"] > 0 and "seconds_before" not in second


def test_a_teacher_of_large_images_sees_64_pixels(tiny: ImageData, cache: Path) -> None:
    large = replace(tiny.spec, height=96, width=128)
    train = replace(tiny.train, pixels=tiny.train.pixels.repeat(12, axis=1).repeat(16, axis=2))
    device = torch.device("cpu")
    small, big = (
        Guide(ClassPool(images, spec, device), device, 1.0, 1)
        for images, spec in ((tiny.train, tiny.spec), (train, large))
    )
    assert small.settings.size is None and big.settings.size == 64
    assert "that sees 64 pixels takes part" in big.notes()[0]
    images = torch.rand(3, *large.shape, requires_grad=True)
    big.loss(big.stand_in(), images, torch.zeros(3, dtype=torch.long), RNG).backward()
    assert images.grad is not None and bool((images.grad != 0).any())
    work = [guide.preparation(get_method("dm")).work for guide in (small, big)]
    assert work[1] == pytest.approx(work[0] * (64 / 96) ** 2)
