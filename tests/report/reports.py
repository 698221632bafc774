"""Reports for tests: a full one, with everything a page can show, and with hostile names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from condensery.report.contents import WHOLE, Curve, Gallery, Measurement, Published, Report, Scatter

HOSTILE = '<script>alert("1")</script>'
CLASSES = ("cat", HOSTILE, "a|b & c")


def measurement(subject: str = "dm", ipc: int | None = 1, *accuracies: float, **more: Any) -> Measurement:
    """A measurement of one set on networks with `accuracies` (default: 0.5 and 0.6)."""
    known = Measurement(
        data="photos",
        subject=subject,
        ipc=ipc,
        condensed_with=None if subject in ("random", WHOLE) else "convnet",
        network="convnet",
        protocol="quick",
        labels="hard",
        accuracies=(accuracies or (0.5, 0.6),),
        images=300 if ipc is None else 3 * ipc,
        bytes=1000 if ipc is None else 10 * ipc,
        epochs=301,
    )
    return replace(known, **more)


def gallery(ipc: int = 2, size: int = 5, channels: int = 3, started: bool = True, **more: Any) -> Gallery:
    """Random pixels of three classes."""
    rng = np.random.default_rng(ipc)
    shape = (3 * ipc, size, size + 1, channels)
    pixels, before = (rng.integers(0, 256, shape, np.uint8) for _ in range(2))
    labels = np.arange(3).repeat(ipc)
    known = Gallery("dm", ipc, "convnet", 0, CLASSES, labels, pixels, before if started else None)
    return replace(known, **more)


def scatter(projection: str = "PCA") -> Scatter:
    rng = np.random.default_rng(0)
    return Scatter(
        f"dm under {HOSTILE}",
        projection,
        CLASSES,
        rng.random((30, 2)),
        np.arange(3).repeat(10),
        rng.random((6, 2)),
        np.arange(3).repeat(2),
    )


WIDE_NAMES = (
    "convnet+width=32",
    "resnet18",
    "vgg11+norm=batch",
    "alexcifarnet",
    "convnet+activation=sigmoid",
    "convnet+depth=4+norm=batch",
)


def crossed() -> Report:
    """Six architectures with wide names, each condensed with and trained, with hard and with soft labels."""
    many: dict[str, Any] = {"bytes": 30_720_000, "steps": 10_000, "published_steps": 20_000}
    published = Published(0.489, 0.006, "thesis, Table 5.1", "dm-2023")
    values = {"published": published, **many}
    measurements = [
        measurement("dm", 10, 0.3, 0.4, 0.45, network=tested, condensed_with=origin, labels=labels, **values)
        for labels in ("hard", "soft")
        for origin in WIDE_NAMES
        for tested in WIDE_NAMES
    ]
    measurements += [measurement("random", 10, 0.1, 0.2, network=tested, bytes=9000) for tested in WIDE_NAMES]
    measurements += [
        measurement(WHOLE, None, 0.9, network=tested, bytes=614_400_000) for tested in WIDE_NAMES
    ]
    return Report("Wide names", (), tuple(measurements))


def full() -> Report:
    """Two methods, two budgets, two architectures, random images and the whole set, and everything else."""
    made: dict[str, Any] = {
        "steps": 40,
        "published_steps": 1000,
        "make_seconds": (12.0, 14.0),
        "evaluate_seconds": 7.0,
        "memory": 123_000_000,
        "commands": (f"condense run --data photos --note '{HOSTILE}'", "condense evaluate runs/photos"),
        "record": {"fields": {"image_lr": 1.0}, "hardware": HOSTILE},
    }
    measurements = []
    for ipc, base in ((1, 0.3), (10, 0.5)):
        measurements.append(measurement("random", ipc, base, base + 0.02))
        for network in ("convnet", "lenet"):
            for origin in ("convnet", "lenet"):
                lower = 0.1 * (network != origin)
                values = (base + 0.213 - lower, base + 0.217 - lower)
                measurements.append(
                    measurement("dm", ipc, *values, network=network, condensed_with=origin, **made)
                )
        published = Published(0.555, 0.012, "Table 9 of a paper", "dc-2021")
        measurements.append(measurement("dc", ipc, base + 0.1, published=published, **made))
    measurements.append(measurement(WHOLE, None, 0.91, 0.93))
    return Report(
        title=f"Photos {HOSTILE}",
        facts=(("Hardware", HOSTILE),),
        measurements=tuple(measurements),
        galleries=(gallery(1), gallery(12, channels=1, started=False, seed=1)),
        curves=(
            Curve(
                "dm",
                1,
                "convnet",
                0,
                tuple(100.0 / (k + 1) for k in range(900)),
                ((0, 0.1, 0.02, 2), (40, 0.5, 0.0, 1)),
            ),
            Curve("dm", 1, "convnet", 1, (3.0,)),
        ),
        scatters=(scatter("PCA"), scatter("t-SNE")),
        skipped=((f"dsa, {HOSTILE}", "50 images are more than class 'cat' has"),),
        command="condense compare --data photos",
    )
