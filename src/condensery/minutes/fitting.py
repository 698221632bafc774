"""The settings of a run that fit into minutes, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

from condensery.errors import BadInput
from condensery.method import Method, Task
from condensery.minutes.clock import COARSE, SHARE, Clock, Fitting, Rung, width_of, work_of
from condensery.minutes.ladder import chosen_rung, rungs
from condensery.minutes.preparing import SHARE as PREPARED
from condensery.minutes.preparing import Preparing
from condensery.minutes.teachers import teaches, with_teacher
from condensery.provenance import pick_device
from condensery.records import ImageSpec
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
    seed: int = 0,
) -> Fitting:
    """The best settings of `method` that end within `minutes` on this machine.

    What the method makes before its first step counts, unless the cache has it.

    Args:
        method: as it would run if there were time enough.
        task: what it works on; where its network is a plain "convnet", that may get narrower.
        fixed: names of fields that stay as they are.
        wanted: updates that are enough; None for at most 600 of the published number.
        fill: make more updates than that if there is time, up to the published number.
        seed: of the run.

    Raises:
        BadInput: not even one update fits; the line says how many minutes do.
    """
    require_minutes(minutes)
    method.check(task)  # what is refused is refused before anything is timed
    clock = Clock(task, 60 * minutes * SHARE)
    published = method.steps(task.ipc)
    if teaches(method):
        return with_teacher(minutes, method, clock, fixed)
    wanted = min(_ENOUGH, published) if wanted is None else wanted
    asked, preparing = Rung(method, task.network.name), Preparing(clock, seed)
    needed = preparing.needed(asked)
    first = needed if needed and needed.missing else None  # what is made before the first step
    if first and first.without is None:  # and takes all the time
        ladder, rung, seconds = [asked], asked, 0.0
    else:
        ladder = rungs(needed.without if needed and needed.without else method, asked.network, fixed, clock)
        share = 1 - PREPARED if first else 1.0
        rung, seconds = chosen_rung(ladder, clock, math.ceil(wanted / 2), share)
    whole, before, rung = _prepared(method, ladder, rung, preparing, fixed, seconds, wanted)
    if before + seconds > clock.left:
        raise BadInput(_too_short(minutes, whole, preparing, before, seconds))
    fitting = int((clock.left - before) / seconds) if seconds else published
    steps = min(_rounded(fitting), published if fill else wanted)
    if getattr(whole.method, "coarse", 1) > 1:
        whole = replace(whole, method=replace(whole.method, coarse_steps=int(COARSE * steps)))
    plan = _Plan(minutes, asked, whole, steps, wanted, published)
    return Fitting(whole.method, whole.network, steps, _lines(plan, ladder[0], rung, seconds, preparing))


@dataclass(frozen=True)
class _Plan:
    """What was asked for and what was chosen."""

    minutes: float
    asked: Rung
    chosen: Rung
    steps: int
    wanted: int
    published: int


def _prepared(
    method: Method,
    ladder: list[Rung],
    rung: Rung,
    preparing: Preparing,
    fixed: Collection[str],
    seconds: float,
    wanted: int,
) -> tuple[Rung, float, Rung]:
    """The method with the settings of the first rung from `rung` on whose preparation fits, or else of the last.

    It gets what the wanted steps, of `seconds` each, leave, and its share at least.

    Returns:
        Method and network with as much preparation as fits, the seconds of that, and the rung.
    """
    clock, at = preparing.clock, ladder.index(rung)
    for below in ladder[at:]:
        whole = Rung(_with_cuts(method, ladder[0].method, below.method), below.network)
        most = max(clock.left * PREPARED, clock.left - wanted * seconds)
        whole, before = preparing.fitting(whole, fixed, most)
        rung = below
        if before + seconds <= clock.left:
            break
    return whole, before, rung


def _with_cuts(method: Any, before: Any, now: Any) -> Any:
    """`method` with the fields that differ between two others of its kind."""
    values = {f.name: getattr(now, f.name) for f in fields(before)}
    return replace(method, **{name: v for name, v in values.items() if v != getattr(before, name)})


def _too_short(minutes: float, least: Rung, preparing: Preparing, before: float, seconds: float) -> str:
    name, clock = least.method.name, preparing.clock
    enough = readable_minutes(clock.minutes_for(before + seconds))
    if before:
        return (
            f"--minutes {minutes:g} is too short for what {name} makes before its first step here, "
            f"{preparing.text(least)} in about {readable_seconds(before)} at least: give --minutes {enough} or more, "
            "or --preset fast, which takes as long as it takes"
        )
    return (
        f"--minutes {minutes:g} is too short for one step of {name} here, which takes {seconds:.2g} s at "
        f"least beside the measuring: give --minutes {enough} or more"
    )


def _rounded(steps: int) -> int:
    """Down to two digits: two measurements of one machine seldom differ by more."""
    unit = 10 ** max(0, len(str(steps)) - 2)
    return steps // unit * unit


def _lines(plan: _Plan, uncut: Rung, rung: Rung, seconds: float, preparing: Preparing) -> tuple[str, ...]:
    """What was chosen, and what more time would buy.

    Args:
        uncut, rung: that which was asked for and that which was chosen, without what is made before the first step.
        seconds: of a step on the latter.
    """
    clock, steps, said = preparing.clock, plan.steps, []
    if pieces := preparing.text(plan.chosen):
        said.append(f"{pieces} in about {readable_seconds(preparing.seconds(plan.chosen))}, then ")
    said.append(count(steps, "step"))
    if seconds:
        said.append(f" of {seconds:.2g} s, about {readable_seconds(steps * seconds)} on {clock.device}")
    chosen = f"{plan.minutes:g} minutes: {''.join(said)}"
    cuts = _differences(plan.asked, plan.chosen, steps, clock.pool.spec)
    if cuts:
        chosen += f"; cut to fit: {', '.join(cuts)}"
    as_asked = clock.known.get(uncut) or seconds * work_of(uncut, clock) / work_of(rung, clock)
    more = []
    if cuts or steps < plan.wanted:
        all_of_it = as_asked * plan.wanted + preparing.seconds(plan.asked)
        needed = readable_minutes(max(clock.minutes_for(all_of_it), plan.minutes))
        without = " without these cuts" if cuts else ""
        more.append(f"--minutes {needed} would make {count(plan.wanted, 'step')}{without}")
    elif steps < plan.published:
        more.append(f"more minutes would make more steps, up to {plan.published:,}")
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
            found.append(f"{f.name} {now} in place of {before or 'the default'}")
    if asked.network != rung.network:
        keep = f"--network convnet+width={width_of(asked)} keeps it"
        found.append(f"the ConvNet {width_of(rung)} wide in place of {width_of(asked)} ({keep})")
    return found
