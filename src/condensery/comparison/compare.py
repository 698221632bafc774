"""`compare`: methods x budgets x networks x seeds on one data set under one protocol, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

from condensery.budgets import Ipc, counts_for, frozen, parsed, recorded
from condensery.comparison.entries import Steps, entries
from condensery.comparison.folder import Folder
from condensery.comparison.given import given_sets
from condensery.comparison.perform import perform
from condensery.comparison.plan import Entry, Given, Plan
from condensery.comparison.reports import Comparison
from condensery.comparison.run import Run
from condensery.comparison.shortened import shortened
from condensery.coresets import SELECTORS, Selector
from condensery.data import load
from condensery.data.sources import given_options
from condensery.errors import BadInput, require_count
from condensery.evaluation import Protocol, SoftLabels, get_protocol
from condensery.evaluation.evaluator import own_network
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.jobs.work import Running, Where
from condensery.method import Method
from condensery.methods import METHODS
from condensery.models.registry import resolve
from condensery.records import ImageData
from condensery.report.contents import WHOLE


def compare(
    data: str | Path | ImageData,
    methods: Sequence[str | Method | Selector | Entry] = (),
    *,
    out: str | Path,
    sets: Sequence[str | Path] = (),
    ipc: Ipc | Sequence[Ipc] = (1,),
    networks: Sequence[str] = (),
    condense_with: Sequence[str] = ("convnet",),
    seeds: Sequence[int] = (0,),
    protocol: str | Protocol = "quick",
    repeats: int | None = None,
    scale: float | None = None,
    steps: Steps = None,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    whole: bool = True,
    whole_epochs: int | None = None,
    whole_repeats: int = 1,
    soft_labels: SoftLabels | None = None,
    augmentation_robustness: bool = False,
    equal_bytes: bool = False,
    evaluation: Mapping[str, Any] | None = None,
    evaluation_seed: int = 0,
    evaluate_at: Sequence[int] = (),
    estimate: bool = True,
    dry_run: bool = False,
    callback: Callable[[Run], None] | None = None,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    **where: Unpack[Where],
) -> Comparison:
    """Make sets by several methods, train networks on each from scratch, and test them on the real test images.

    Args:
        data: images as for `condensery.load_images`.
        methods: names in `METHODS` or `SELECTORS`, "label=name", configured methods or selectors, or `Entry`s. None
            is needed where `sets` are given.
        out: a folder for everything. The same call again goes on after an interruption; one that asks for more
            does only what is new.
        sets: finished ones to be judged beside those that are made, each in a row of its own: run folders or set files
            of the same classes and size, however they were made.
        ipc: images per class: one budget or a list of them, each a number or another form of
            `condensery.budgets.counts_of`. A list of numbers is a list of budgets.
        networks: architectures to train and test; none means those that sets are made with, and were made with where
            all are given.
        condense_with: architectures to match with.
        seeds: of the sets. With a single one, each network gets random images of its own.
        protocol: a name in `PROTOCOLS`, or a protocol of your own.
        repeats: networks for each set and architecture; None takes the protocol's number.
        scale: times the published number of updates.
        steps: updates of every method, or by label.
        minutes: of this machine that the comparison may take, in one process: settings that fit are chosen by timing a
            few steps, half of the time for making sets and half for judging them, and kept as ordinary settings.
        settings: fields of methods: "label.field" for one, "field" for all that have it.
        whole, whole_epochs, whole_repeats: networks trained on the whole training set; None for as many
            optimiser steps as on the largest set.
        soft_labels: train networks on the sets with a teacher's labels too; None: hard labels alone.
        augmentation_robustness: train networks on the sets without augmentation too.
        equal_bytes: beside sets that are generators, train on as many random images as have their bytes too.
        evaluation: further options of `condensery.evaluate`, for every set: plain values.
        evaluation_seed: a set with seed s is evaluated with seed evaluation_seed + s.
        evaluate_at: updates after which a set is evaluated on the way, for the curves of the page; those beyond a
            set's last are left out. Sets that are there already get no curve.
        estimate: measure beforehand how long it will take, and say so.
        dry_run: no more than the checks and the estimate; `out` is not touched.
        callback: told of the run once before the first job, and after each.
        size, channels, data_options: of `condensery.load_images`.
        where: how and where jobs run: device, workers, ray, gpus_per_job, threads, engine, command, announce; see
            `condensery.jobs.work.Where`.

    Raises:
        BadInput: something asked for does not exist, `out` holds something else, or no cell can be done.
        Interrupted: Ctrl-C; the same call goes on.
    """
    running = Running(**where)
    announce = running.announce
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    asked = entries(methods, settings or {}, steps) if methods or settings or not sets else ()
    made_with = [resolve(name).canonical for name in condense_with]
    tested = [resolve(name).canonical for name in networks]
    repeats_given, repeats = repeats is not None, protocol.repeats if repeats is None else repeats
    one_each = {"repeats": repeats, "whole-repeats": whole_repeats, "whole-epochs": whole_epochs}
    budgets = [ipc] if isinstance(ipc, int | str | Path | Mapping) else list(ipc)
    for one in budgets:
        parsed(one)
    for name, number in one_each.items():
        require_count(name, number)
    for name, values in (("ipc", budgets), ("seeds", seeds), ("condense-with", condense_with)):
        if not values:
            raise BadInput(f"--{name} is empty: give at least one")
    _require_one_length(steps, scale, minutes)
    if whole_epochs is not None and not whole:
        raise BadInput("--whole-epochs trains on the whole set, and --no-whole does not: leave one out")
    if evaluate_at and min(evaluate_at) < 0:
        raise BadInput(f"--evaluate-at takes numbers of steps, not {min(evaluate_at)}")
    if soft_labels is not None and soft_labels.network is not None:
        resolve(soft_labels.network)
    protocol_values = protocol.to_json()
    images = load(data, announce=announce, **given_options(size, channels, data_options))
    taken = {*METHODS, *SELECTORS, WHOLE, *(one.label for one in asked)}
    given = given_sets(sets, taken, images, announce)
    plan = Plan.on(
        images,
        entries=asked,
        budgets=_unique(frozen(recorded(counts_for(one, None, images, announce))) for one in budgets),
        condense_with=_unique(made_with),
        networks=_unique(tested or _networks(asked, made_with, given, protocol)),
        seeds=_unique(seeds),
        protocol=protocol_values,
        repeats=repeats,
        evaluation={
            "soft_labels": soft_labels and asdict(soft_labels),
            "augmentation_robustness": augmentation_robustness,
            **({"baselines": [EQUAL_BYTES]} if equal_bytes else {}),
            **(evaluation or {}),
        },
        scale=scale,
        whole=whole,
        whole_epochs=whole_epochs,
        whole_repeats=whole_repeats,
        evaluation_seed=evaluation_seed,
        evaluate_at=_unique(evaluate_at),
        given=given,
    )
    folder = Folder(Path(out))
    kept = folder.asked()
    if minutes is not None:
        plan = shortened(plan, minutes, images, running.device, kept and kept.plan, repeats_given, announce)
    run = Run(plan, images, folder, running.device, announce)
    if running.threads is None and kept:
        running = replace(running, threads=kept.threads or None)
    with running.opened(perform) as engine:
        return run.carry_out(engine, running.threads, estimate, dry_run, running.command, callback)


def _require_one_length(steps: Steps, scale: float | None, minutes: float | None) -> None:
    """Raises BadInput for a share that cannot be, or where two of these say how long."""
    if scale is not None and not 0 < scale < math.inf:
        raise BadInput(f"--scale must be more than 0, not {scale}")
    if scale is not None and isinstance(steps, int):
        raise BadInput(f"--steps {steps} and --scale {scale} say the same twice: give one of them")
    if minutes is not None and (scale is not None or steps is not None):
        other = "--scale" if steps is None else "--steps"
        raise BadInput(f"{other} and --minutes {minutes:g} both say how long: give one of them")


def _networks(
    asked: Sequence[Entry], made_with: Sequence[str], given: Sequence[Given], protocol: Protocol
) -> Iterator[str]:
    """Those that sets are made with, or were made with where all are given, as the protocol has them."""
    if asked:
        yield from (protocol.network(resolve(name)).canonical for name in made_with)
    else:
        yield from (own_network(one.record, protocol).canonical for one in given)


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
