"""Minutes for methods that train a teacher first, beside which their one step takes little."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

import torch

from condensery import driver
from condensery.errors import BadInput
from condensery.minutes.clock import Clock, Fitting
from condensery.minutes.preparing import seconds_of_pieces
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching import TeacherSettings, seconds_per_image, teacher_recipe
from condensery.text import count, readable_minutes, readable_seconds
from condensery.training import FORWARD

_SHARE = 0.6  # of the time goes to the teacher
_SEEN = (32, 64)  # pixels on the shorter side of what it sees


def teaches(method: Any) -> bool:
    """Whether the method's time is that of a teacher and of what it looks at."""
    return {"teacher", "teacher_epochs", "teacher_size", "candidates", "crops"} <= {
        f.name for f in fields(method)
    }


def with_teacher(minutes: float, method: Any, clock: Clock, fixed: Collection[str]) -> Fitting:
    """How large the teacher sees images, how long it is trained, and how many candidates it looks at."""
    spec, number = clock.pool.spec, len(clock.pool.labels)
    settings: TeacherSettings = method.teacher_settings
    epochs = teacher_recipe(number, spec, settings.epochs).epochs
    asked, said = method, []
    each = teaching = 0.0  # seconds of training for an image, and of what the cache lacks of the teacher
    for side in [settings.size] if "teacher_size" in fixed or settings.weights else _sides(spec):
        each = seconds_per_image(clock.pool, replace(settings, size=side), clock.device)
        method = replace(method, teacher_size=side or 0)
        needed = driver.preparation(method, clock.asked, Rng(0))
        teaching = sum(seconds_of_pieces(needed, clock.asked, lambda _, known=each: known))
        if teaching <= _SHARE * clock.left:
            break
    there = not teaching
    if teaching > _SHARE * clock.left:
        fewest = epochs if "teacher_epochs" in fixed else 1
        epochs = int(_SHARE * clock.left / number / each)
        if epochs < fewest:
            least = readable_minutes(clock.minutes_for(fewest * number * each / _SHARE))
            raise BadInput(
                f"--minutes {minutes:g} is too short for {count(fewest, 'epoch')} of a teacher on {number:,} images "
                f"here: give --minutes {least} or more, or a network of your own with --teacher and --teacher-weights"
            )
        method, teaching = replace(method, teacher_epochs=epochs), epochs * number * each
    if not there:
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


def _seconds_per_candidate(method: Any, each: float, clock: Clock) -> float:
    """To crop it and to look at the crops; `each` is the time of training for an image."""
    pool, sample = clock.pool, 4
    files = pool.originals.files if pool.originals is not None else None  # listed before the clock starts
    began = time.perf_counter()
    indices = pool.members(0)[:sample]
    if pool.originals is not None and files is not None:
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(indices), method.crops, 4).numpy()
        pool.originals.crops(indices, whole, pool.spec.shape)
    else:
        pool.images_at(indices)
    return (time.perf_counter() - began) / len(indices) + 1.5 * FORWARD * method.crops * each
