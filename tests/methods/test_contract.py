"""What every method keeps. A new method is tested here by being registered, and by nothing else."""

from __future__ import annotations

import inspect
import json
import os
import signal
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import condensery
from condensery import METHODS, BadFile, BadInput, ImageData, Method, Rng, State, Task, driver, get_method
from condensery.errors import Interrupted
from condensery.matching.distances import DISTANCES
from condensery.resuming import resume_run
from condensery.session import Options, StepReport
from condensery.synthetic.pixels import INITS
from condensery.text import count

RNG = Rng(3)
NAMES = sorted(METHODS)
CONTRASTIVE = ("dcc", "dsac")  # class-wise in the warm-up, which every run here starts with
GRADIENT_MATCHING = ("dc", "dsa", *CONTRASTIVE)
CLASS_WISE = ("dm", "mmd", *GRADIENT_MATCHING)
WITHOUT_TERMS = ("patches", "cgan", "gmmn", "vae")  # select and crop, or draw, and minimise nothing
WITHOUT_NETWORKS = ("kip", "mmd", "rfad")
FIXED_IMAGES = ("ld",)  # learn labels alone
NEVER_ZERO = ("cafe", "dd", "ld", "mtt")  # their loss is more than a distance from the real images
EMBEDDING = ("cafe", "dim", "dm", "frepo", "generative", "it-gan", "rfad")  # they need a network with embed()
GENERATORS = (
    "dim",
    "generative",
    "gtn",
    "it-gan",
)  # their images are made of codes and weights; losses are tested beside them
FALLS = {"ld": 0.95, "mtt": 0.99}  # where one step of training, not a whole one, is looked at
FAST_RATE: dict[str, dict[str, float]] = {  # where the published rate shows nothing in 25 steps
    "frepo": {"image_lr": 0.03},
    "dd": {"image_lr": 0.1, "rate": 0.1},
    "ld": {"label_lr": 0.05, "inner_lr": 0.5},
    "rfad": {"image_lr": 0.03},
    "mtt": {"rate": 0.01, "rate_lr": 1e-6, "image_lr": 3.0},
}
BATCH_NORM = "convnet+width=8+depth=2+norm=batch"

Maker = Callable[..., Any]

pytestmark = pytest.mark.parametrize("name", NAMES)


def run(method: Method, task: Task, steps: int, rng: Rng = RNG) -> State:
    state = driver.begin(method, task, rng)
    *_, (last, _loss) = driver.trajectory(method, task, state, rng, steps)
    return last


def require_terms(name: str) -> None:
    if name in WITHOUT_TERMS:
        pytest.skip("minimises nothing")


def require_pixels(name: str) -> None:
    if name in GENERATORS:
        pytest.skip("learns no pixels")


def images_after(method: Method, task: Task, steps: int, rng: Rng = RNG) -> Tensor:
    """The images, and learned labels behind them."""
    made = run(method, task, steps, rng).synthetic.content()
    return made.images if made.targets is None else torch.cat([made.images.flatten(1), made.targets], 1)


def objective(method: Method, task: Task, state: State, rng: Rng) -> float:
    return sum(float(term.detach()) for term in method.terms(task, state, rng))


def test_defaults_construct_and_round_trip_through_json(name: str) -> None:
    method = get_method(name)
    again = get_method(name, **json.loads(json.dumps(asdict(method))))  # type: ignore[call-overload]
    assert again == method == METHODS[name]()
    assert method.name == name
    assert method.summary and "\n" not in method.summary


def test_is_frozen_and_documents_every_field(name: str) -> None:
    method = get_method(name)
    for f in fields(method):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(method, f.name, f.default)
        declared_in = next(c for c in type(method).__mro__ if f.name in vars(c).get("__annotations__", {}))
        source = inspect.getsource(declared_in)
        declaration = source[source.index(f"    {f.name}: ") :]
        assert declaration.splitlines()[1].strip().startswith('"""'), f.name


