"""The settings of a run that fit into minutes, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

from condensery import driver
from condensery.errors import BadInput
from condensery.method import Method, Preparation, Task
from condensery.minutes.clock import COARSE, SHARE, Clock, Fitting, Rung, width_of, work_of
from condensery.minutes.ladder import chosen_rung, rungs
from condensery.minutes.teachers import teaches, with_teacher
from condensery.provenance import pick_device
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching import TeacherSettings, seconds_per_image
from condensery.text import count, readable_minutes, readable_seconds

DEFAULT_MINUTES = 15.0
"""Of a run on a CPU for which nobody chose steps, a preset or a budget."""
_ENOUGH = 600  # updates, where neither a preset nor the publication makes fewer


def require_minutes(minutes: float) -> None:
    """Raises BadInput unless this is a time that one can wait for."""
    if not (minutes > 0 and math.isfinite(minutes)):
        raise BadInput(f"--minutes must be a positive number, not {minutes}")


def chosen_length(
    steps: int | None, preset: str | None, minutes: float | None, device: str
) -> dict[str, Any]:
    """Preset and minutes of a run for which some of these were given: the fast preset where none was.

    Without any of them a run on a CPU ends within 15 minutes.
    """
    nothing = steps is None and preset is None and minutes is None
    if nothing and pick_device(device).type == "cpu":
        minutes, preset = DEFAULT_MINUTES, "fast"
    return {"preset": preset if minutes is not None else preset or "fast", "minutes": minutes}


def within(
    minutes: float,
    method: Method,
    task: Task,
    *,
    fixed: Collection[str] = (),
    wanted: int | None = None,
    fill: bool = False,
) -> Fitting:
    """The best settings of `method` that end within `minutes` on this machine.

    Args:
        method: as it would run if there were time enough.
        task: what it works on; where its network is a plain "convnet", that may get narrower.
        fixed: names of fields that stay as they are.
        wanted: updates that are enough; None for at most 600 of the published number.
        fill: make more updates than that if there is time, up to the published number.

    Raises:
        BadInput: not even one update fits; the line says how many minutes do.
    """
    require_minutes(minutes)
    clock, network = Clock(task, 60 * minutes * SHARE), task.network.name
    published = method.steps(task.ipc)
    if teaches(method):
        return with_teacher(minutes, method, clock, fixed)
    wanted = min(_ENOUGH, published) if wanted is None else wanted
    needed = driver.preparation(method, clock.task(Rung(method, network)), Rng(0))
    first = bool(needed and needed.missing)  # networks that are trained before the first step
    if needed and needed.missing and needed.without is None:
        return _after_preparation(minutes, method, needed, clock, published if fill else wanted)
    plain: Any = needed.without if needed and needed.without else method
    ladder = rungs(plain, network, fixed, clock)
    rung, seconds = chosen_rung(ladder, clock, math.ceil(wanted / 2))
    fitting = int(clock.left / seconds) if seconds else published
    if fitting < 1:
        raise BadInput(
            f"--minutes {minutes:g} is too short for one step of {method.name} here, which takes {seconds:.2g} s at "
            f"least beside the measuring: give --minutes {readable_minutes(clock.minutes_for(seconds))} or more"
        )
    steps = min(_rounded(fitting), published if fill else wanted)
    if getattr(rung.method, "coarse", 1) > 1:
        rung = replace(rung, method=replace(rung.method, coarse_steps=int(COARSE * steps)))
    lines = _lines(minutes, ladder[0], rung, steps, wanted, published, seconds, clock)
    if first:
        lines = (*lines, "the networks that are trained before the first step come on top of that")
    chosen = {f.name: getattr(rung.method, f.name) for f in fields(plain)}
    changed = {name: value for name, value in chosen.items() if value != getattr(plain, name)}
    return Fitting(replace(method, **changed), rung.network, steps, lines)  # type: ignore[type-var]


def _after_preparation(
    minutes: float, method: Method, needed: Preparation, clock: Clock, steps: int
) -> Fitting:
    """Settings as they are, where what is made before the first step takes most of the time and cannot be cut."""
    each = seconds_per_image(clock.pool, TeacherSettings(clock.asked.network.name), clock.device)
    seconds, pieces = len(needed.missing) * needed.work * each, count(len(needed.missing), needed.piece)
    if seconds > clock.left:
        enough = readable_minutes(clock.minutes_for(seconds))
        raise BadInput(
            f"--minutes {minutes:g} is too short for what {method.name} makes before its first step here, {pieces} in "
            f"about {readable_seconds(seconds)}: give --minutes {enough} or more, "
            "or --preset fast, which takes as long as it takes"
        )
    line = f"{minutes:g} minutes: {pieces} in about {readable_seconds(seconds)}, then {count(steps, 'step')}"
    return Fitting(method, clock.asked.network.name, steps, (line,))


def _rounded(steps: int) -> int:
    """Down to two digits: two measurements of one machine seldom differ by more."""
    unit = 10 ** max(0, len(str(steps)) - 2)
    return steps // unit * unit


def _lines(
    minutes: float,
    asked: Rung,
    rung: Rung,
    steps: int,
    wanted: int,
    published: int,
    seconds: float,
    clock: Clock,
) -> tuple[str, ...]:
    """What was chosen, and what more time would buy."""
    took = f"{count(steps, 'step')} of {seconds:.2g} s, about {readable_seconds(steps * seconds)} on {clock.device}"
    chosen = f"{minutes:g} minutes: {took}"
    cuts = _differences(asked, rung, steps, clock.pool.spec)
    if cuts:
        chosen += f"; cut to fit: {', '.join(cuts)}"
    as_asked = clock.known.get(asked) or seconds * work_of(asked, clock) / work_of(rung, clock)
    more = []
    if cuts or steps < wanted:
        needed = readable_minutes(max(clock.minutes_for(as_asked * wanted), minutes))
        more.append(f"--minutes {needed} would make {count(wanted, 'step')} without these cuts" if cuts
                    else f"--minutes {needed} would make {count(wanted, 'step')}")  # fmt: skip
    elif steps < published:
        more.append(f"more minutes would make more steps, up to {published:,}")
    more.append("--preset paper is as published, whatever it takes")
    return chosen, f"more time: {'; '.join(more)}"


def _differences(asked: Rung, rung: Rung, steps: int, spec: ImageSpec) -> list[str]:
    """Each setting that was given up, in words."""
    found = []
    for f in fields(asked.method):
        before, now = getattr(asked.method, f.name), getattr(rung.method, f.name)
        if before == now or f.name == "coarse_steps":
            continue
        if f.name == "coarse":
            sides = f"{spec.width // now}x{spec.height // now}"
            found.append(f"the first {rung.method.coarse_steps:,} steps at {sides} pixels")
        elif f.name == "classes_per_step":
            found.append(f"{now} of {spec.num_classes} classes in each step")
        else:
            found.append(f"{f.name} {now} in place of {before}")
    if asked.network != rung.network:
        keep = f"--network convnet+width={width_of(asked)} keeps it"
        found.append(f"the ConvNet {width_of(rung)} wide in place of {width_of(asked)} ({keep})")
    return found
