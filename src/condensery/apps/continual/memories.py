"""What is kept of each step: images that a method condenses, a selector picks, or that came last."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condensery import artifact
from condensery.apps.continual.streams import Step
from condensery.coresets.random import as_set
from condensery.data import ClassPool
from condensery.errors import BadInput
from condensery.methods import METHODS
from condensery.records import SyntheticSet
from condensery.rng import Rng
from condensery.runner import condense
from condensery.selection import select
from condensery.synthetic.stored import with_pixels
from condensery.training import TensorImages

RING = "ring"
"""The memory that keeps the last images of each class that came (Chaudhry et al., 2019)."""
BUDGETS = ("images", "bytes")
"""As many images in all memories, learned ones in single precision; or learned ones too as 8-bit pixels."""


@dataclass(frozen=True)
class Memory:
    """What is kept of one step.

    Attributes:
        images: on the device, with classes of the stream.
        stored, bytes: images and bytes that it takes to keep it.
        seconds: that it took to make it.
    """

    images: TensorImages
    stored: int
    bytes: int
    seconds: float


def arrival(count: int, rng: Rng) -> Tensor:
    """The order int64 (count,) in which the images of a step come; `rng` is the step's."""
    return torch.randperm(count, generator=rng.fork("arrival").torch())


def require_enough(steps: tuple[Step, ...], label: str, count: int) -> None:
    """Raises BadInput if a memory is larger than the data."""
    for step in steps:
        counts = np.bincount(step.images.train.labels, minlength=step.images.spec.num_classes)
        least = int(counts.argmin())
        if count > counts[least]:
            raise BadInput(
                f"a memory of {count} images per class ({label}) is larger than the class "
                f"{step.images.spec.class_names[least]!r} of {step.name}, which has {counts[least]}: lower --ipc"
            )


def make(record: Mapping[str, Any], step: Step, device: torch.device, folder: Path, rng: Rng) -> Memory:
    """The memory of a step, made or found in `folder`.

    Args:
        record: of the job: its memory, count of images per class, budget, network and seed.
        rng: the step's, which decides the order in which its images came.
    """
    made = _made(record, step, device, folder, rng)
    if record["budget"] == "bytes" or record["memory"]["method"] not in METHODS:
        made = with_pixels(made)
    labels = step.classes[made.labels]
    images = TensorImages(made.images.to(device), labels.to(device))
    return Memory(images, made.stored_images, made.bytes, float(made.record.get("seconds", 0.0)))


def _made(
    record: Mapping[str, Any], step: Step, device: torch.device, folder: Path, rng: Rng
) -> SyntheticSet:
    """With classes as labels: those of a teacher cover this step's classes alone."""
    entry, count = record["memory"], record["count"]
    if entry["method"] == RING:
        return _ring(step, count, rng)
    if (folder / "set.safetensors").exists() and not (folder / "checkpoint.safetensors").exists():
        return artifact.load(folder).hard()
    settings = {"ipc": count, "seed": record["seed"], "device": str(device), "out": folder, **entry["fields"]}
    settings["network"] = record["network"]
    if entry["method"] in METHODS:
        return condense(step.images, entry["method"], steps=entry["steps"], resume=True, **settings).hard()
    shutil.rmtree(folder, ignore_errors=True)  # a selection that did not come to its end
    return select(step.images, entry["method"], **settings).hard()


def _ring(step: Step, count: int, rng: Rng) -> SyntheticSet:
    came = arrival(len(step.images.train), rng).numpy()
    labels = step.images.train.labels[came]
    picks = [came[labels == c][::-1][:count] for c in range(step.images.spec.num_classes)]
    pool = ClassPool(step.images.train, step.images.spec, torch.device("cpu"))
    return as_set(pool, picks, {"method": RING, "ipc": count})


def joined(memories: list[Memory]) -> TensorImages | None:
    """All that is kept."""
    if not memories:
        return None
    parts = [memory.images for memory in memories]
    return replace(
        parts[0], images=torch.cat([p.images for p in parts]), labels=torch.cat([p.labels for p in parts])
    )
