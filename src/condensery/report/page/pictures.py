"""The sections of a page that show images and how they came about: galleries, curves, features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from condensery.report.contents import Curve, Plot, Report
from condensery.report.page.charts import Axis, Figure, Line, lines, nice_ticks, reach, scatter, shares
from condensery.report.page.names import budget, colours_of, differing, groups, subject_name
from condensery.report.page.sprites import Sprite

_MOST_POINTS = 240  # of a loss curve
_FEW = 12  # places on a scale that are all marked

# ---- galleries


def galleries(report: Report, sprites: Sequence[Sprite], notes: Sequence[str]) -> dict[str, Any]:
    """The galleries, each with its name."""
    named = []
    for sprite in sprites:
        gallery, among = sprite.gallery, report.galleries
        said = [f"condensed {word}" for word in differing(gallery, among, "condensed_with")]
        said += differing(gallery, among, "seed")
        named.append((", ".join([subject_name(gallery.subject), budget(gallery.ipc), *said]), sprite))
    return {"named": named, "notes": notes} if report.galleries else {}


# ---- curves


def curves(report: Report, colours: Mapping[str, int]) -> dict[str, Any]:
    """The loss of every set, and accuracy on the way where it was measured."""
    measured = groups((curve for curve in report.curves if curve.accuracy), lambda c: c.ipc)
    figures = [_accuracy_chart(group, colours) for group in measured.values()]
    with_loss = (curve for curve in report.curves if curve.loss)
    kinds = groups(with_loss, lambda c: (c.subject, c.ipc, c.condensed_with))
    figures += [_loss_chart(group, report.curves, colours) for group in kinds.values()]
    thinned = any(len(curve.loss) > _MOST_POINTS for curve in report.curves)
    note = f"Long curves are means over parts of equal length, {_MOST_POINTS} at most."
    return {"figures": figures, "notes": [note] if thinned else []} if figures else {}


def _accuracy_chart(group: Sequence[Curve], colours: Mapping[str, int]) -> Figure:
    series = []
    for curve in group:
        name = ", ".join([subject_name(curve.subject), *differing(curve, group, "condensed_with", "seed")])
        points = ((float(step), mean, std if n > 1 else None) for step, mean, std, n in curve.accuracy)
        series.append(Line(name, tuple(points), colours[curve.subject]))
    title = f"Accuracy while condensing, {budget(group[0].ipc)}"
    y_axis = shares("test accuracy, %", reach(series))
    return lines(title, "accuracy by step", series, _step_axis(series), y_axis)


def _loss_chart(group: Sequence[Curve], among: Sequence[Curve], colours: Mapping[str, int]) -> Figure:
    series = [Line(f"seed {curve.seed}", _thinned(curve.loss), colours[curve.subject]) for curve in group]
    first, x_axis = group[0], _step_axis(series)
    named = [subject_name(first.subject), budget(first.ipc), *differing(first, among, "condensed_with")]
    named += [f"{len(series)} seeds"] if len(series) > 1 else []
    ends = [series[0].points[k][1] for k in (0, -1)]
    said = f"from {ends[0]:.4g} to {ends[1]:.4g} in {x_axis.high:g} steps"
    return lines(f"Loss: {', '.join(named)}", said, series, x_axis, _loss_axis(reach(series)), marked=False)


def _thinned(loss: Sequence[float]) -> tuple[tuple[float, float, None], ...]:
    """(step, loss), where a long curve becomes the means of equal parts."""
    parts = np.array_split(np.asarray(loss, float), min(len(loss), _MOST_POINTS))
    ends = np.cumsum([len(part) for part in parts])
    return tuple(
        (float(end - (len(part) - 1) / 2), float(part.mean()), None)
        for end, part in zip(ends, parts, strict=True)
    )


def _step_axis(series: Sequence[Line]) -> Axis:
    steps = max(x for line in series for x, _, _ in line.points)
    return Axis("steps", 0, steps, tuple(tick for tick in nice_ticks(0, steps, 4) if tick <= steps))


def _loss_axis(losses: Sequence[float]) -> Axis:
    """Logarithmic where the loss spans a factor of ten."""
    low, high = min(losses), max(losses)
    if low > 0 and high / low >= 10:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return Axis("loss", 10.0 ** powers[0], 10.0 ** powers[-1], tuple(10.0**p for p in powers), log=True)
    ticks = nice_ticks(low, high, 4)
    return Axis("loss", ticks[0], ticks[-1], ticks)


# ---- what applications add


def plots(report: Report) -> list[Figure]:
    """A chart for each plot; what has one name has one colour in all of them."""
    colours = colours_of(name for plot in report.plots for name, _ in plot.series)
    return [_plot(plot, colours) for plot in report.plots]


def _plot(plot: Plot, colours: Mapping[str, int]) -> Figure:
    series = [Line(subject_name(name), points, colours[name]) for name, points in plot.series]
    xs = [x for line in series for x, _, _ in line.points]
    if plot.x.endswith("%"):
        x_axis = shares(plot.x, xs)
    else:
        few = sorted(set(xs)) if len(set(xs)) <= _FEW else nice_ticks(min(xs), max(xs), 5)
        x_axis = Axis(plot.x, min(xs), max(xs), tuple(x for x in few if min(xs) <= x <= max(xs)))
    described = "; ".join(line.label for line in series)
    y_axis = shares(plot.y, reach(series))
    return lines(plot.title, described, series, x_axis, y_axis, joined=plot.joined, note=plot.note)


# ---- features


def scatters(report: Report) -> dict[str, Any]:
    """Real and synthetic images in the plane: one projection after the other, so that methods stand side by side."""
    networks = dict.fromkeys(plot.network for plot in report.scatters if plot.network)
    said = [f"Features of {network}." for network in networks]
    said.append("Of each method one set is drawn, with the most images per class.")
    drawn = {plot.subject for plot in report.scatters}
    left = dict.fromkeys(subject_name(g.subject) for g in report.galleries if g.subject not in drawn)
    if left:
        said.append(f"Not drawn, so that the page can be read: {', '.join(left)}.")
    kinds = groups(report.scatters, lambda plot: plot.projection).values()
    return {"said": " ".join(said), "kinds": [list(map(scatter, kind)) for kind in kinds]} if kinds else {}
