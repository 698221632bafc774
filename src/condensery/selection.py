"""Select real images as a small training set: `select`, from a name or a folder to a set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from condensery.budgets import Counts, Ipc, counts_for, recorded, require_budget
from condensery.coresets import SelectionTask, Selector, as_set, get_selector
from condensery.data import ClassPool, load
from condensery.data.sources import given_options, silent
from condensery.errors import BadInput
from condensery.methods import METHODS
from condensery.models.registry import resolve
from condensery.provenance import environment, origin, peak_memory, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.run_folder import RunFolder, reserved
from condensery.text import first_few, readable_seconds
from condensery.training import default_chunk, train_step
from condensery.training_recipe import Recipe

_PROBE = {"cpu": 32, "cuda": 256}  # images in the batch that is timed for the estimate
_WORTH_ESTIMATING = 40  # such batches; less is over before an estimate helps


@dataclass(frozen=True)
class SelectionReport:
    """What a callback learns while a selector works.

    Attributes:
        stage: what is being done: "training", "features", "scores" or "judging".
        done, total: work, in images that go through a training step.
        seconds: spent so far.
    """

    stage: str
    done: float
    total: float
    seconds: float


def select(
    data: str | Path | ImageData,
    method: str | Selector = "herding",
    *,
    ipc: Ipc | None = None,
    budget: int | str | None = None,
    network: str = "convnet",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    callback: Callable[[SelectionReport], None] | None = None,
    announce: Callable[[str], None] = silent,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> SyntheticSet:
    """Select real training images of each class.

    Args:
        data: images as for `condensery.load_images`: a name, a folder, a file, a Hub id, or loaded images.
        method: a name in `SELECTORS`, or a configured selector.
        ipc: images to select per class: a number, or see `condensery.budgets.counts_of`; None for
            1. Of a class that has fewer, all are taken.
        budget: bytes of 8-bit pixels with labels, such as "100kB", in place of `ipc`: as many of each class as it has
            room for.
        network: the architecture whose features or scores are used, where the selector uses any.
        seed: decides every random draw.
        device: "auto", "cpu" or "cuda".
        out: a new folder for the result; None keeps it in memory.
        callback: called as the work goes on.
        announce: called with lines of text for a person.
        size, channels: resize and convert the images, see `condensery.load_images`.
        data_options: more options of `condensery.load_images`, such as its `classes`.
        fields: of the selector, if it is given by name.

    Returns:
        The set, with a record that says how it was made; `record["indices"]` are those of its images in the
        training set, in the order of the set: class by class, the best first.

    Raises:
        BadInput: something asked for does not exist or does not fit.
    """
    selector = _configured(method, fields)
    require_budget(ipc, budget)
    factory, where = resolve(network), pick_device(device)
    if out is not None:
        RunFolder(Path(out)).require_free()
    options = given_options(size, channels, data_options)
    images = load(data, announce=announce, **options)
    pool = ClassPool(images.train, images.spec, where)
    pool.require_real()
    counts = as_many_as_there(counts_for(ipc, budget, images, announce), pool, announce)
    task = SelectionTask(pool, factory, counts, where, default_chunk(where))
    for note in (
        *selector.check(task),
        factory.depth_note(images.spec) if selector.name != "random" else None,
    ):
        if note:
            announce(note)
    record = {
        "method": selector.name,
        "fields": asdict(selector),
        "ipc": recorded(counts),
        "network": network,
        "seed": seed,
        "data": origin(images, {**options, **images.options}),
        "accuracies": [],
    }
    with reserved(out) as folder:
        result = _run(selector, task, Rng(seed), record, callback, announce)
        if folder:
            folder.save_set(result, announce)
    return result


def as_many_as_there(counts: Counts, pool: ClassPool, announce: Callable[[str], None]) -> Counts:
    """`counts`, or all images of a class that has fewer, which is said in a line."""
    found = tuple(min(pair) for pair in zip(counts, pool.counts, strict=True))
    if short := [c for c in range(len(counts)) if found[c] < counts[c]]:
        each = [f"{pool.spec.class_names[c]} {found[c]} of {counts[c]}" for c in short]
        announce(f"fewer training images than asked for, all are taken: {first_few(each)}")
    return found


def _configured(method: str | Selector, fields: Mapping[str, Any]) -> Selector:
    if isinstance(method, str):
        if method in METHODS:
            raise BadInput(f"{method!r} makes synthetic images: use condense run, or condensery.condense")
        return get_selector(method, **fields)
    if fields:
        raise BadInput(f"set {', '.join(fields)} on the selector itself: it is already configured")
    return method


def _run(
    selector: Selector,
    task: SelectionTask,
    rng: Rng,
    record: dict[str, Any],
    callback: Callable[[SelectionReport], None] | None,
    announce: Callable[[str], None],
) -> SyntheticSet:
    draws = rng.fork("select")
    total = selector.work(task, draws)
    _announce_estimate(task, total, rng, announce)
    started, done = time.perf_counter(), 0.0

    def worked(stage: str, images: float) -> None:
        nonlocal done
        done += images
        if callback:
            callback(SelectionReport(stage, done, total, time.perf_counter() - started))

    picks = selector.select(replace(task, worked=worked), draws)
    seconds = round(time.perf_counter() - started, 1)
    cost = {"seconds": seconds, "memory": peak_memory(task.device)}
    return as_set(task.pool, picks, {**record, **cost, **environment(task.device)})


def _announce_estimate(task: SelectionTask, total: float, rng: Rng, announce: Callable[[str], None]) -> None:
    """Time two training steps of a throw-away network, the first of which warms up, and scale."""
    count = min(_PROBE[task.device.type], len(task.pool.labels))
    if total < _WORTH_ESTIMATING * count:
        return
    rng = rng.fork("estimate")
    images, labels = task.images().batch(torch.arange(count))
    network = task.new_network(rng)
    optimizer = Recipe(1).make_optimizer(network, 0.01)
    began = 0.0
    with rng.seeded(task.device):
        for _ in range(2):
            _synchronise(task.device)
            began = time.perf_counter()
            train_step(network, optimizer, images, labels, task.chunk)
        _synchronise(task.device)
    seconds = (time.perf_counter() - began) * total / count
    announce(f"about {readable_seconds(seconds)} on {task.device}")


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
