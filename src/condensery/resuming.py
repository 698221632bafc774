"""Go on with a run that a folder holds: `resume_run`, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from condensery import starting_set, together
from condensery.budgets import counts_for, recorded
from condensery.data import load, whitened
from condensery.data.sources import silent
from condensery.errors import BadInput, require_count
from condensery.methods import get_method
from condensery.records import ImageData, SyntheticSet
from condensery.run_folder import RunFolder, RunSettings
from condensery.session import Options, Session


def resume_run(
    out: str | Path,
    *,
    steps: int | None = None,
    options: Options | None = None,
    asked: Mapping[str, Any] | None = None,
    images: ImageData | None = None,
) -> SyntheticSet:
    """Go on with the run in folder `out`, to the same bits as if it had never stopped.

    Args:
        out: the run folder.
        steps: a new total, if the method's steps do not depend on it; None keeps the run's.
        options: device, checkpoints, time limit, ...; they may differ from the first session's.
        asked: settings that the run must have been started with.
        images: the run's data, if they are loaded already.

    Raises:
        BadInput: there is no such run, it was started with other settings, or its data have changed.
    """
    options = options or Options()
    folder = RunFolder(Path(out))
    settings = folder.settings()
    asked = dict(asked or {})
    ipc, budget = asked.pop("ipc", None), asked.pop("budget", None)  # understood when the images are there
    fields, start = starting_set.split(asked.get("fields", {}))
    if start:
        asked |= {"fields": fields, "start": start.record}
    _require_same(settings, asked, folder)
    if steps is not None:
        require_count("steps", steps)
        _require_open_end(settings, steps, folder)
        settings = replace(settings, steps=steps)
    if images is None:
        images = load(settings.source, announce=options.announce, **settings.options)
    elif images.spec.whitening is None:  # the run's, which a preset may have chosen
        images = whitened(images, settings.options.get("whitening", "none"), options.announce)
    if images.fingerprint != settings.fingerprint:
        raise BadInput(
            f"{settings.source} has changed since the run in {out} began: start a new run with another --out"
        )
    if ipc is not None or budget is not None:
        _require_same(settings, {"ipc": recorded(counts_for(ipc, budget, images, silent))}, folder)
    method = get_method(settings.method, **settings.fields)
    together.require_shared(method, options.processes)
    begins = starting_set.start_again(settings, method, images.spec, folder)
    session = Session(settings, method, images, options, begins)
    with folder.locked():
        session.resume(folder)
        folder.write_settings(settings)
        with together.shared(session):
            return session.run()


def _require_same(settings: RunSettings, asked: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse to go on with a run under other settings, or to run code that only its files name."""
    method = get_method(
        settings.method, **settings.fields
    )  # with the defaults of fields that are newer than the run
    started = {**asdict(settings), **asdict(method)}
    wanted = {**{key: value for key, value in asked.items() if key != "fields"}, **asked.get("fields", {})}
    for key, value in wanted.items():
        if value != started.get(key):
            raise BadInput(
                f"the run in {folder.path} was started with {key} {started.get(key)}, not {value}: "
                "leave that out to go on with it, or choose another --out"
            )
    if ":" in settings.network and "network" not in asked:
        raise BadInput(
            f"the run in {folder.path} uses a network of your own: repeat --network {settings.network} to run its code"
        )
    for field, value in settings.fields.items():
        if isinstance(value, str) and ":" in value and field not in asked.get("fields", {}):
            flag = f"--{field.replace('_', '-')}"
            raise BadInput(
                f"the run in {folder.path} uses a {field} of your own: repeat {flag} {value} to run its code"
            )


def _require_open_end(settings: RunSettings, steps: int, folder: RunFolder) -> None:
    """Refuse another number of steps where the steps that were made depend on it."""
    method = get_method(settings.method, **settings.fields)
    if steps != settings.steps and getattr(method, "scheduled", False):
        raise BadInput(
            f"the run in {folder.path} was started with --steps {settings.steps}, on which every step of "
            f"{method.name} depends: leave out --steps {steps} to go on with it, or choose another --out"
        )
