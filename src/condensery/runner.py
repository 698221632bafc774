"""Condense from a name or a folder to a set: `condense`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from condensery import starting_set, together
from condensery.budgets import Ipc, average, counts_for, recorded, require_budget
from condensery.coresets import SELECTORS
from condensery.data import load, whitened
from condensery.data.sources import absolute_source, given_options, silent
from condensery.errors import BadInput, require_count
from condensery.evaluation import Protocol
from condensery.method import Method, Task
from condensery.methods import get_method
from condensery.minutes import require_minutes, within
from condensery.models.precision import FLOAT32, require_precision
from condensery.models.registry import resolve
from condensery.presets import preset_line, preset_whitening, with_preset
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.resuming import resume_run
from condensery.run_folder import RunFolder, RunSettings
from condensery.session import Options, Session, StepReport
from condensery.team import Team


def condense(
    data: str | Path | ImageData,
    method: str | Method = "dm",
    *,
    ipc: Ipc | None = None,
    budget: int | str | None = None,
    network: str = "convnet",
    steps: int | None = None,
    preset: str | None = None,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = FLOAT32,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_every: float = 60.0,
    time_limit: float | None = None,
    memory: int | str | None = None,
    processes: int | Team = 1,
    evaluate_at: Sequence[int] = (),
    protocol: str | Protocol = "quick",
    callback: Callable[[StepReport], None] | None = None,
    announce: Callable[[str], None] = silent,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> SyntheticSet:
    """Condense labelled images into a few synthetic images per class.

    Args:
        data: images as for `condensery.load_images`: a name, a folder, a file, a Hub id, or loaded images.
        method: a name in `METHODS`, or a configured method.
        ipc: synthetic images per class: a number, or see `condensery.budgets.counts_of`; None for 1, or for as many as
            the set has that is started from.
        budget: bytes of 8-bit pixels with labels, such as "100kB", in place of `ipc`: as many of each class as it has
            room for.
        network: the architecture whose random instances the method uses.
        steps: updates of the synthetic set; None makes as many as the preset, or else the publication.
        preset: settings for what `fields` and `steps` leave open: "fast", minutes on two cores, or "paper", exactly
            what was published for these images and this budget; None takes the method's defaults.
        minutes: of this machine that the run may take: steps, and of the preset's settings (those of "fast" for None)
            as much as fits, are chosen by timing a few steps, said, and recorded as ordinary settings. With a preset
            no more than its steps are made, without one up to the published number.
        seed: decides every random draw.
        device: "auto", "cpu" or "cuda".
        precision: in which networks compute: "float32", or "bfloat16", which is faster on processors that have
            instructions for it and gives other images of the same worth, or "float32-compiled", which rounds
            elsewhere (docs/speed.md).
        out: a new folder for checkpoints and result; None keeps everything in memory.
        resume: go on if `out` holds this run already, to the same bits as if it had never stopped.
        checkpoint_every: seconds between checkpoints.
        time_limit: seconds after which the run stops cleanly with what it has.
        memory: bytes, or text such as "3GiB", that the run may take in memory, or on a GPU there; a step is tried
            before anything is written. None for no bound.
        processes: of this machine that share each step, or the team of `team.launched`; see docs/cluster.md.
        evaluate_at: numbers of updates after which the set is evaluated, by `protocol`.
        callback: called after every step.
        announce: called with lines of text for a person.
        size, channels: resize and convert the images, see `condensery.load_images`.
        data_options: more options of `condensery.load_images`, such as its `classes`.
        fields: of the method, if it is given by name. `init` can be another set, its file or run folder, whose images
            these start from.

    Returns:
        The set, with a record that says how it was made.

    Raises:
        BadInput: something asked for does not exist or does not fit.
        FailedWork: a step failed, such as by a loss that is no longer finite; the last good set is in `out`.
        Interrupted: Ctrl-C, after a checkpoint was written to `out`.
    """
    how_to_run = (device, checkpoint_every, time_limit, tuple(evaluate_at), protocol, callback, announce)
    options = Options(*how_to_run, memory, processes)
    fields, given = starting_set.split(fields)
    configured = not isinstance(method, str)
    method = _configured(method, fields, preset)
    require_budget(ipc, budget)
    _check(method, steps, minutes, network, device)
    together.require_shared(method, processes)
    require_precision(precision)
    how_to_load = given_options(size, channels, data_options)
    folder = None if out is None else RunFolder(Path(out))
    before = folder.settings() if resume and folder and folder.exists else None  # of the run that goes on
    if folder and not before:
        folder.require_free()
    images = load(data, announce=announce, **how_to_load)
    start = given and given.start(method, images.spec, announce)
    counts = counts_for(ipc, budget, images, announce, default=start and start.counts)
    typical = average(counts)
    typed = asdict(method) if configured else fields
    wanted = None
    if preset or (minutes is not None and not configured):
        kept = [*fields, "factor"] if given else fields  # images of a set that is started from stay whole
        method, wanted = with_preset(preset or "fast", method, kept, images, typical, network, announce)
        values = asdict(method)
        if kind := preset_whitening(preset or "fast", method.name, images.spec, typical, network, values):
            images = _whitened_by_preset(kind, images, how_to_load, announce)
            start = given and given.start(method, images.spec, silent)
    if before:  # a run keeps its number of steps, and what minutes chose for it
        if minutes is not None:
            method, network = _as_it_began(before, method, network, typed)
    else:
        steps = steps or wanted
        if preset:
            announce(preset_line(preset, method, typed, steps or method.steps(typical), typical))
        if minutes is not None:
            announce(f"timing steps, to see what fits into {minutes:g} minutes")
            task = Task.on(images, network, counts, pick_device(device), precision, start=start)
            fill = preset is None or steps is None
            found = within(minutes, method, task, fixed=typed, wanted=steps, fill=fill, seed=seed)
            method, network, steps = found.method, found.network, found.steps
            for line in found.lines:
                announce(line)
    settings = RunSettings(
        source=absolute_source(images.source),
        options={**how_to_load, **images.options},
        fingerprint=images.fingerprint,
        method=method.name,
        fields=asdict(method),
        ipc=recorded(counts),
        network=network,
        seed=seed,
        steps=method.steps(typical) if steps is None else steps,
        start=given and given.record,
        precision=precision,
    )
    if folder and before:
        about_data = ("source", "options", "fingerprint", "steps")
        asked = {k: v for k, v in asdict(settings).items() if k not in about_data}
        return resume_run(folder.path, steps=steps, options=options, asked=asked, images=images)
    session = Session(settings, method, images, options, start)
    with together.shared(session):
        if folder is None:
            return session.run()
        session.folder = RunFolder.create(folder.path, settings)  # only now, when nothing was refused
        with session.folder.locked():
            return session.run()


def _whitened_by_preset(
    kind: str, images: ImageData, how_to_load: Mapping[str, Any], announce: Callable[[str], None]
) -> ImageData:
    """Images whitened as published, unless somebody chose."""
    if "whitening" in how_to_load or images.spec.whitening is not None:
        return images
    announce(f"images are whitened ({kind}), as published; --whitening none leaves that out")
    return replace(whitened(images, kind, announce), options={**images.options, "whitening": kind})


def _configured(method: str | Method, fields: Mapping[str, Any], preset: str | None) -> Method:
    if isinstance(method, str):
        if method in SELECTORS:
            raise BadInput(f"{method!r} selects real images: use condense select, or condensery.select")
        return get_method(method, **fields)
    if fields or preset:
        what = ", ".join([*fields, *(["a preset"] if preset else [])])
        raise BadInput(f"set {what} on the method itself: it is already configured")
    return method


def _check(method: Method, steps: int | None, minutes: float | None, network: str, device: str) -> None:
    """Raises BadInput for what can be refused before the images are loaded."""
    require_count("steps", method.steps(1) if steps is None else steps)
    resolve(network)
    pick_device(device)
    if minutes is not None:
        require_minutes(minutes)
        if steps is not None:
            raise BadInput(f"--steps {steps} and --minutes {minutes:g} both say how long: give one of them")


def _as_it_began(
    kept: RunSettings, method: Method, network: str, given: Mapping[str, Any]
) -> tuple[Method, str]:
    """Method and network of a run that a budget chose, with what is given now."""
    if kept.method == method.name:
        method = get_method(method.name, **{**kept.fields, **given})
    return method, kept.network if network == "convnet" else network
