"""The sections of a page that show images and how they came about: galleries, curves, features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from condensery.report.contents import Curve, Gallery, Report, Scatter
from condensery.report.page.charts import Axis, Line, legend, lines, nice_ticks, scatter, shares
from condensery.report.page.elements import figure, fold, panels, paragraphs, text
from condensery.report.page.names import Colours, budget, groups, subject_name, varies
from condensery.report.page.sprites import Sprite, sprites

_SHOWN_SIZE = 64  # an image is enlarged by a whole factor to about so many pixels, fewer if there are many
_OPEN = 6  # galleries that are open from the start
_MOST_POINTS = 240  # of a loss curve

# ---- galleries


def galleries(report: Report) -> tuple[str, str]:
    """The galleries, and the style rules that hold their pictures."""
    made, notes = sprites(report.galleries)
    parts = [_gallery(i, sprite, report.galleries) for i, sprite in enumerate(made)]
    if any(sprite.initial for sprite in made):
        notes = [
            "Choose an image to enlarge it; the arrow keys go on, <kbd>i</kbd> shows it before condensation.",
            *notes,
        ]
    elif made:
        notes = ["Choose an image to enlarge it; the arrow keys go on.", *notes]
    return paragraphs(notes) + "".join(parts) if parts else "", "".join(map(_rules, range(len(made)), made))


def set_name(item: Gallery | Curve, among: Sequence[Gallery] | Sequence[Curve]) -> str:
    """dm, 10 images per class, condensed with convnet, seed 0: what tells it from the others."""
    said = [subject_name(item.subject), budget(item.ipc)]
    if item.condensed_with and varies(among, "condensed_with"):
        said.append(f"condensed with {item.condensed_with}")
    if varies(among, "seed"):
        said.append(f"seed {item.seed}")
    return ", ".join(said)


def _zoom(sprite: Sprite) -> float:
    height, width = sprite.gallery.final.shape[1:3]
    target = _SHOWN_SIZE if max(sprite.counts) <= 10 else _SHOWN_SIZE / 2
    return (
        max(1, target // max(height, width))
        if max(height, width) <= target * 2
        else target * 2 / max(height, width)
    )


def _rules(index: int, sprite: Sprite) -> str:
    height, width = sprite.gallery.final.shape[1:3]
    zoom = _zoom(sprite)
    across, down = max(sprite.counts) * (width + 1), len(sprite.counts) * (height + 1)
    rules = (
        f"#g{index}{{--w:{width * zoom:g}px;--h:{height * zoom:g}px;"
        f"--dx:{(width + 1) * zoom:g}px;--dy:{(height + 1) * zoom:g}px}}\n"
        f"#g{index} i{{background-image:url(data:image/png;base64,{sprite.final});"
        f"background-size:{across * zoom:g}px {down * zoom:g}px}}\n"
    )
    if sprite.initial:
        rules += (
            f"#g{index}:has(input[value=before]:checked) i"
            f"{{background-image:url(data:image/png;base64,{sprite.initial})}}\n"
        )
    return rules


def _gallery(index: int, sprite: Sprite, among: Sequence[Gallery]) -> str:
    gallery = sprite.gallery
    height, width = gallery.final.shape[1:3]
    name = set_name(gallery, among)
    rows = "".join(
        f'<div class="row" style="--r:{c}"><b>{text(label)}</b><span>'
        + "".join(f"<i style=--c:{k}></i>" for k in range(shown))
        + "</span></div>\n"
        for c, (label, shown) in enumerate(zip(gallery.class_names, sprite.counts, strict=True))
    )
    switch = _switch(index) if sprite.initial else ""
    few = " few" if max(sprite.counts) <= 3 else ""
    content = (
        f'<div class="bar">{switch}<button type="button" class="zoom" hidden>Enlarge</button></div>'
        f'<div class="rows{few}" role="img" aria-label="{text(name)}: images of {len(gallery.class_names)} classes">'
        f"{rows}</div>"
    )
    holder = f'<div class="gallery" id="g{index}" data-width="{width}" data-height="{height}" data-name="{text(name)}">'
    return fold(text(name), f"{holder}{content}</div>", open_=index < _OPEN)


def _switch(index: int) -> str:
    options = "".join(
        f'<label><input type="radio" name="when{index}" value="{value}"{checked}> {said}</label>'
        for value, said, checked in (("before", "before", ""), ("after", "after condensation", " checked"))
    )
    return f'<fieldset class="switch"><legend>Images</legend>{options}</fieldset>'


# ---- curves


def curves(report: Report, colours: Colours) -> str:
    """The loss of every set, and accuracy on the way where it was measured."""
    figures = []
    measured = [curve for curve in report.curves if curve.accuracy]
    for group in groups(measured, lambda c: c.ipc).values():
        figures.append(_accuracy_chart(group, colours))
    kinds = groups(report.curves, lambda c: (c.subject, c.ipc, c.condensed_with))
    drawn = [group for group in kinds.values() if any(curve.loss for curve in group)]
    figures += [_loss_chart(group, report.curves, colours) for group in drawn]
    if not figures:
        return ""
    thinned = any(len(curve.loss) > _MOST_POINTS for curve in report.curves)
    note = f"Long curves are means over parts of equal length, {_MOST_POINTS} at most." if thinned else ""
    return panels(figures) + (paragraphs([note]) if note else "")


def _accuracy_chart(group: Sequence[Curve], colours: Colours) -> str:
    series = [
        Line(
            _curve_name(curve, group),
            tuple((float(step), mean, std if n > 1 else None) for step, mean, std, n in curve.accuracy),
            colours[curve.subject],
        )
        for curve in group
    ]
    values = [v for line in series for _, y, s in line.points for v in (y - (s or 0), y + (s or 0))]
    steps = max(x for line in series for x, _, _ in line.points)
    title = f"Accuracy while condensing, {budget(group[0].ipc)}"
    drawn = lines(title, "accuracy by step", series, _step_axis(steps), shares("test accuracy, %", values))
    return figure(text(title), drawn, legend((line.label, line.colour) for line in series))


def _curve_name(curve: Curve, among: Sequence[Curve]) -> str:
    said = [subject_name(curve.subject)]
    said += [f"with {curve.condensed_with}"] if varies(among, "condensed_with") else []
    said += [f"seed {curve.seed}"] if varies(among, "seed") else []
    return ", ".join(said)


def _loss_chart(group: Sequence[Curve], among: Sequence[Curve], colours: Colours) -> str:
    series = [
        Line(f"seed {curve.seed}", _thinned(curve.loss), colours[curve.subject])
        for curve in group
        if curve.loss
    ]
    values = [y for line in series for _, y, _ in line.points]
    steps = max(x for line in series for x, _, _ in line.points)
    low, high = min(values), max(values)
    several = f", {len(series)} seeds" if len(series) > 1 else ""
    one = group[0]
    title = (
        f"Loss: {subject_name(one.subject)}, {budget(one.ipc)}"
        + (f", with {one.condensed_with}" if varies(among, "condensed_with") else "")
        + several
    )
    said = f"from {values[0]:.4g} to {series[0].points[-1][1]:.4g} in {steps:g} steps"
    drawn = lines(title, said, series, _step_axis(steps), _loss_axis(low, high), marked=False)
    return figure(text(title), drawn)


def _thinned(loss: Sequence[float]) -> tuple[tuple[float, float, None], ...]:
    """(step, loss), where a long curve becomes the means of equal parts."""
    parts = np.array_split(np.asarray(loss, float), min(len(loss), _MOST_POINTS))
    ends = np.cumsum([len(part) for part in parts])
    return tuple(
        (float(end - (len(part) - 1) / 2), float(part.mean()), None)
        for end, part in zip(ends, parts, strict=True)
    )


def _step_axis(steps: float) -> Axis:
    ticks = tuple(tick for tick in nice_ticks(0, steps, 4) if tick <= steps)
    return Axis("steps", 0, steps, ticks, show="{:g}".format)


def _loss_axis(low: float, high: float) -> Axis:
    """Logarithmic where the loss spans a factor of ten."""
    if low > 0 and high / low >= 10:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return Axis("loss", 10.0 ** powers[0], 10.0 ** powers[-1], tuple(10.0**p for p in powers), log=True)
    ticks = nice_ticks(low, high, 4)
    return Axis("loss", ticks[0], ticks[-1], ticks)


# ---- features


def scatters(report: Report) -> str:
    """Real and synthetic images in the plane: one projection after the other, so that methods stand side by side."""
    if not report.scatters:
        return ""
    kinds = groups(report.scatters, lambda plot: plot.projection).values()
    return paragraphs([_drawn(report)]) + "".join(panels(map(_scatter, kind)) for kind in kinds)


def _drawn(report: Report) -> str:
    """Whose features these are, and which sets are drawn and which are not."""
    networks = dict.fromkeys(plot.network for plot in report.scatters if plot.network)
    said = [f"Features of {network}." for network in networks]
    said.append("Of each method one set is drawn, with the most images per class.")
    drawn = {plot.subject for plot in report.scatters}
    left = dict.fromkeys(subject_name(g.subject) for g in report.galleries if g.subject not in drawn)
    if left:
        said.append(f"Not drawn, so that the page can be read: {', '.join(left)}.")
    return text(" ".join(said))


def _scatter(plot: Scatter) -> str:
    title = f"{plot.projection}: {plot.title}"
    named = [(name, c) for c, name in enumerate(plot.class_names)][:10]
    key = "".join(f'<li><span class="dot s{c}"></span>{text(name)}</li>' for name, c in named)
    more = "<li>colours repeat</li>" if len(plot.class_names) > len(named) else ""
    return figure(text(title), scatter(plot, title), f'<ul class="legend">{key}{more}</ul>')