def test_one_seed_one_result_two_seeds_two(name: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(), quick_method(name)
    once = images_after(method, task, 4)
    assert torch.equal(once, images_after(method, task, 4))
    assert not torch.equal(once, images_after(method, task, 4, Rng(4)))


def test_keeps_labels_shape_dtype_and_device(name: str, quick_method: Maker, make_task: Maker) -> None:
    task = make_task(ipc=3)
    state = run(quick_method(name), task, 4)
    images = state.synthetic.images
    assert state.step == 4
    assert images.shape == (9, 1, 8, 8)
    assert images.dtype == torch.float32
    assert images.device == task.device
    assert torch.isfinite(images).all()
    assert state.synthetic.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert state.synthetic.labels.dtype == torch.int64


def test_classes_may_differ_in_their_images(name: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(ipc=(1, 3, 2)), quick_method(name)
    method.check(task)
    found = run(method, task, 2).synthetic
    assert found.content().labels.tolist() == [0, 1, 1, 1, 2, 2]
    assert [len(found.of_class(c)) for c in task.classes] == [1, 3, 2]


def test_works_in_bfloat16(name: str, quick_method: Maker, make_task: Maker) -> None:
    """Its loss is near that of float32, from which networks start with the same weights; what it learns is float32."""
    task, method = make_task(), quick_method(name)
    first, last = [], []
    for precision in ("float32", "bfloat16"):
        here = replace(task, network=task.network.computing_in(precision))
        steps = list(driver.trajectory(method, here, driver.begin(method, here, RNG), RNG, 2))
        first.append(steps[0][1])
        last.append(steps[-1][0].tensors())
    assert first[1] == pytest.approx(first[0], rel=0.1)
    assert all(t.dtype == last[0][key].dtype and t.isfinite().all() for key, t in last[1].items())


def test_leaves_the_real_images_alone(
    name: str, quick_method: Maker, make_task: Maker, tiny: ImageData
) -> None:
    before = tiny.train.pixels.copy(), tiny.train.labels.copy()
    images_after(quick_method(name, init="real"), make_task(), 3)
    assert np.array_equal(before[0], tiny.train.pixels)
    assert np.array_equal(before[1], tiny.train.labels)


def test_global_state_untouched(name: str, quick_method: Maker, make_task: Maker) -> None:
    """Generators, grad mode, default dtype, determinism, threads."""

    def flags() -> list[Any]:
        numpy_state = np.random.get_state()
        return [
            torch.get_rng_state().tolist(),
            torch.initial_seed(),
            str(numpy_state[0]),
            np.asarray(numpy_state[1]).tolist(),
            numpy_state[2],
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
            torch.backends.cudnn.benchmark,
            torch.get_float32_matmul_precision(),
        ]

    before = flags()
    images_after(quick_method(name), make_task(), 3)
    assert flags() == before


def test_global_generators_have_no_say(name: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(), quick_method(name)
    once = images_after(method, task, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        assert torch.equal(once, images_after(method, task, 3))


@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", BATCH_NORM], ids=["plain", "batch-norm"])
def test_gradient_reaches_every_image(name: str, network: str, quick_method: Maker, make_task: Maker) -> None:
    require_terms(name)
    task, method = make_task(network, ipc=3), quick_method(name, augmentation="none")
    state = driver.begin(method, task, RNG)
    for term in method.terms(task, state, RNG):
        term.backward(inputs=state.leaves())
    for leaf_name, leaf in state.synthetic.leaves().items():
        assert leaf.grad is not None
        per_image = leaf_name in ("images", "codes", "labels")
        assert (leaf.grad.abs().flatten(1 if per_image else 0).amax(-1) > 0).all(), leaf_name


def test_terms_touch_their_own_class_alone(name: str, quick_method: Maker, make_task: Maker) -> None:
    if name not in CLASS_WISE:
        pytest.skip("not a class-wise method")
    task, method = make_task(ipc=2), quick_method(name)
    state = driver.begin(method, task, RNG)
    for c, term in enumerate(method.terms(task, state, RNG)):
        state.synthetic.images.grad = None
        term.backward(inputs=state.leaves())
        gradient = state.synthetic.images.grad
        assert gradient is not None
        others = state.synthetic.labels != c
        assert not gradient[others].any()
        assert gradient[~others].any()
    assert c == 2


def test_loss_vanishes_when_the_synthetic_set_is_the_real_one(
    name: str, quick_method: Maker, make_task: Maker
) -> None:
    """As far as its labels are the real ones too, not learned, and a regression has next to no ridge."""
    require_terms(name)
    require_pixels(name)
    if name in NEVER_ZERO:
        pytest.skip("its loss is that of networks on real images")
    task = make_task(ipc=12)  # all there are
    as_they_are = {"augmentation": "none", "labels": "fixed", "mirror": "no", "ridge": 1e-9, "loss": "mse"}
    method = quick_method(name, real_batch=256, init="real", **as_they_are)
    state = driver.begin(method, task, RNG)
    same = objective(method, task, state, RNG)
    with torch.no_grad():
        state.synthetic.images.copy_(torch.randn(state.synthetic.images.shape, generator=RNG.torch()))
    assert 0 <= abs(same) < 1e-4 * objective(method, task, state, RNG)


def test_loss_on_probe_networks_falls(name: str, quick_method: Maker, make_task: Maker) -> None:
    """Networks and batches that no step of the run has seen."""
    require_terms(name)
    require_pixels(name)
    task, method = (
        make_task(),
        quick_method(
            name,
            init="real" if name in FIXED_IMAGES else "noise",
            augmentation="none",
            **FAST_RATE.get(name, {}),
        ),
    )

    def probe(state: State) -> float:
        total = 0.0
        for k in range(4):
            source = Rng(99).fork("probe", k)
            network = task.new_network(source)
            probed = replace(state, networks=dict.fromkeys(state.networks, network))
            total += objective(method, task, probed, source)
        return total

    before = probe(driver.begin(method, task, RNG))
    assert probe(run(method, task, 25)) < FALLS.get(name, 0.9) * before


def interrupted_run(data: Path, name: str, stop: int, **settings: Any) -> None:
    """A run that gets Ctrl-C after `stop` steps."""

    def press(report: StepReport) -> None:
        if report.step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=f"stopped after step {stop} of"):
        condensery.condense(data, name, callback=press, **settings)


def test_another_number_of_steps_is_refused_where_steps_depend_on_it(
    name: str, quick_fields: Maker, tiny_file: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"ipc": 2, "network": "convnet+width=8+depth=2", "device": "cpu"}
    condensery.condense(tiny_file, name, steps=2, out=tmp_path / "run", **settings, **quick_fields(name))
    if not getattr(METHODS[name], "scheduled", False):
        assert resume_run(tmp_path / "run", steps=3).record["step"] == 3
        return
    with pytest.raises(
        BadInput, match=r"was started with --steps 2, on which every step of .* leave out --steps 3"
    ):
        resume_run(tmp_path / "run", steps=3)
    assert resume_run(tmp_path / "run").record["steps"] == 2


@pytest.mark.parametrize("stop", [1, 4, 5])
@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", BATCH_NORM], ids=["plain", "batch-norm"])
def test_stop_and_resume_is_bit_for_bit(
    name: str, stop: int, network: str, quick_fields: Maker, tiny_file: Path, tmp_path: Path
) -> None:
    """With 3 updates per network: after the first, after a new network's first, and in mid outer loop.

    A warm-up of one network ends between them. A method with a schedule is interrupted, the others make fewer steps.
    """
    settings: dict[str, Any] = {"ipc": 2, "network": network, "seed": 11, "device": "cpu"}
    settings |= quick_fields(name, network_lr=0.1, outer_warmup=1)
    whole = condensery.condense(tiny_file, name, steps=7, **settings)
    if getattr(METHODS[name], "scheduled", False):
        interrupted_run(tiny_file, name, stop, steps=7, out=tmp_path / "run", **settings)
    else:
        condensery.condense(tiny_file, name, steps=stop, out=tmp_path / "run", **settings)
    resumed = resume_run(tmp_path / "run", steps=7, options=Options(device="cpu"))
    assert torch.equal(whole.images, resumed.images) and whole.training == resumed.training
    assert whole.targets is None or torch.equal(whole.targets, resumed.targets)
    assert whole.record["loss"] == resumed.record["loss"]
    assert resumed.record["step"] == 7


def test_a_checkpoint_that_is_not_finite_is_refused(name: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(), quick_method(name)
    state = driver.begin(method, task, RNG)
    tensors = {key: tensor.clone() for key, tensor in state.tensors().items()}
    spoiled = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    tensors[spoiled].view(-1)[0] = torch.nan
    with pytest.raises(BadFile, match=f"values of {spoiled} that are not finite"):
        state.restored(tensors, 0)


def test_the_network_of_a_checkpoint_matters(name: str, quick_method: Maker, make_task: Maker) -> None:
    """Or the test above would prove nothing for methods that train their network."""
    if name not in GRADIENT_MATCHING:
        pytest.skip("draws a new network at every step")
    task, method = make_task(), quick_method(name, network_lr=0.1)
    state = run(method, task, 4)  # one update and one training into the second network
    fresh = task.new_network(RNG.fork("step", 2).fork("advance").fork("network"))
    trained = [p.detach().clone() for p in state.network.parameters()]
    assert not all(torch.equal(a, b) for a, b in zip(trained, fresh.parameters(), strict=True))


def test_batch_norm_statistics(name: str, quick_method: Maker, make_task: Maker) -> None:
    """DC and its kin freeze the statistics of real images; DM embeds in training mode, all classes at once.

    FRePo's are tested beside it.
    """
    require_terms(name)
    if name in WITHOUT_NETWORKS:
        pytest.skip("keeps no network")
    if name == "frepo":
        pytest.skip("has a pool of networks, which keep the statistics that they were trained with")
    task = make_task(BATCH_NORM, ipc=2)
    method = quick_method(name, norm_images=4, augmentation="none")
    state = driver.begin(method, task, RNG)
    layer = next(m for m in state.network.modules() if isinstance(m, nn.BatchNorm2d))
    seen: list[tuple[bool, int]] = []
    layer.register_forward_hook(lambda m, inputs, output: seen.append((m.training, len(inputs[0]))))
    terms = list(method.terms(task, state, RNG))
    if name in GRADIENT_MATCHING:
        assert len(terms) == 3
        assert seen[0] == (True, 12)  # 4 real images of each of 3 classes
        assert not any(training for training, _ in seen[1:])
        first = next(m for m in state.network.modules() if isinstance(m, nn.Conv2d))
        real = torch.cat([task.pool.sample(c, 4, RNG.fork("norm images", c)) for c in range(3)])
        expected = 0.1 * first(real).detach().mean((0, 2, 3))  # momentum .1, from 0
        torch.testing.assert_close(layer.running_mean, expected)
    elif name == "dm":
        assert len(terms) == 1
        assert seen == [(True, 24), (True, 6)]


def test_batch_norm_runs(name: str, quick_method: Maker, make_task: Maker) -> None:
    images = images_after(quick_method(name, norm_images=4), make_task(BATCH_NORM), 4)
    assert torch.isfinite(images).all()


def test_frozen_statistics_follow_the_real_images(name: str, quick_method: Maker, make_task: Maker) -> None:
    """The synthetic images have no part in them: other images, same statistics."""
    if name not in GRADIENT_MATCHING:
        pytest.skip("does not freeze statistics")
    task, method = make_task(BATCH_NORM), quick_method(name, norm_images=4)
    statistics = []
    for start in ("noise", "real"):
        state = driver.begin(quick_method(name, init=start), task, RNG)
        list(method.terms(task, state, RNG))
        statistics.append({k: v.clone() for k, v in state.network.named_buffers()})
    assert all(torch.equal(statistics[0][k], statistics[1][k]) for k in statistics[0])


@pytest.mark.parametrize("init", INITS)
def test_initialisations(name: str, init: str, quick_method: Maker, make_task: Maker) -> None:
    require_terms(name)
    require_pixels(name)
    task = make_task(ipc=2)
    images = driver.begin(quick_method(name, init=init), task, RNG).synthetic.images.detach()
    for c in range(3):
        real = task.pool.images_at(task.pool.sample_indices(c, 12, RNG))
        found = [any(torch.equal(image, r) for r in real) for image in images[2 * c : 2 * c + 2]]
        assert found == [init != "noise"] * 2
    assert torch.isfinite(images_after(quick_method(name, init=init), task, 2)).all()


def test_unknown_initialisation_refused(name: str, make_task: Maker) -> None:
    require_terms(name)
    require_pixels(name)
    with pytest.raises(BadInput, match="unknown initialisation 'zeros'"):
        driver.begin(get_method(name, init="zeros"), make_task(), RNG)


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_distances(name: str, distance: str, quick_method: Maker, make_task: Maker) -> None:
    if name not in GRADIENT_MATCHING:
        pytest.skip("matches no gradients")
    method = quick_method(name, distance=distance)
    assert method.distance == distance
    task = make_task()
    assert not torch.equal(images_after(method, task, 3), images_after(method, task, 1))


def test_unknown_distance_refused(name: str, make_task: Maker) -> None:
    if name not in GRADIENT_MATCHING:
        pytest.skip("matches no gradients")
    with pytest.raises(BadInput, match="unknown distance 'l1'; choose one of rowwise"):
        get_method(name, distance="l1").check(make_task())


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_networks_without_embedding(name: str, network: str, quick_method: Maker, make_task: Maker) -> None:
    task, method = make_task(network), quick_method(name)
    if name in EMBEDDING:
        with pytest.raises(BadInput, match=f"{name} .* embeddings and {network} has none"):
            method.check(task)
    else:
        method.check(task)
        assert torch.isfinite(images_after(method, task, 3)).all()


def test_published_steps(name: str) -> None:
    published = {
        "dm": {1: 20_000, 10: 20_000, 50: 20_000},
        "dc": {1: 1000, 10: 10_000, 50: 50_000},
        "dsa": {1: 1000, 10: 10_000, 50: 50_000},
        "dcc": {1: 10_000, 10: 10_000, 50: 50_000},
        "dsac": {1: 10_000, 10: 10_000, 50: 50_000},
        "frepo": {1: 500_000, 10: 500_000, 50: 500_000},
        "dd": {1: 23_600, 10: 23_600, 50: 23_600},
        "mtt": {1: 5000, 10: 5000, 50: 5000},
        "cafe": {1: 20_000, 10: 20_000, 50: 20_000},
        "rfad": {1: 100_000, 10: 100_000, 50: 100_000},
        "kip": {1: 1000, 10: 1000, 50: 1000},
        "ld": {1: 19_600, 10: 19_600, 50: 19_600},
    }
    if name not in published:
        pytest.skip("no publication to compare with")
    for ipc, steps in published[name].items():
        assert get_method(name).steps(ipc) == steps


@pytest.mark.parametrize(
    ("ipc", "loops", "origin"),
    [
        (1, (1, 1), "published"),
        (5, (5, 23), "interpolated"),
        (10, (10, 50), "published"),
        (15, (15, 38), "interpolated"),
        (20, (20, 25), "published"),
        (30, (30, 20), "published"),
        (40, (40, 15), "published"),
        (50, (50, 10), "published"),
        (80, (50, 10), "as for 50, the largest published"),
    ],
)
def test_loops(name: str, ipc: int, loops: tuple[int, int], origin: str, make_task: Maker) -> None:
    if name not in GRADIENT_MATCHING:
        pytest.skip("has no loops")
    if name in CONTRASTIVE:  # (10, 5) at 1 image per class, and so (10, 25) at 5
        loops = {1: (10, 5), 5: (10, 25)}.get(ipc, loops)
    notes = get_method(name).check(make_task(ipc=ipc))
    line = (
        f"loops ({origin}): {count(loops[0], 'image update')} per network, "
        f"{count(loops[1], 'epoch')} of training between them"
    )
    assert line in notes
    given = get_method(name, outer_loop=7).check(make_task(ipc=ipc))
    assert any(note.startswith("loops (given): 7 image updates") for note in given)


def test_notes_are_lines(name: str, make_task: Maker) -> None:
    for note in get_method(name).check(make_task()):
        assert note and "\n" not in note


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_lr", "fast"),
        ("image_lr", -1.0),
        ("image_lr", float("nan")),
        ("real_batch", 1.5),
        ("real_batch", 0),
    ],
)
def test_bad_fields_refused(name: str, field: str, value: Any) -> None:
    """A method that learns no images has no such field, and says so."""
    with pytest.raises(BadInput, match=field):
        get_method(name, **{field: value})


def test_unknown_field_refused_with_the_nearest(name: str) -> None:
    known = [f.name for f in fields(METHODS[name])]  # type: ignore[arg-type]
    field = "image_lr" if "image_lr" in known else known[0]
    with pytest.raises(BadInput, match=f"did you mean '{field}'"):
        get_method(name, **{field.replace("_", "") + "s": 1})


def test_unknown_method_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(BadInput, match=f"did you mean '{name}'|there are"):
        get_method(name + "x")
