"""`continual`: learners with different memories on a stream of tasks, in several orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from condensery.apps.continual.learners import Learner
from condensery.apps.continual.learners import learners as configured
from condensery.apps.continual.memories import BUDGETS, RING, require_enough
from condensery.apps.continual.outcome import Continual, gathered
from condensery.apps.continual.perform import augmenter, perform
from condensery.apps.continual.streams import Stream, load_sets, stream_of
from condensery.apps.estimate import making, training
from condensery.apps.study import Folder, Found, do_jobs, job_of, require_names
from condensery.comparison.entries import Steps, entries
from condensery.comparison.plan import Entry
from condensery.coresets import Selector
from condensery.data.sources import given_options
from condensery.errors import BadInput, require_count
from condensery.jobs.job import Job
from condensery.jobs.work import Running, Where
from condensery.method import Method
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageData
from condensery.text import count, readable_seconds


def continual(
    data: str | Path | ImageData | Sequence[str | Path | ImageData],
    memories: Sequence[str | Method | Selector | Entry] = ("random", "herding", "dm"),
    *,
    out: str | Path,
    scenario: str = "class",
    tasks: int = 5,
    order: Sequence[str] = (),
    shuffle: bool | None = None,
    learners: Sequence[str] = ("gdumb",),
    ipc: int = 10,
    budget: str = "images",
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    network: str = "convnet",
    steps: Steps = None,
    settings: Mapping[str, Any] | None = None,
    learning: Mapping[str, Any] | None = None,
    augmentation: str = "auto",
    test_images: int | None = None,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    estimate: bool = True,
    dry_run: bool = False,
    **where: Unpack[Where],
) -> Continual:
    """Learn a stream of tasks with several memories and learners, in several orders.

    Args:
        data: one set, or several, as for `condensery.load_images`; "mnist+invert" and "mnist+rotate=90" are MNIST as
            another domain. Several are normalised as the first one is.
        memories: methods and selectors, as for `condensery.compare`; and "ring", the last images of each class.
        out: the folder of the study; the same call goes on with it, after the last finished step of each order.
        scenario: "class" (the classes of one set in steps), "domain" (several sets with the same classes), or "task"
            (several sets with classes of their own; the task of an image is known).
        tasks: steps into which the classes are split, for "class".
        order: all classes in the order in which they come, for "class"; () draws one, or takes the set's own.
        shuffle: draw the order from the seed; None does so for "class" without `order`.
        learners: "eeil", "eeil-no-kd", "gdumb", "er".
        ipc: images per class that are kept of each task.
        budget: "images" keeps learned images in single precision; "bytes" keeps them as 8-bit pixels, as real ones are,
            so that all memories of pixels take the same bytes.
        seeds: an order, and all other draws, for each.
        network: for learners and methods.
        steps, settings: of methods and selectors, as for `condensery.compare`.
        learning: fields of learners: "field" or "label.field".
        augmentation: Siamese groups for all training, "auto" or "none".
        test_images: at most so many of each task, drawn once for each seed; None tests on all.
        size, channels, data_options: for loading.
        estimate: say how long it will take.
        dry_run: check, say, and do nothing.
        where: device, workers, ray, gpus_per_job, threads, engine, command, announce: as for `condensery.compare`.

    Raises:
        BadInput: something asked for does not exist or does not fit.
        Interrupted: after Ctrl-C; the same call goes on.
    """
    chosen, students = _entries(memories, settings or {}, steps), configured(learners, learning or {})
    require_count("ipc", ipc)
    require_count("test-images", test_images)
    if budget not in BUDGETS:
        raise BadInput(f"unknown budget {budget!r}; choose one of {', '.join(BUDGETS)}")
    if not seeds:
        raise BadInput("name a seed with --seeds, such as 0-4: each is an order of its own")
    factory = resolve(network)
    running = Running(**where)
    pick_device(running.device)
    given = [data] if isinstance(data, str | Path | ImageData) else list(data)
    sets = load_sets(given, given_options(size, channels, data_options), running.announce)
    shuffled = scenario == "class" and not order if shuffle is None else shuffle
    stream = stream_of(sets, scenario, tasks, order, shuffled, seeds[0])
    factory.parameter_count(stream.spec)  # refuses images that are too small for the network
    augmenter(augmentation, stream)
    common = {
        "data": sets, "scenario": scenario, "tasks": tasks, "order": list(order), "shuffled": shuffled,
        "learners": {label: (one.name, asdict(one)) for label, one in students.items()},
        "network": network, "augmentation": augmentation, "test_images": test_images,
    }  # fmt: skip
    jobs: dict[tuple[str, int], Job] = {}
    for entry in chosen:
        require_enough(stream.steps, entry.label, ipc)
        for seed in dict.fromkeys(seeds):
            record = {**common, "memory": asdict(entry), "count": ipc, "budget": budget, "seed": seed}
            words = (entry.label, f"ipc{ipc}", *students, f"seed{seed}")
            jobs[entry.label, seed] = job_of(words, "continual", record, f"{entry.label}, seed {seed}")
    _announce(stream, len(jobs), shuffled, ipc, budget, running.announce)
    if estimate:
        seconds = _seconds(stream, chosen, students, ipc, network, running.device)
        total = readable_seconds(seconds * len(set(seeds)) / (running.workers or 1))
        running.announce(f"about {total} for all, {running.workers or 1} at a time")
    asked = {
        **common,
        "memories": [asdict(e) for e in chosen],
        "ipc": ipc,
        "budget": budget,
        "seeds": list(seeds),
    }
    folder, found = Folder(Path(out)), Found()
    if not dry_run:
        found = do_jobs(folder, "continual", asked, [lambda _: list(jobs.values())], perform, running)
    return gathered(folder.path, asked, stream, jobs, found, running.command)


def _entries(memories: Sequence[Any], settings: Mapping[str, Any], steps: Steps) -> list[Entry]:
    """Every memory; methods with as many steps as asked for, or as published."""
    if not memories:
        raise BadInput(
            f"name a memory with --memories: {RING}, a method or a selector, such as random,herding,dm"
        )
    known = [one for one in memories if one != RING]
    require_names("memory", known, RING)
    found = list(entries(known, settings, steps)) if known else []
    return [*([Entry(RING, RING)] if RING in memories else []), *found]


def _seconds(
    stream: Stream,
    chosen: Sequence[Entry],
    students: Mapping[str, Learner],
    ipc: int,
    network: str,
    device: str,
) -> float:
    """That one order takes with every memory, measured on the first step."""
    images, trained, kept = stream.steps[0].images, 0.0, 0
    for step in stream.steps:
        kept += ipc * len(step.classes)
        trained += sum(one.work(len(step.images.train), kept) for one in students.values())
    made = making(images, [one for one in chosen if one.method != RING], ipc, network, device)
    return training(images, [network], trained * len(chosen), device) + made * len(stream.steps)


def _announce(
    stream: Stream, jobs: int, shuffled: bool, ipc: int, budget: str, announce: Callable[[str], None]
) -> None:
    names = "classes drawn for each seed" if shuffled else " -> ".join(step.name for step in stream.steps)
    announce(f"{count(len(stream.steps), 'step')} ({names}), {stream.spec.num_classes} classes")
    each = "all as 8-bit pixels" if budget == "bytes" else "learned ones in single precision"
    announce(
        f"{ipc} per class of each step are kept ({each}); {count(jobs, 'job')}, one for each memory and seed"
    )
