"""Minutes of a machine: settings with which a run ends in time on this machine, from a few real steps that are timed.

Data goes one way: a method, the images and a measurement come in, ordinary settings come out. A run records those, so
a repeat and a resumed run need no clock. Settings are given up one after the other, in the order of `_CUTS`: a smaller
real batch costs least, an image size at which most updates are made comes next, then the width of the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from condensery import driver
from condensery.errors import BadInput, FailedWork
from condensery.method import Method, Task, images_per_class
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching import TeacherSettings, seconds_per_image, teacher_recipe
from condensery.text import count, readable_minutes, readable_seconds
from condensery.training import FORWARD

DEFAULT_MINUTES = 15.0
"""Of a run on a CPU for which nobody chose steps, a preset or a budget."""
_SHARE = 0.8  # of the minutes that is planned with; the rest is for what a short measurement cannot see
_COARSE = 0.75  # of the updates are made at the coarse size, where there is one
_SMALLEST = 32  # pixels on the shorter side at a coarse size
_MOST_BYTES = 3 * 2**30  # of activations on a CPU
_ENOUGH = 600  # updates, where neither a preset nor the publication makes fewer
_TIMED = 0.3  # seconds of steps that are timed, where steps are short
_TEACHING = 0.6  # of the time goes to the teacher, where one is trained
_SEEN = (32, 64)  # pixels on the shorter side of what such a teacher sees

_CUTS: tuple[tuple[str, int], ...] = (
    ("real_batch", 2),
    ("coarse", 2),
    ("width", 64),
    ("coarse", 3),
    ("real_batch", 4),
    ("coarse", 4),
    ("width", 32),
    ("inner_loop", 2),
    ("classes_per_step", 50),
    ("classes_per_step", 10),
)
"""What is given up, in this order: a field and the value, or for batches and loops the divisor, that it gets."""


@dataclass(frozen=True)
class Fitting:
    """Settings that fit into the time.

    Attributes:
        method: with every field.
        network: by name.
        steps: updates.
        lines: what was chosen, and what more time would buy, for a person.
    """

    method: Method
    network: str
    steps: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Rung:
    """One step down from what was asked for: settings and the network."""

    method: Any
    network: str


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
    clock, network = _Clock(task, 60 * minutes * _SHARE), task.network.name
    published = method.steps(task.ipc)
    if _teaches(method):
        return _with_teacher(minutes, method, clock, fixed)
    wanted = min(_ENOUGH, published) if wanted is None else wanted
    needed = driver.preparation(method, clock.task(Rung(method, network)), Rng(0))
    first = bool(needed and needed.missing)  # networks that are trained before the first step
    plain: Any = needed.without if needed and needed.without else method
    ladder = rungs(plain, network, fixed, clock)
    rung, seconds = _choose(ladder, clock, math.ceil(wanted / 2))
    fitting = int(clock.left / seconds) if seconds else published
    if fitting < 1:
        raise BadInput(
            f"--minutes {minutes:g} is too short for one step of {method.name} here, which takes {seconds:.2g} s at "
            f"least beside the measuring: give --minutes {readable_minutes(clock.minutes_for(seconds))} or more"
        )
    steps = min(_rounded(fitting), published if fill else wanted)
    if getattr(rung.method, "coarse", 1) > 1:
        rung = replace(rung, method=replace(rung.method, coarse_steps=int(_COARSE * steps)))
    lines = _lines(minutes, ladder[0], rung, steps, wanted, published, seconds, clock)
    if first:
        lines = (*lines, "the networks that are trained before the first step come on top of that")
    chosen = {f.name: getattr(rung.method, f.name) for f in fields(plain)}
    changed = {name: value for name, value in chosen.items() if value != getattr(plain, name)}
    return Fitting(replace(method, **changed), rung.network, steps, lines)  # type: ignore[type-var]


class _Clock:
    """Seconds of real steps on this machine, and what is left of a budget."""

    def __init__(self, task: Task, seconds: float) -> None:
        self.started = time.perf_counter()
        self.asked, self.seconds = task, seconds
        self.pool, self.device, self.ipc = task.pool, task.device, max(task.counts)
        self.known: dict[Rung, float] = {}

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    def minutes_for(self, seconds: float) -> float:
        """The budget that so many seconds fit into, after what was measured here."""
        return (seconds + self.spent) / 60 / _SHARE

    def task(self, rung: Rung) -> Task:
        return replace(self.asked, network=resolve(rung.network), steps=rung.method.steps(self.asked.ipc))

    def step(self, rung: Rung) -> float:
        """Seconds of a step, on average over those at the coarse and at the full size."""
        if rung not in self.known:
            self.known[rung] = self._step(rung)
        return self.known[rung]

    def _step(self, rung: Rung) -> float:
        method = rung.method
        if getattr(method, "coarse", 1) == 1:
            return self._time(rung)
        small = self._time(replace(rung, method=replace(method, coarse_steps=2**31)))
        full = self._time(replace(rung, method=replace(method, coarse=1, coarse_steps=0)))
        return _COARSE * small + (1 - _COARSE) * full

    def _time(self, rung: Rung) -> float:
        """The first step warms up."""
        task, rng, done = self.task(rung), Rng(0).fork("budget"), 0
        try:
            state, _ = driver.advance(rung.method, task, driver.begin(rung.method, task, rng), rng)
            began = time.perf_counter()
            while done == 0 or (time.perf_counter() - began < _TIMED and done < 5):
                state, _ = driver.advance(rung.method, task, state, rng)
                done += 1
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
        except FailedWork:  # the run itself will say so, and keep what it has
            return 0.0
        return (time.perf_counter() - began) / done


def rungs(method: Method, network: str, fixed: Collection[str], clock: _Clock) -> list[Rung]:
    """From what was asked for down to the cheapest settings; those that the method refuses are left out."""
    found = [Rung(method, network)]
    narrow = resolve(network)
    free = narrow.kind == "convnet" and not narrow.options and "network" not in fixed
    for name, value in _CUTS:
        changed = _cut(found[-1], name, value, method, free, fixed, clock.pool.spec)
        if changed is None or changed == found[-1]:
            continue
        try:
            changed.method.check(clock.task(changed))
        except BadInput:
            continue
        found.append(changed)
    light = [rung for rung in found if clock.device.type != "cpu" or _bytes(rung, clock) < _MOST_BYTES]
    return light or found[-1:]


def _cut(
    rung: Rung, name: str, value: int, method: Any, free: bool, fixed: Collection[str], spec: ImageSpec
) -> Rung | None:
    """The rung below, in which `name` is given up; None where that cannot be."""
    if name == "width":
        return replace(rung, network=f"convnet+width={value}") if free else None
    if name in fixed or name not in {f.name for f in fields(method)}:
        return None
    asked = getattr(method, name)
    if name == "coarse":
        fits = (
            asked == 1 and min(spec.height, spec.width) // value >= _SMALLEST and "coarse_steps" not in fixed
        )
        return replace(rung, method=replace(rung.method, coarse=value, coarse_steps=1)) if fits else None
    if name == "classes_per_step":
        few = value if not asked and spec.num_classes > 2 * value else 0
        return replace(rung, method=replace(rung.method, classes_per_step=few)) if few else None
    return replace(rung, method=replace(rung.method, **{name: max(asked // value, min(asked, 8))}))


def _choose(ladder: list[Rung], clock: _Clock, enough: int) -> tuple[Rung, float]:
    """The first rung on which `enough` steps fit, or else the last; and seconds of a step on it.

    The cheapest is timed first. Others are timed where its time, scaled by the work, says that they may fit.
    """
    last = ladder[-1]
    cheapest, work = clock.step(last), _work(last, clock)
    for rung in ladder[:-1]:
        if cheapest * _work(rung, clock) / work * enough <= 1.5 * clock.left:
            seconds = clock.step(rung)
            if seconds * enough <= clock.left:
                return rung, seconds
    return last, cheapest


def _width(rung: Rung) -> int:
    return dict(resolve(rung.network).options).get("width", 128)


def _synthetic(rung: Rung, clock: _Clock) -> int:
    return images_per_class({"factor": getattr(rung.method, "factor", 1)}, clock.ipc)


def _work(rung: Rung, clock: _Clock) -> float:
    """Roughly, of a step, in images that go through a training step of a 128-wide network."""
    method, classes = rung.method, clock.pool.spec.num_classes
    at_once = getattr(method, "classes_per_step", 0) or classes
    real = getattr(method, "real_batch", 0) * FORWARD
    coarse = getattr(method, "coarse", 1)
    share = 1 if coarse == 1 else _COARSE / coarse**2 + 1 - _COARSE
    return at_once * (real + _synthetic(rung, clock)) * share * (_width(rung) / 128) ** 1.5


def _bytes(rung: Rung, clock: _Clock) -> float:
    """Roughly, of the activations that a class's synthetic images leave for the backward pass."""
    height, width = clock.pool.spec.height, clock.pool.spec.width
    return 5 * 4 * _width(rung) * height * width * _synthetic(rung, clock)


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
    clock: _Clock,
) -> tuple[str, ...]:
    """What was chosen, and what more time would buy."""
    took = f"{count(steps, 'step')} of {seconds:.2g} s, about {readable_seconds(steps * seconds)} on {clock.device}"
    chosen = f"{minutes:g} minutes: {took}"
    cuts = _differences(asked, rung, steps, clock.pool.spec)
    if cuts:
        chosen += f"; cut to fit: {', '.join(cuts)}"
    as_asked = clock.known.get(asked) or seconds * _work(asked, clock) / _work(rung, clock)
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
        keep = f"--network convnet+width={_width(asked)} keeps it"
        found.append(f"the ConvNet {_width(rung)} wide in place of {_width(asked)} ({keep})")
    return found


