"""The sections of a page that show images and how they came about: galleries, curves, features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from condensery.report.contents import Curve, Gallery, Report, Scatter
from condensery.report.page.charts import Axis, Line, legend, lines, nice_ticks, reach, scatter, shares
from condensery.report.page.elements import figure, fold, panels, paragraphs, text
from condensery.report.page.names import Colours, budget, differing, groups, subject_name
from condensery.report.page.sprites import Sprite, sprites

_SHOWN_SIZE = 64  # an image is enlarged by a whole factor to about so many pixels, fewer if there are many
_OPEN = 6  # galleries that are open from the start
_MOST_POINTS = 240  # of a loss curve

# ---- galleries


def galleries(report: Report) -> tuple[str, str]:
    """The galleries, and the style rules that hold their pictures."""
    made, notes = sprites(report.galleries)
    if made:
        before = ", <kbd>i</kbd> shows it before condensation" if any(one.initial for one in made) else ""
        notes = [f"Choose an image to enlarge it; the arrow keys go on{before}.", *notes]
    parts = [_gallery(i, sprite, report.galleries) for i, sprite in enumerate(made)]
    return paragraphs(notes) + "".join(parts) if parts else "", "".join(map(_rules, range(len(made)), made))


def _zoom(sprite: Sprite) -> float:
    """A whole factor that makes images about as large as they are shown; a fraction for very large ones."""
    size = max(sprite.gallery.final.shape[1:3])
    target = _SHOWN_SIZE if max(sprite.counts) <= 10 else _SHOWN_SIZE / 2
    return max(1, target // size) if size <= target * 2 else target * 2 / size


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
    said = [f"condensed {word}" for word in differing(gallery, among, "condensed_with")]
    said += differing(gallery, among, "seed")
    name = ", ".join([subject_name(gallery.subject), budget(gallery.ipc), *said])
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
    series = []
    for curve in group:
        name = ", ".join([subject_name(curve.subject), *differing(curve, group, "condensed_with", "seed")])
        points = ((float(step), mean, std if n > 1 else None) for step, mean, std, n in curve.accuracy)
        series.append(Line(name, tuple(points), colours[curve.subject]))
    steps = max(x for line in series for x, _, _ in line.points)
    title, y_axis = (
        f"Accuracy while condensing, {budget(group[0].ipc)}",
        shares("test accuracy, %", reach(series)),
    )
    drawn = lines(title, "accuracy by step", series, _step_axis(steps), y_axis)
    return figure(text(title), drawn, legend((line.label, line.colour) for line in series))


def _loss_chart(group: Sequence[Curve], among: Sequence[Curve], colours: Colours) -> str:
    drawn = [curve for curve in group if curve.loss]
    series = [Line(f"seed {curve.seed}", _thinned(curve.loss), colours[curve.subject]) for curve in drawn]
    values = [y for line in series for _, y, _ in line.points]
    steps = max(x for line in series for x, _, _ in line.points)
    named = [
        subject_name(group[0].subject),
        budget(group[0].ipc),
        *differing(group[0], among, "condensed_with"),
    ]
    named += [f"{len(series)} seeds"] if len(series) > 1 else []
    title = f"Loss: {', '.join(named)}"
    said = f"from {values[0]:.4g} to {series[0].points[-1][1]:.4g} in {steps:g} steps"
    axes = (_step_axis(steps), _loss_axis(min(values), max(values)))
    return figure(text(title), lines(title, said, series, *axes, marked=False))


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
