"""The sections of a page that are about accuracy: the outcome in words, the table, and three kinds of chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from condensery.evaluation.honest import SCORES
from condensery.report.contents import WHOLE, Measurement, Report
from condensery.report.page.charts import Axis, Bar, Line, bars, legend, lines, shares
from condensery.report.page.elements import Cell, breakable, figure, panels, paragraphs, table, text
from condensery.report.page.names import (
    RANDOM,
    Colours,
    budget,
    ceiling_of,
    circumstances,
    found,
    groups,
    names_within,
    subject_name,
    varies,
)
from condensery.report.tables import further_columns, further_text, judged_otherwise, sets_by_networks
from condensery.words import accuracy, percent, readable_bytes

_MOST_SENTENCES = 12
_MOST_NAMES = 4  # of sets that are as good as the best
_FEW_NETWORKS = 3  # columns of a heat map whose names fit side by side on a phone

# ---- the outcome in words


def outcome(report: Report) -> str:
    """What came out, budget by budget: the best set, and whether it is above random images beyond the spreads."""
    chosen = [m for m in report.measurements if m.ipc is not None]
    by_budget = groups(chosen, lambda m: (m.ipc, circumstances(m)))
    sentences = [
        _sentence(group, ceiling_of(report.measurements, group[0]), chosen) for group in by_budget.values()
    ]
    kept, left = sentences[:_MOST_SENTENCES], len(sentences) - _MOST_SENTENCES
    items = "".join(f"<li>{sentence}</li>\n" for sentence in kept)
    more = f"<p>{left} more combinations are in the table.</p>" if left > 0 else ""
    return f'<ul class="outcome">{items}</ul>{more}' if kept else ""


def _sentence(group: Sequence[Measurement], whole: Measurement | None, among: Sequence[Measurement]) -> str:
    names = dict(zip(map(id, group), names_within(group), strict=True))
    ranked = sorted(group, key=lambda m: -m.mean)
    own = [m for m in ranked if m.subject != RANDOM]
    best = own[0] if own else ranked[0]
    parts = [f"<b>{text(budget(best.ipc))}</b>{_where(best, among)}: "]
    parts.append(f"<b>{text(names[id(best)])}</b> {_leads(best, own)} <b>{found(best)}</b>")
    parts += _beside_random(best, [m for m in ranked if m.subject == RANDOM], names)
    near = [names[id(m)] for m in own[1:] if not _apart(best, m)]
    if near and best.n > 1:
        more = f" and {len(near) - _MOST_NAMES} more" if len(near) > _MOST_NAMES else ""
        parts.append(f". Not clearly below it: {text(', '.join(near[:_MOST_NAMES]) + more)}")
    if whole and whole.mean:
        parts.append(
            f". That is {percent(best.mean / whole.mean)} % of what the whole training set gives ({found(whole)})"
        )
    return "".join(parts) + "."


def _leads(best: Measurement, own: Sequence[Measurement]) -> str:
    return f"is the best of {len(own)} with" if len(own) > 1 else "reaches"


def _where(m: Measurement, among: Sequence[Measurement]) -> str:
    said = [m.network] if varies(among, "network") else []
    said += [m.protocol] if varies(among, "protocol") else []
    said += ["without augmentation"] if m.augmentation == "none" else []
    return f' <span class="muted">({text(", ".join(said))})</span>' if said else ""


def _beside_random(best: Measurement, chance: Sequence[Measurement], names: dict[int, str]) -> list[str]:
    if not chance:
        return [", with no random images beside it"] if best.subject != RANDOM else []
    other = chance[0]
    if other is best:
        return []
    gap = best.mean - other.mean
    side = "above" if gap > 0 else "below"
    said = f"{abs(100 * gap):.1f} points {side} {text(names[id(other)])} at {found(other)}, "
    if min(best.n, other.n) == 1:
        return [f", {said}", "from a single network, so no spread is known"]
    if _apart(best, other):
        single = (
            ""
            if len(other.accuracies) > 1
            else ", though of one selection: how selections differ is not in them"
        )
        return [f", {said}", f"more than both spreads together{single}"]
    return [f", {said}", "which is within the spreads: no difference is shown"]


def _apart(a: Measurement, b: Measurement) -> bool:
    """Whether two means differ by more than both spreads together."""
    return abs(a.mean - b.mean) > a.std + b.std


# ---- the table

_CONSTANT = (
    ("data", "images"),
    ("condensed_with", "condensed with"),
    ("network", "network trained"),
    ("protocol", "protocol"),
    ("labels", "labels"),
    ("augmentation", "augmentation"),
)


def accuracy_table(report: Report) -> str:
    """Every measurement. What is the same in all rows is said once, above."""
    measurements = report.measurements
    if not measurements:
        return ""
    shown = [pair for pair in _CONSTANT if varies(_with_it(measurements, pair[0]), pair[0])]
    same = [
        f"{name} <b>{text(getattr(_with_it(measurements, attribute)[0], attribute))}</b>"
        for attribute, name in _CONSTANT
        if (attribute, name) not in shown and getattr(_with_it(measurements, attribute)[0], attribute)
    ]
    published = any(m.published for m in measurements)
    head = ["Images per class", "Made by", *(name.capitalize() for _, name in shown)]
    head += ["Accuracy, %", "n", *(["Published, %"] if published else []), "Bytes", "Steps", "Epochs"]
    further = list(dict.fromkeys(name for m in measurements for name in further_columns(m)))
    head += [*(name.replace("_", " ").capitalize() for name in further), ""]
    rows = [_row(i, m, [a for a, _ in shown], published, further) for i, m in enumerate(measurements)]
    caption = "Mean ± standard deviation over n networks, trained from scratch (sets x networks on each). "
    shown_as = table(caption + "In all rows: " + ", ".join(same) + ".", head, rows)
    return shown_as + paragraphs(_sources(measurements))


def _sources(measurements: Sequence[Measurement]) -> list[str]:
    """Where published values are from and by which protocol, and that ours are by another one."""
    known = dict.fromkeys((m.published.source, m.published.protocol) for m in measurements if m.published)
    if not known:
        return []
    said = "Published: " + "; ".join(f"{source} (by {protocol})" for source, protocol in known) + "."
    if any(map(judged_otherwise, measurements)):
        said += (
            f" Ours are by {_protocols(measurements)}: a protocol below a published value says that it was judged "
            "by that one, so the two numbers differ by more than the sets."
        )
    return [text(said)]


def _protocols(measurements: Iterable[Measurement]) -> str:
    """Ours, beside published values of another protocol."""
    return " or ".join(dict.fromkeys(m.protocol for m in measurements if judged_otherwise(m)))


def _with_it(measurements: Sequence[Measurement], attribute: str) -> Sequence[Measurement]:
    """Those for which `attribute` means something: selections and the whole set are condensed with nothing."""
    return [m for m in measurements if getattr(m, attribute) is not None] or measurements


def _row(
    index: int, m: Measurement, shown: Sequence[str], published: bool, further: Sequence[str]
) -> list[Cell]:
    cells = [
        Cell("all" if m.ipc is None else str(m.ipc), float(m.ipc or 1e12), numeric=True),
        Cell(f"<b>{text(subject_name(m.subject))}</b>", kind="who"),
        *(Cell(breakable(getattr(m, attribute) or "–"), kind="name") for attribute in shown),
        Cell(f"<b>{percent(m.mean)}</b>" + (f" ± {percent(m.std)}" if m.n > 1 else ""), m.mean, True, "main"),
        Cell(sets_by_networks(m), m.n, True),
    ]
    if published:
        cells.append(_published(m))
    cells.append(Cell(readable_bytes(m.bytes), m.bytes, True))
    cells.append(Cell(_steps(m), m.steps or 0, True))
    cells.append(Cell(f"{m.epochs:,}", m.epochs, True))
    cells += [_further(m.extra.get(name)) for name in further]
    return [*cells, Cell(f'<a href="#m{index}">how</a>')]


def _further(value: object) -> Cell:
    number = float(value) if isinstance(value, int | float) else None
    return Cell(text(further_text(value)), number, number is not None)


def _published(m: Measurement) -> Cell:
    if m.published is None:
        return Cell("–", -1.0, True)
    said = accuracy(m.published.mean, m.published.std)
    other = f" <small>by {text(m.published.protocol)}</small>" if judged_otherwise(m) else ""
    return Cell(
        f'<span title="{text(m.published.source)}">{said}</span>{other}', m.published.mean, True, "theirs"
    )


def _steps(m: Measurement) -> str:
    if m.steps is None:
        return "–"
    return f"{m.steps:,}" + (f" <small>of {m.published_steps:,}</small>" if m.published_steps else "")


# ---- bars


def bar_charts(report: Report, colours: Colours) -> str:
    """One chart for each budget and network."""
    chosen = [m for m in report.measurements if m.ipc is not None]
    figures = [
        _bar_chart(group, chosen, report, colours)
        for group in groups(chosen, lambda m: (m.data, m.ipc, m.network)).values()
    ]
    if not figures:
        return ""
    notes = ["Whiskers: one standard deviation on either side; none for a single network."]
    if any(m.published for m in chosen):
        notes[0] += " Diamond ◇: the published value" + _judged(chosen) + "."
    return panels(figures) + paragraphs(notes)


def _judged(measurements: Sequence[Measurement]) -> str:
    """, judged by dc-2021 or dm-2023 where ours is by quick"""
    theirs = dict.fromkeys(m.published.protocol for m in measurements if m.published and judged_otherwise(m))
    return (
        text(f", judged by {' or '.join(theirs)} where ours is by {_protocols(measurements)}")
        if theirs
        else ""
    )


def _bar_chart(
    group: Sequence[Measurement], chosen: Sequence[Measurement], report: Report, colours: Colours
) -> str:
    first = group[0]
    names = _with_protocol(group) if varies(group, "protocol") else names_within(group)
    items = [
        Bar(
            name,
            m.mean,
            m.std if m.n > 1 else None,
            colours[m.subject],
            (m.published.mean, m.published.std) if m.published else None,
        )
        for name, m in zip(names, group, strict=True)
    ]
    whole = None if varies(group, "protocol") else ceiling_of(report.measurements, first)
    title = budget(first.ipc) + (f", tested on {first.network}" if varies(chosen, "network") else "")
    said = "; ".join(f"{name}: {found(m)}" for name, m in zip(names, group, strict=True))
    note = f"<p class=muted>Dashed: the whole training set, {found(whole)}</p>" if whole else ""
    return figure(text(title), bars(title, said, items, whole.mean if whole else None), note)


def _with_protocol(group: Sequence[Measurement]) -> list[str]:
    """Names where not all were tested by one protocol, which has to be said of each."""
    return [
        name if m.protocol in name else f"{name} · {m.protocol}"
        for name, m in zip(names_within(group), group, strict=True)
    ]


# ---- accuracy against budget


def budget_charts(report: Report, colours: Colours) -> str:
    """Accuracy against images per class, and as a share of what the whole training set gives."""
    chosen = [m for m in report.measurements if m.ipc is not None]
    figures = []
    for group in groups(chosen, circumstances).values():
        if varies(group, "ipc"):
            whole = ceiling_of(report.measurements, group[0])
            figures.append(_against_budget(group, chosen, whole, colours, relative=False))
            if whole and whole.mean:
                figures.append(_against_budget(group, chosen, whole, colours, relative=True))
    return panels(figures) if figures else ""


def _against_budget(
    group: Sequence[Measurement],
    chosen: Sequence[Measurement],
    whole: Measurement | None,
    colours: Colours,
    relative: bool,
) -> str:
    unit = whole.mean if relative and whole else 1.0
    series = []
    for members in groups(group, lambda m: (m.subject, m.condensed_with, m.labels)).values():
        points = [
            (m.ipc or 0, m.mean / unit, m.std / unit if m.n > 1 else None)
            for m in sorted(members, key=lambda m: m.ipc or 0)
        ]
        series.append(Line(_series_name(members[0], group), tuple(points), colours[members[0].subject]))
    ceiling = (whole.mean / unit, f"whole set {percent(whole.mean / unit)}") if whole else None
    label = "% of the whole set's accuracy" if relative else "test accuracy, %"
    values = [v for line in series for _, y, s in line.points for v in (y - (s or 0), y + (s or 0))]
    y_axis = shares(label, values + ([ceiling[0]] if ceiling else []))
    where = [first for a in ("network", "protocol") if varies(chosen, a) for first in [getattr(group[0], a)]]
    title = ("Relative to the whole training set" if relative else "Accuracy against budget") + (
        f" ({', '.join(where)})" if where else ""
    )
    drawn = lines(title, "; ".join(line.label for line in series), series, _budgets(group), y_axis, ceiling)
    return figure(text(title), drawn, legend((line.label, line.colour) for line in series))


def _series_name(m: Measurement, group: Sequence[Measurement]) -> str:
    alike = [other for other in group if other.subject == m.subject]
    more = [f"with {m.condensed_with}"] if varies(alike, "condensed_with") else []
    more += [f"{m.labels} labels"] if varies(alike, "labels") else []
    return subject_name(m.subject) + (f" ({', '.join(more)})" if more else "")


def _budgets(group: Sequence[Measurement]) -> Axis:
    marks = tuple(sorted({float(m.ipc) for m in group if m.ipc}))
    return Axis("images per class", marks[0], marks[-1], marks, log=True)


# ---- across architectures


def heat_maps(report: Report) -> str:
    """Condensed with one architecture (rows), tested on another (columns)."""
    chosen = [m for m in report.measurements if m.subject != WHOLE]
    maps = []
    for group in groups(chosen, lambda m: (m.data, m.ipc, m.protocol, m.augmentation)).values():
        if not varies(group, "network"):
            continue
        crossed = {
            s
            for s, members in groups(group, lambda m: m.subject).items()
            if varies(members, "condensed_with")
        }
        where = budget(group[0].ipc) + (f", {group[0].protocol}" if varies(chosen, "protocol") else "")
        for subject in sorted(crossed):
            members = [m for m in group if m.subject == subject]
            maps.append(_heat_map(f"{subject_name(subject)}, {where}", members, "condensed with"))
        rest = [m for m in group if m.subject not in crossed]
        if varies(rest, "network"):
            maps.append(_heat_map(f"{'Others' if crossed else 'All'}, {where}", rest, "made by"))
    return f'<div class="maps">{"".join(maps)}</div>' if maps else ""


def _heat_map(title: str, members: Sequence[Measurement], corner: str) -> str:
    networks = list(dict.fromkeys(m.network for m in members))
    low, high = min(m.mean for m in members), max(m.mean for m in members)
    rows = []
    for row in groups(members, lambda m: (m.subject, m.condensed_with, m.labels)).values():
        name = _origin(row[0], members) if corner == "condensed with" else _series_name(row[0], members)
        cells = {m.network: m for m in row}
        head = Cell(f"<b>{breakable(name)}</b>", kind="name")
        rows.append([head, *(_heat(cells.get(n), low, high) for n in networks)])
    caption = f"{text(title)}: test accuracy, %, by the network that was trained"
    kinds = "heat many" if len(networks) > _FEW_NETWORKS else "heat"
    return f'<div class="{kinds}">{table(caption, [corner, *networks], rows, sortable=False)}</div>'


def _origin(m: Measurement, members: Sequence[Measurement]) -> str:
    """The network that the set was condensed with, and the labels where they differ."""
    return f"{m.condensed_with}" + (f", {m.labels} labels" if varies(members, "labels") else "")


def _heat(m: Measurement | None, low: float, high: float) -> Cell:
    if m is None:
        return Cell("–", kind="none")
    share = (m.mean - low) / (high - low) if high > low else 0.5
    said = f"{percent(m.mean)}" + (f"<small> ± {percent(m.std)}</small>" if m.n > 1 else "")
    return Cell(said, m.mean, True, "cell high" if share > 0.55 else "cell", f"--v:{share:.2f}")


# ---- how much is due to the images


def honest_table(report: Report) -> str:
    """The scores that follow from the accuracies of a set, of random images and of the whole set."""
    known = [one for one in SCORES if one.unit and any(one.key in m.extra for m in report.measurements)]
    if not known:
        return ""
    scored = [m for m in report.measurements if any(one.key in m.extra for one in known)]
    places = [(a, name) for a, name in _CONSTANT[1:5] if varies(scored, a)]
    rows = [
        [
            Cell(str(h.ipc), float(h.ipc or 0), True),
            Cell(f"<b>{text(subject_name(h.subject))}</b>", kind="who"),
            *(Cell(breakable(getattr(h, a) or "–"), kind="name") for a, _ in places),
            *(Cell(percent(h.extra.get(one.key)), h.extra.get(one.key, 0.0), True) for one in known),
        ]
        for h in scored
    ]
    caption = "; ".join(f"{one.name}: {one.meaning}" for one in known) + "."
    head = [
        "Images per class",
        "Made by",
        *(name.capitalize() for _, name in places),
        *(f"{one.name}, %" if one.unit == "%" else one.name for one in known),
    ]
    return table(caption, head, rows)
