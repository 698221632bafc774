"""Presets: the settings of a method under a name, as published or for a few minutes.

A method's defaults are its publication's. "paper" adds what a publication sets on some data, budgets or networks
alone; "fast" is for people who wait. The settings are data, in `presets.toml`, and a run records what came of them as
ordinary fields.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from condensery.errors import BadInput, did_you_mean
from condensery.methods import get_method
from condensery.records import ImageSpec

PRESETS = ("fast", "paper")
_CONDITIONS = ("data", "network", "ipc", "least_ipc", "least_side")


def preset_settings(
    preset: str, method: str, spec: ImageSpec, ipc: int, network: str
) -> tuple[dict[str, Any], int | None]:
    """What a preset sets.

    Args:
        preset: one of `PRESETS`.
        method: its name. Of one that a preset does not know the defaults stay.
        spec: of the images.
        ipc: images per class.
        network: kind of the architecture, as `NetworkFactory.kind`.

    Returns:
        Fields of the method, and updates of the set; None for as many as the method makes by itself.

    Raises:
        BadInput: there is no such preset.
    """
    if preset not in PRESETS:
        raise BadInput(
            f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}{did_you_mean(preset, PRESETS)}"
        )
    found: dict[str, Any] = {}
    for entry in _file().get(preset, {}).get(method, ()):
        if _holds(entry, spec, ipc, network):
            found |= {name: value for name, value in entry.items() if name not in _CONDITIONS}
    steps = found.pop("steps", None)
    return found, steps


def _holds(entry: Mapping[str, Any], spec: ImageSpec, ipc: int, network: str) -> bool:
    here = {"data": spec.name, "network": network, "ipc": ipc}
    return (
        all(value == entry.get(name, value) for name, value in here.items())
        and ipc >= entry.get("least_ipc", 1)
        and min(spec.height, spec.width) >= entry.get("least_side", 1)
    )


def without_what_cannot_be(
    chosen: dict[str, Any], spec: ImageSpec, least: int, ipc: int, init: str = "real"
) -> tuple[dict[str, Any], str | None]:
    """What a preset chose without tiles that these images do not allow, and a line that says so.

    Args:
        least: real images of the smallest class.
        init: what the method starts from.
    """
    factor = chosen.get("factor", 1)
    reason = None
    if spec.height % factor or spec.width % factor:
        reason = f"{spec.width}x{spec.height} pixels do not divide by {factor}"
    elif init == "real" and ipc * factor**2 > least:
        reason = f"{ipc * factor**2} real images of each class are needed, and one has {least}"
    if reason is None:
        return chosen, None
    return {**chosen, "factor": 1}, f"no tiles of {factor}x{factor}: {reason}"


def preset_fields(method: str) -> set[str]:
    """Fields of a method that some preset sets: a command that leaves them out says nothing about them."""
    entries = (entry for preset in PRESETS for entry in _file().get(preset, {}).get(method, ()))
    return {name for entry in entries for name in entry if name not in _CONDITIONS}


def preset_line(preset: str, method: str, fields: dict[str, Any], steps: int, ipc: int) -> str:
    """One line for people: what was chosen for them, and how to choose otherwise."""
    said = ", ".join([f"{steps:,} steps", *(f"{name} {value}" for name, value in fields.items())])
    if preset == "fast":
        published = get_method(method).steps(ipc)
        return f"preset fast: {said}; --preset paper is as published, {published:,} steps"
    return f"preset paper: {said}"


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((resources.files("condensery") / "presets.toml").read_text(encoding="utf-8"))