# ---- methods that train a teacher first, beside which their one step takes little


def _teaches(method: Any) -> bool:
    """Whether the method's time is that of a teacher and of what it looks at."""
    return {"teacher", "teacher_epochs", "teacher_size", "candidates", "crops"} <= {
        f.name for f in fields(method)
    }


def _with_teacher(minutes: float, method: Any, clock: _Clock, fixed: Collection[str]) -> Fitting:
    """How large the teacher sees images, how long it is trained, and how many candidates it looks at."""
    spec, number = clock.pool.spec, len(clock.pool.labels)
    settings: TeacherSettings = method.teacher_settings
    epochs = teacher_recipe(number, spec, settings.epochs).epochs
    asked, said = method, []
    each = 0.0  # seconds of training for an image
    for side in [settings.size] if "teacher_size" in fixed or settings.weights else _sides(spec):
        each = seconds_per_image(clock.pool, replace(settings, size=side), clock.device)
        method = replace(method, teacher_size=side or 0)
        if settings.weights or epochs * number * each <= _TEACHING * clock.left:
            break
    teaching = 0.0 if settings.weights else epochs * number * each
    if teaching > _TEACHING * clock.left:
        epochs = int(_TEACHING * clock.left / number / each) if "teacher_epochs" not in fixed else 0
        if epochs < 1:
            least = readable_minutes(
                clock.minutes_for((teaching if not epochs else number * each) / _TEACHING)
            )
            raise BadInput(
                f"--minutes {minutes:g} is too short for one epoch of a teacher on {number:,} images here: "
                f"give --minutes {least} or more, or a network of your own with --teacher and --teacher-weights"
            )
        method, teaching = replace(method, teacher_epochs=epochs), epochs * number * each
    if not settings.weights:
        seen = f" that sees {method.teacher_size} pixels" if method.teacher_size else ""
        said.append(f"a teacher{seen}, {count(epochs, 'epoch')} in about {readable_seconds(teaching)}")
    looks = _seconds_per_candidate(method, each, clock) * spec.num_classes
    least = clock.ipc * method.factor**2
    fitting = max(least, min(method.candidates, int((clock.left - teaching) / looks)))
    if fitting < method.candidates and "candidates" not in fixed:
        method = replace(method, candidates=fitting)
    said.append(f"{method.crops} crops of {method.candidates} candidates per class")
    lines = [
        f"{minutes:g} minutes: {'; '.join(said)}, about {readable_seconds(teaching + looks * method.candidates)}"
    ]
    if method != asked:
        lines.append(
            "more time: a teacher of larger images, trained for longer, that looks at more candidates"
        )
    return Fitting(method, clock.asked.network.name, 1, tuple(lines))


def _sides(spec: ImageSpec) -> list[int | None]:
    """Sizes at which a teacher may see images, the largest first: None for as they are."""
    side, (low, high) = min(spec.height, spec.width), _SEEN
    if side <= high:
        return [None, *([side // 2] if side // 2 >= low else [])]
    found: list[int | None] = [side // k for k in range(2, side // low + 1) if low <= side // k <= high]
    return [found[0], found[-1]] if len(found) > 1 else found or [high]


def _seconds_per_candidate(method: Any, each: float, clock: _Clock) -> float:
    """To crop it and to look at the crops; `each` is the time of training for an image."""
    pool, sample = clock.pool, 4
    began = time.perf_counter()
    indices = pool.members(0)[:sample]
    if pool.originals is not None and pool.originals.files is not None:
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(indices), method.crops, 4).numpy()
        pool.originals.crops(indices, whole, pool.spec.shape)
    else:
        pool.images_at(indices)
    return (time.perf_counter() - began) / len(indices) + 1.5 * FORWARD * method.crops * each
