"""What every selector keeps. A new selector is tested here by being registered, and by nothing else."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from condensery import METHODS, SELECTORS, BadInput, ImageData, Rng, get_selector
from condensery.cli.main import main
from condensery.coresets import as_set
from condensery.coresets.ranking import KEEP
from condensery.models.registry import NetworkFactory

RNG = Rng(3)
NAMES = sorted(SELECTORS)
NEEDS_FEATURES = ("herding", "k-center")

Maker = Callable[..., Any]


class Own(nn.Module):
    """A user's own network, with a layer that draws and one that mixes the images of a batch."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        pixels = channels * image_size[0] * image_size[1]
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.head = nn.Linear(8, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


OWN = NetworkFactory("my.module:Own", "my.module:Own", Own)

pytestmark = [pytest.mark.parametrize("name", NAMES), pytest.mark.usefixtures("fresh_cache")]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_defaults_construct_and_round_trip_through_json(name: str) -> None:
    selector = get_selector(name)
    again = get_selector(name, **json.loads(json.dumps(asdict(selector))))  # type: ignore[call-overload]
    assert again == selector == SELECTORS[name]()
    assert selector.name == name and name not in METHODS
    assert selector.summary and "\n" not in selector.summary
    assert isinstance(selector.nested, bool)


def test_is_frozen_and_documents_every_field(name: str) -> None:
    selector = get_selector(name)
    with pytest.raises(FrozenInstanceError):
        selector.anything = 1  # type: ignore[attr-defined]
    for f in fields(selector):  # type: ignore[arg-type]
        declared_in = next(c for c in type(selector).__mro__ if f.name in vars(c).get("__annotations__", {}))
        source = inspect.getsource(declared_in)
        declaration = source[source.index(f"    {f.name}: ") :]
        assert declaration.splitlines()[1].strip().startswith('"""'), f.name


@pytest.mark.parametrize("ipc", [1, 4])
def test_as_many_as_asked_for_all_different_and_of_their_class(
    name: str, ipc: int, quick: Maker, make_selection: Maker, tiny: ImageData
) -> None:
    picks = quick(name).select(make_selection(ipc), RNG)
    assert len(picks) == 3
    for c, indices in enumerate(picks):
        assert indices.dtype == np.int64 and indices.shape == (ipc,)
        assert len(set(indices.tolist())) == ipc
        assert (tiny.train.labels[indices] == c).all()


def test_one_seed_one_selection(name: str, quick: Maker, make_selection: Maker) -> None:
    task, selector = make_selection(), quick(name)
    assert same(selector.select(task, RNG), selector.select(task, RNG))


def test_another_seed_another_selection(name: str, quick: Maker, make_selection: Maker) -> None:
    """Each of them draws something: images, subsets or the weights of networks."""
    task, selector = make_selection(), quick(name)
    once = selector.select(task, RNG)
    assert not all(same(once, selector.select(task, Rng(seed))) for seed in range(4, 8))


def test_a_larger_selection_begins_with_the_smaller_where_promised(
    name: str, quick: Maker, make_selection: Maker
) -> None:
    selector = quick(name, networks=1, epochs=15, selections=6, held_out=0.5)

    def begins(rng: Rng) -> bool:
        small, large = (selector.select(make_selection(ipc), rng) for ipc in (3, 6))
        return same(small, [indices[:3] for indices in large])

    assert all(begins(Rng(seed)) for seed in range(4)) == selector.nested


def test_images_are_those_at_the_indices_bit_for_bit(
    name: str, quick: Maker, make_selection: Maker, tiny: ImageData
) -> None:
    task = make_selection()
    chosen = as_set(task.pool, quick(name).select(task, RNG), {"method": name})
    indices = chosen.record["indices"]
    expected = tiny.spec.normalise(torch.from_numpy(tiny.train.pixels[indices].transpose(0, 3, 1, 2).copy()))
    assert torch.equal(chosen.images, expected)
    assert chosen.labels.tolist() == tiny.train.labels[indices].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_global_state_and_images_untouched(
    name: str, quick: Maker, make_selection: Maker, tiny: ImageData
) -> None:
    def state() -> list[Any]:
        return [
            torch.get_rng_state().tolist(),
            np.asarray(np.random.get_state()[1]).tolist(),
            torch.is_grad_enabled(),
            tiny.train.pixels.tobytes(),
            tiny.train.labels.tobytes(),
        ]

    before = state()
    quick(name).select(make_selection(), RNG)
    assert state() == before


def test_global_generators_have_no_say(name: str, quick: Maker, make_selection: Maker) -> None:
    task, selector = replace(make_selection(), network=OWN), quick(name)
    once = selector.select(task, RNG)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        assert same(once, selector.select(task, RNG))


def test_all_work_is_told_and_no_more(name: str, quick: Maker, make_selection: Maker) -> None:
    """Or the bar and the time left would be wrong."""
    heard: list[float] = []
    task = make_selection(worked=lambda stage, images: heard.append(images))
    selector = quick(name)
    for _ in ("everything is trained", "some networks are kept"):
        expected = selector.work(task, RNG)
        selector.select(task, RNG)
        assert sum(heard) == pytest.approx(expected)
        assert all(images > 0 for images in heard)
        heard.clear()


def test_a_kept_network_gives_the_same_selection(name: str, quick: Maker, make_selection: Maker) -> None:
    """Whichever selector and budget trained it: bit for bit, with batch norm too."""
    stages: list[str] = []
    task = make_selection(
        network="convnet+width=8+depth=1+norm=batch", worked=lambda stage, _: stages.append(stage)
    )
    selector = quick(name)
    first = selector.select(task, RNG)
    trained = stages.count("training")
    stages.clear()
    assert same(first, selector.select(task, RNG))
    kept = hasattr(selector, "weights")
    assert stages.count("training") == (0 if kept else trained)
    if name in NEEDS_FEATURES:
        for other in NEEDS_FEATURES:
            quick(other).select(replace(task, counts=(2, 2, 2)), RNG)
        assert "training" not in stages, "they share the network"


def test_every_image_of_a_class_can_be_asked_for(name: str, quick: Maker, make_selection: Maker) -> None:
    if name == "optimal-random":
        pytest.skip("holds some of them out")
    picks = quick(name).select(make_selection(12), RNG)
    assert [sorted(p) for p in picks] == [sorted(make_selection().pool.members(c)) for c in range(3)]


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_networks_without_embedding(name: str, network: str, quick: Maker, make_selection: Maker) -> None:
    task, selector = make_selection(network=network), quick(name)
    if name in NEEDS_FEATURES:
        with pytest.raises(BadInput, match=f"{name} compares features and {network} has none"):
            selector.check(task)
    else:
        selector.check(task)
        assert all(len(p) == 4 for p in selector.select(task, RNG))


def test_random_weights_need_no_training(name: str, quick: Maker, make_selection: Maker) -> None:
    if not hasattr(get_selector(name), "weights"):
        pytest.skip("trains always, or never")
    stages: set[str] = set()
    task = make_selection(worked=lambda stage, images: stages.add(stage))
    trained, random = quick(name), quick(name, weights="random")
    random.select(task, RNG)
    assert "training" not in stages
    assert random.work(task, RNG) < trained.work(task, RNG)
    trained.select(task, RNG)
    assert "training" in stages
    with pytest.raises(BadInput, match="unknown weights 'pretrained'; choose one of trained, random"):
        quick(name, weights="pretrained").check(task)


def test_both_ends_of_a_score(name: str, quick: Maker, make_selection: Maker) -> None:
    if not hasattr(get_selector(name), "keep"):
        pytest.skip("has no score")
    task = make_selection(4)
    easy, hard = (quick(name, keep=keep, networks=6).select(task, RNG) for keep in KEEP)
    assert not same(easy, hard)
    with pytest.raises(BadInput, match="unknown end of the scores 'best'; choose one of easy, hard"):
        quick(name, keep="best").check(task)


def test_notes_are_lines(name: str, quick: Maker, make_selection: Maker) -> None:
    for note in quick(name).check(make_selection()):
        assert note and "\n" not in note


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("epochs", "many"), ("networks", -1)])
def test_bad_fields_refused(name: str, field: str, value: Any) -> None:
    with pytest.raises(BadInput, match=field):
        get_selector(name, **{field: value})


def test_unknown_selector_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(BadInput, match=f"unknown selector '{name}x'; there are .*did you mean '{name}'"):
        get_selector(name + "x")


@pytest.mark.parametrize("name", [name for name in SELECTORS if name != "random"])
def test_what_differs_from_its_papers_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    listed = (sys.modules[SELECTORS[name].__module__].__doc__ or "").partition("Differences from the paper")[
        2
    ]
    assert (
        told["source"] and len(told["differences"]) == len(re.findall(r"^\d+\. ", listed, re.MULTILINE)) > 0
    )
