"""Charts as SVG: small functions from values to markup. Readable without a script, in both colour schemes.

A drawing is 360 units wide and is never shown larger than that by much, so that its texts stay legible on a phone.
Colours are CSS classes s0 ... s9, one for each subject.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from condensery.report.contents import Scatter
from condensery.report.page.elements import text
from condensery.words import accuracy

WIDTH = 360
COLOURS = 10
_ROW = 38  # height of one bar with its text
_HEIGHT = 244
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 26, 36  # margins of a chart with two axes


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
        """Where `value` lies between the coordinates `start` (low) and `end` (high)."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        share = 0.5 if high == low else (value - low) / (high - low)
        return start + share * (end - start)


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
    high = max(ticks[-1], max(values)) if max(values) > 1 else max(ticks[-1], min(1.0, max(values)))
    return Axis(label, ticks[0], high, ticks, show=lambda v: f"{100 * v:g}")


def reach(series: Iterable[Line]) -> list[float]:
    """Where the whiskers of lines end."""
    return [v for line in series for _, y, s in line.points for v in (y - (s or 0), y + (s or 0))]


def bars(title: str, description: str, items: Sequence[Bar], ceiling: float | None = None) -> str:
    """Horizontal bars from zero, whiskers of one standard deviation, a diamond at the published value.

    Args:
        title, description: for those who do not see the drawing.
        items: from top to bottom.
        ceiling: a fraction to mark with a line: the whole training set.
    """
    reach = [b.value + (b.spread or 0) for b in items] + [b.published[0] for b in items if b.published]
    axis = shares("test accuracy, %", [*reach, ceiling or 0], from_zero=True)
    base = len(items) * _ROW + 6

    def x(value: float) -> float:
        return axis.place(min(max(value, 0.0), axis.high), 6, WIDTH - 12)

    parts = [_line_at(x(tick), 0, f"V{base}") for tick in axis.ticks]
    parts += [_text("tick", f"{x(tick):.1f}", base + 14, axis.show(tick), "middle") for tick in axis.ticks]
    parts.append(_text("label", WIDTH / 2, base + 29, axis.label, "middle"))
    if ceiling is not None:
        parts.append(_line_at(x(ceiling), 0, f"V{base}", "ceiling"))
    parts += [_bar(bar, i * _ROW, x) for i, bar in enumerate(items)]
    return _svg(title, description, base + 34, parts)


def _bar(bar: Bar, top: float, x: Callable[[float], float]) -> str:
    middle = top + 26
    value = accuracy(bar.value, bar.spread)
    beside = f" (published {accuracy(*bar.published)})" if bar.published else ""
    parts = [
        f"<title>{text(bar.label)}: {value} %{beside}</title>",
        _text("", 6, top + 16, _shortened(bar.label, 30)),
        _text("value", WIDTH - 6, top + 16, value, "end"),
        f'<rect class="bar s{bar.colour}" x="6" y="{top + 21}" width="{x(bar.value) - 6:.1f}" height="11" rx="2"/>',
    ]
    if bar.spread:
        low, high = x(bar.value - bar.spread), x(bar.value + bar.spread)
        caps = "".join(f"M{end:.1f} {middle - 4}v8" for end in (low, high))
        parts.append(_line_at(low, middle, f"H{high:.1f}{caps}", "whisker"))
    if bar.published:
        parts.append(_line_at(x(bar.published[0]), middle - 6, "l6 6l-6 6l-6-6z", "published"))
    return "<g>" + "".join(parts) + "</g>"


def lines(
    title: str,
    description: str,
    series: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    ceiling: tuple[float, str] | None = None,
    marked: bool = True,
) -> str:
    """Lines with whiskers. `ceiling` is a value and its name; `marked` draws a mark at each point."""

    def x(value: float) -> float:
        return x_axis.place(value, _LEFT + 8, WIDTH - _RIGHT - 8)

    def y(value: float) -> float:
        return y_axis.place(min(max(value, y_axis.low), y_axis.high), base, _TOP)

    base, right, parts = _HEIGHT - _BOTTOM, WIDTH - _RIGHT, []
    for tick in y_axis.ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{right}"/>')
        parts.append(_text("tick", _LEFT - 6, f"{y(tick) + 4:.1f}", y_axis.show(tick), "end"))
    for tick in x_axis.ticks:
        parts.append(_line_at(x(tick), base, "v4"))
        parts.append(_text("tick", f"{x(tick):.1f}", base + 16, x_axis.show(tick), "middle"))
    parts.append(_text("label", 2, 11, y_axis.label))
    parts.append(_text("label", (_LEFT + WIDTH) / 2, _HEIGHT - 4, x_axis.label, "middle"))
    if ceiling:
        at = y(ceiling[0])
        above = at - 4 if at > _TOP + 14 else at + 13
        parts.append(f'<path class="ceiling" d="M{_LEFT} {at:.1f}H{right}"/>')
        parts.append(_text("tick", right, f"{above:.1f}", ceiling[1], "end"))
    for i, line in enumerate(series):
        nudge = (i - (len(series) - 1) / 2) * 3 if marked else 0.0  # whiskers at one budget do not overlap
        places = [(x(a) + nudge, y(b), y(b - (s or 0)), y(b + (s or 0))) for a, b, s in line.points]
        parts.append(_line(line, i if marked else None, places, y_axis))
    return _svg(title, description, _HEIGHT, parts)


