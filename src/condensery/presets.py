"""Settings of methods under a name: as published, or for a few minutes.

A method's defaults are its publication's. "paper" adds what a publication sets on some data, budgets or networks
alone; "fast" is for people who wait. The settings are data, in `presets.toml`, and a run records what came of them as
ordinary fields.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from condensery.errors import BadInput, did_you_mean
from condensery.method import Method
from condensery.methods import get_method
from condensery.models.registry import resolve
from condensery.records import ImageData, ImageSpec
from condensery.synthetic.tiles import kept_detail
from condensery.text import count

PRESETS = ("fast", "paper")
_CONDITIONS = ("data", "network", "ipc", "least_ipc", "most_ipc", "least_side", "when")
LEAST_DETAIL = 0.7
"""Of the variance within images, what 4x4 tiles must keep to be worth their number (benchmarks/README.md)."""
_MANY = 4  # tiles along a side, of which the detail is measured
_NOTHING: Mapping[str, Any] = {}
_OF_DATA = ("whitening",)  # options of the images, not of a method


def preset_settings(
    preset: str, method: str, spec: ImageSpec, ipc: int, network: str, given: Mapping[str, Any] = _NOTHING
) -> tuple[dict[str, Any], int | None]:
    """What a preset sets.

    Args:
        preset: one of `PRESETS`.
        method: its name. Of one that a preset does not know the defaults stay.
        spec: of the images.
        ipc: images per class.
        network: kind of the architecture, as `NetworkFactory.kind`.
        given: fields of the method as they are; some settings hold for a variant alone.

    Returns:
        Fields of the method, and updates of the set; None for as many as the method makes by itself.

    Raises:
        BadInput: there is no such preset.
    """
    if preset not in PRESETS:
        raise BadInput(
            f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}{did_you_mean(preset, PRESETS)}"
        )
    all_of_it = _holding(preset, method, spec, ipc, network, given)
    found = {k: v for k, v in all_of_it.items() if k not in _OF_DATA}
    steps = found.pop("steps", None)
    return found, steps


def preset_whitening(
    preset: str, method: str, spec: ImageSpec, ipc: int, network: str, given: Mapping[str, Any] = _NOTHING
) -> str | None:
    """How a preset whitens the images, see `condensery.whitening`; None where it does not. Args as above."""
    found = _holding(preset, method, spec, ipc, resolve(network).kind, given).get("whitening")
    return None if found == "none" else found


def _holding(
    preset: str, method: str, spec: ImageSpec, ipc: int, network: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the entries which hold here set."""
    found: dict[str, Any] = {}
    for entry in _file().get(preset, {}).get(method, ()):
        if _holds(entry, spec, ipc, network) and entry.get("when", {}).items() <= given.items():
            found |= {name: value for name, value in entry.items() if name not in _CONDITIONS}
    return found


def _holds(entry: Mapping[str, Any], spec: ImageSpec, ipc: int, network: str) -> bool:
    here = {"data": spec.name, "network": network, "ipc": ipc}
    return (
        all(value == entry.get(name, value) for name, value in here.items())
        and entry.get("least_ipc", 1) <= ipc <= entry.get("most_ipc", ipc)
        and min(spec.height, spec.width) >= entry.get("least_side", 1)
    )


def with_preset(
    preset: str,
    method: Method,
    given: Container[str],
    images: ImageData,
    ipc: int,
    network: str,
    announce: Callable[[str], None],
) -> tuple[Method, int | None]:
    """`method` with what a preset sets and nobody gave, as far as the images allow it; and the preset's steps.

    Args:
        given: names of fields that stay as they are.
        network: the architecture's name.
        announce: told what the images do not allow.
    """
    spec = images.spec
    values = asdict(method)
    chosen, steps = preset_settings(preset, method.name, spec, ipc, resolve(network).kind, values)
    chosen = {name: value for name, value in chosen.items() if name not in given}
    chosen, smaller = with_tiles_that_suit(chosen, images, ipc, getattr(method, "init", "real"))
    if smaller:
        announce(smaller)
    return get_method(method.name, **{**values, **chosen}), steps


def with_tiles_that_suit(
    chosen: dict[str, Any], images: ImageData, ipc: int, init: str = "real"
) -> tuple[dict[str, Any], str | None]:
    """What a preset chose, with fewer tiles to an image where these images ask for it, and a line that says so.

    A teacher stays where there are tiles, and where images keep their detail in 16: without, DM gains nothing by it
    (benchmarks/README.md).

    Args:
        init: what the method starts from.
    """
    factor, taught, reasons = chosen.get("factor", 1), chosen.get("teacher_weight"), []
    too_fine = _too_fine(images) if factor > 2 or (factor > 1 and taught) else None
    while factor > 1:
        reason = _against_tiles(factor, images, ipc, init) or (too_fine if factor > 2 else None)
        if not reason:
            break
        reasons.append(f"no tiles of {factor}x{factor}: {reason}")
        factor //= 2
    found = {**chosen, "factor": factor} if reasons else {**chosen}
    if taught and (factor == 1 or too_fine):
        del found["teacher_weight"]
        if reasons:
            reasons.append("no teacher either")
        elif too_fine:
            reasons.append(f"no teacher, which would gain nothing: {too_fine}")
    return found, "; ".join(reasons) or None


def _against_tiles(factor: int, images: ImageData, ipc: int, init: str) -> str | None:
    """Why images cannot be stored as factor x factor tiles; None if they can be."""
    spec = images.spec
    if spec.height % factor or spec.width % factor:
        return f"{spec.width}x{spec.height} pixels do not divide by {factor}"
    least = int(np.bincount(images.train.labels, minlength=spec.num_classes).min())
    if init in ("real", "clusters") and ipc * factor**2 > least:
        return f"{ipc * factor**2} real images of each class are needed, and one has {least}"
    return None


def _too_fine(images: ImageData) -> str | None:
    """Why 16 tiles to an image are not worth their number, nor a teacher its time; None if they are."""
    kept = kept_detail(images.train.pixels, _MANY)
    if kept >= LEAST_DETAIL:
        return None
    return f"tiles of {_MANY}x{_MANY} keep {kept:.0%} of the detail of these images, and {LEAST_DETAIL:.0%} is wanted"


def preset_fields(method: str) -> set[str]:
    """Fields of a method that some preset sets: a command that leaves them out says nothing about them."""
    entries = (entry for preset in PRESETS for entry in _file().get(preset, {}).get(method, ()))
    return {name for entry in entries for name in entry if name not in (*_CONDITIONS, *_OF_DATA)}


def has_preset(preset: str, method: str) -> bool:
    """Whether a preset says anything of a method; of others the defaults stay."""
    return method in _file().get(preset, {})


def preset_line(preset: str, method: Method, given: Container[str], steps: int, ipc: int) -> str:
    """One line for people: what was chosen for them, and how to choose otherwise.

    Args:
        method: with what the preset set: fields that are not `given` and not at their defaults.
    """
    plain = get_method(method.name)
    default, own = asdict(plain), asdict(method).items()
    chosen = [f"{name} {value}" for name, value in own if name not in given and value != default[name]]
    said = ", ".join([count(steps, "step"), *chosen])
    if preset == "fast":
        return f"preset fast: {said}; --preset paper is as published, {plain.steps(ipc):,} steps"
    return f"preset paper: {said}"


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((resources.files("condensery") / "presets.toml").read_text(encoding="utf-8"))
