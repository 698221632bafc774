"""Charts as plain values: scales, series and where things lie. The templates draw them as SVG.

A drawing is 360 units wide and is never shown larger than that by much, so that its texts stay legible on a phone.
Colours are CSS classes s0 ... s9, one for each subject.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from condensery.report.contents import Scatter

WIDTH = 360
COLOURS = 10
ACROSS, DOWN = (52, 342), (208, 26)  # where the scales of a chart with two axes begin and end


@dataclass(frozen=True)
class Figure:
    """A chart with its title, for the macro `kind` of charts.svg.jinja, which is given the values of `chart`.

    `described` is for those who do not see the drawing, `note` stands below; `legend` has (name, colour) of each line,
    `key` of each class.
    """

    kind: str
    title: str
    described: str
    chart: dict[str, Any]
    legend: Sequence[tuple[str, int]] = ()
    key: Sequence[tuple[str, int]] = ()
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A value with its spread (None: unknown), fractions; `published` is a second value to mark."""

    label: str
    value: float
    spread: float | None
    colour: int
    published: tuple[float, float | None] | None = None


@dataclass(frozen=True)
class Line:
    """A series: `points` are (x, y, spread or None)."""

    label: str
    points: tuple[tuple[float, float, float | None], ...]
    colour: int


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`, with marks.

    Attributes:
        label: below or beside the axis.
        low, high: values at its ends.
        ticks: values that get a mark.
        log: logarithmic.
        show: a value as text.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False
    show: Callable[[float], str] = "{:g}".format

    def place(self, value: float, start: float, end: float) -> float:
        """Where `value`, or the end beyond which it lies, is between `start` (low) and `end` (high)."""
        value = min(max(value, self.low), self.high)
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return start + (0.5 if high == low else (value - low) / (high - low)) * (end - start)


def nice_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers, the first not above `low`, the last not below `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(step * k, 12) for k in range(first, max(last, first + 1) + 1))


def shares(label: str, values: Iterable[float], from_zero: bool = False) -> Axis:
    """An axis for fractions, marked in percent, that does not reach below 0 or needlessly above 1."""
    values = list(values)
    ticks = nice_ticks(0.0 if from_zero else max(0.0, min(values)), max(values), 4)
    if max(values) <= 1:
        ticks = tuple(tick for tick in ticks if tick <= 1) or (0.0, 1.0)
    return Axis(label, ticks[0], max(ticks[-1], max(values)), ticks, show=lambda v: f"{100 * v:g}")


def reach(series: Iterable[Line]) -> list[float]:
    """Where the whiskers of lines end."""
    return [v for line in series for _, y, s in line.points for v in (y - (s or 0), y + (s or 0))]


def bars(
    title: str, described: str, items: Sequence[Bar], ceiling: float | None = None, note: str = ""
) -> Figure:
    """Horizontal bars from zero, whiskers of one standard deviation, a diamond at the published value.

    `ceiling` is a fraction to mark with a line: the whole training set.
    """
    ends = [b.value + (b.spread or 0) for b in items] + [b.published[0] for b in items if b.published]
    axis = shares("test accuracy, %", [*ends, ceiling or 0], from_zero=True)
    return Figure("bars", title, described, {"bars": items, "axis": axis, "ceiling": ceiling}, note=note)


def lines(
    title: str,
    described: str,
    series: Sequence[Line],
    x: Axis,
    y: Axis,
    ceiling: tuple[float, str] | None = None,
    marked: bool = True,
    joined: bool = True,
    note: str = "",
) -> Figure:
    """Lines with whiskers. `ceiling` is a value and its name; `marked` draws a mark at each point, and a legend."""
    chart = {"series": series, "x": x, "y": y, "ceiling": ceiling, "marked": marked, "joined": joined}
    legend = [(line.label, line.colour) for line in series] if marked else []
    return Figure("lines", title, described, {**chart, "across": ACROSS, "down": DOWN}, legend, note=note)


def scatter(plot: Scatter) -> Figure:
    """Small dots for real images, large outlined ones for synthetic, names at the middle of each class."""
    both = np.concatenate([plot.real, plot.synthetic])
    low, high = both.min(0), both.max(0)
    scale = (WIDTH - 24) / float((high - low).max() or 1.0)
    height = float((high - low)[1]) * scale + 24
    places = np.stack([(both[:, 0] - low[0]) * scale + 12, height - 12 - (both[:, 1] - low[1]) * scale], 1)
    real, synthetic = np.split(places, [len(plot.real)])
    layers = [("real", real, plot.real_labels)]  # from the lowest to the topmost
    layers += [(kind, synthetic, plot.synthetic_labels) for kind in ("halo", "synthetic")]
    classes, few = range(len(plot.class_names)), len(plot.class_names) <= 2 * COLOURS
    dots = [(kind, c % COLOURS, points[labels == c]) for kind, points, labels in layers for c in classes]
    own = [(name, real[plot.real_labels == c]) for c, name in enumerate(plot.class_names) if few]
    named = [(*np.median(points, 0), name) for name, points in own if len(points)]
    described = f"{len(real)} real images as small dots, {len(synthetic)} of the set as large ones"
    key = [(name, c) for c, name in enumerate(plot.class_names)][:COLOURS]
    key += [("colours repeat", -1)] if len(plot.class_names) > COLOURS else []
    chart = {"height": round(height), "dots": dots, "names": named}
    return Figure("scatter", f"{plot.projection}: {plot.title}", described, chart, key=key)