def _line(
    line: Line, shape: int | None, places: Sequence[tuple[float, float, float, float]], y_axis: Axis
) -> str:
    """A line through `places`: x, y, and the ends of the whisker there."""
    path = "M" + "L".join(f"{at:.1f} {height:.1f}" for at, height, _, _ in places)
    parts = [f'<path class="line s{line.colour}" d="{path}"/>'] if len(places) > 1 else []
    for (at, height, low, high), (value, mean, spread) in zip(places, line.points, strict=True):
        if spread:
            caps = "".join(f"M{at - 3:.1f} {end:.1f}h6" for end in (low, high))
            parts.append(_line_at(at, f"{low:.1f}", f"V{high:.1f}{caps}", f"whisker s{line.colour}"))
        if shape is not None or len(places) == 1:
            said = f"{text(line.label)}, {value:g}: {y_axis.show(round(mean, 4))}"
            parts.append(_mark(line.colour, shape or 0, at, height, f"<title>{said}</title>"))
    return "<g>" + "".join(parts) + "</g>"


def _text(kind: str, x: object, y: object, said: str, anchor: str = "") -> str:
    kind, anchor = f' class="{kind}"' if kind else "", f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{kind} x="{x}" y="{y}"{anchor}>{text(said)}</text>'


def _line_at(x: float, y: object, path: str, kind: str = "grid") -> str:
    return f'<path class="{kind}" d="M{x:.1f} {y}{path}"/>'


_MARKS = (  # shapes tell lines apart where colours do not
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "m-3.6-3.6h7.2v7.2h-7.2z",
    "m0-5l5 8.6h-10z",
    "m0-5.2l5.2 5.2l-5.2 5.2l-5.2-5.2z",
    "m0 5l5-8.6h-10z",
)


def _mark(colour: int, shape: int, at: float, height: float, inside: str = "") -> str:
    return f'<path class="mark s{colour}" d="M{at:.1f} {height:.1f}{_MARKS[shape % len(_MARKS)]}">{inside}</path>'


def legend(entries: Iterable[tuple[str, int]]) -> str:
    """Names (text) with their marks, in the order of the lines, as a list that wraps."""
    box = '<svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">'
    items = "".join(
        f"<li>{box}{_mark(colour, i, 7, 7)}</svg>{text(name)}</li>"
        for i, (name, colour) in enumerate(entries)
    )
    return f'<ul class="legend">{items}</ul>'


def scatter(plot: Scatter, title: str) -> str:
    """Small dots for real images, large outlined ones for synthetic, names at the middle of each class."""
    both = np.concatenate([plot.real, plot.synthetic])
    low, high = both.min(0), both.max(0)
    scale = (WIDTH - 24) / float((high - low).max() or 1.0)
    height = float((high - low)[1]) * scale + 24

    def places(points: np.ndarray) -> np.ndarray:
        return np.stack(
            [(points[:, 0] - low[0]) * scale + 12, height - 12 - (points[:, 1] - low[1]) * scale], 1
        )

    real, synthetic = places(plot.real), places(plot.synthetic)
    parts = []
    for points, labels, kind in (
        (real, plot.real_labels, "real"),
        (synthetic, plot.synthetic_labels, "halo"),
        (synthetic, plot.synthetic_labels, "synthetic"),
    ):
        for c in range(len(plot.class_names)):
            dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in points[labels == c])
            parts.append(f'<path class="{kind} s{c % COLOURS}" d="{dots}"/>' if dots else "")
    parts += _class_names(plot, real)
    described = f"{len(real)} real images as small dots, {len(synthetic)} of the set as large ones"
    return _svg(title, described, round(height), parts)


def _class_names(plot: Scatter, real: np.ndarray) -> list[str]:
    """The name of each class where the middle of its real images is, if there are few enough to read."""
    parts = []
    for c, name in enumerate(plot.class_names) if len(plot.class_names) <= 2 * COLOURS else ():
        mine = real[plot.real_labels == c]
        if len(mine):
            a, b = np.median(mine, 0)
            parts.append(_text("place", f"{a:.1f}", f"{b:.1f}", _shortened(name, 14), "middle"))
    return parts


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _svg(title: str, description: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{text(title)}">'
        f"<desc>{text(description)}</desc>{''.join(parts)}</svg>"
    )
