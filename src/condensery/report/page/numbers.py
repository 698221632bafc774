"""The sections of a page that are about accuracy: the outcome in words, the table, and three kinds of chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from condensery.evaluation.honest import SCORES
from condensery.report.contents import RANDOM, WHOLE, Measurement, Report
from condensery.report.page.charts import Axis, Bar, Line, bars, legend, lines, reach, shares
from condensery.report.page.elements import (
    Cell,
    Column,
    breakable,
    figure,
    number,
    panels,
    paragraphs,
    table,
    text,
)
from condensery.report.page.names import (
    BUDGET,
    MADE_BY,
    NAMES,
    Colours,
    budget,
    ceiling_of,
    circumstances,
    found,
    groups,
    names_within,
    place,
    series_name,
    spread,
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
    chance = [m for m in ranked if m.subject == RANDOM]
    best = (own or chance)[0]
    where = [getattr(best, attribute) for attribute in ("network", "protocol") if varies(among, attribute)]
    where += ["without augmentation"] if best.augmentation == "none" else []
    parts = [f"<b>{text(budget(best.ipc))}</b>"]
    parts.append(f' <span class="muted">({text(", ".join(where))})</span>: ' if where else ": ")
    leads = f"is the best of {len(own)} with" if len(own) > 1 else "reaches"
    parts.append(f"<b>{text(names[id(best)])}</b> {leads} <b>{found(best)}</b>")
    if own:
        parts.append(_beside(best, chance[0], names) if chance else ", with no random images beside it")
    near = [names[id(m)] for m in own[1:] if not _apart(best, m)]
    if near and best.n > 1:
        more = f" and {len(near) - _MOST_NAMES} more" if len(near) > _MOST_NAMES else ""
        parts.append(f". Not clearly below it: {text(', '.join(near[:_MOST_NAMES]) + more)}")
    if whole and whole.mean:
        share = percent(best.mean / whole.mean)
        parts.append(f". That is {share} % of what the whole training set gives ({found(whole)})")
    return "".join(parts) + "."


def _beside(best: Measurement, chance: Measurement, names: dict[int, str]) -> str:
    """How far a set is from random images, and whether that is more than the spreads."""
    gap = best.mean - chance.mean
    side = "above" if gap > 0 else "below"
    said = f", {abs(100 * gap):.1f} points {side} {text(names[id(chance)])} at {found(chance)}, "
    if min(best.n, chance.n) == 1:
        return f"{said}from a single network, so no spread is known"
    if not _apart(best, chance):
        return f"{said}which is within the spreads: no difference is shown"
    single = ", though of one selection: how selections differ is not in them"
    return f"{said}more than both spreads together{single if len(chance.accuracies) == 1 else ''}"


def _apart(a: Measurement, b: Measurement) -> bool:
    """Whether two means differ by more than both spreads together."""
    return abs(a.mean - b.mean) > a.std + b.std


# ---- the table


def accuracy_table(report: Report) -> str:
    """Every measurement. What is the same in all rows is said once, above."""
    rows = report.measurements
    if not rows:
        return ""
    shown, same = [], []
    for attribute, name in NAMES.items():
        values = dict.fromkeys(getattr(m, attribute) for m in rows if getattr(m, attribute) is not None)
        shown += [place(attribute)] if len(values) > 1 else []
        same += [f"{name} <b>{text(*values)}</b>"] if len(values) == 1 else []
    further = dict.fromkeys(name for m in rows for name in further_columns(m))
    index = {id(m): i for i, m in enumerate(rows)}
    columns: list[Column] = [
        BUDGET,
        MADE_BY,
        *shown,
        ("Accuracy, %", _accuracy),
        ("n", lambda m: number(sets_by_networks(m), m.n)),
        *([("Published, %", _published)] if any(m.published for m in rows) else []),
        ("Bytes", lambda m: number(readable_bytes(m.bytes), m.bytes)),
        ("Steps", _steps),
        ("Epochs", lambda m: number(f"{m.epochs:,}", m.epochs)),
        *(_further(name, rows) for name in further),
        ("", lambda m: Cell(f'<a href="#m{index[id(m)]}">how</a>')),
    ]
    caption = "Mean ± standard deviation over n networks, trained from scratch (sets x networks on each). "
    return table(f"{caption}In all rows: {', '.join(same)}.", columns, rows) + paragraphs(_sources(rows))


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


def _accuracy(m: Measurement) -> Cell:
    return number(f"<b>{percent(m.mean)}</b>" + (f" ± {percent(m.std)}" if m.n > 1 else ""), m.mean, "main")


def _published(m: Measurement) -> Cell:
    if m.published is None:
        return number("–", -1.0)
    said = accuracy(m.published.mean, m.published.std)
    other = f" <small>by {text(m.published.protocol)}</small>" if judged_otherwise(m) else ""
    return number(
        f'<span title="{text(m.published.source)}">{said}</span>{other}', m.published.mean, "theirs"
    )


def _steps(m: Measurement) -> Cell:
    of = f" <small>of {m.published_steps:,}</small>" if m.published_steps else ""
    return number("–" if m.steps is None else f"{m.steps:,}{of}", m.steps or 0)


def _further(name: str, rows: Sequence[Measurement]) -> Column:
    """The column of a value that not all rows need to have, set as numbers if it holds nothing else."""
    values = [m.extra.get(name) for m in rows]
    is_numeric = all(value is None or isinstance(value, int | float) for value in values)

    def cell(m: Measurement) -> Cell:
        value = m.extra.get(name)
        shown = "–" if value is None else text(further_text(value))
        return number(shown, float(value or 0)) if is_numeric else Cell(shown)

    return name.replace("_", " ").capitalize(), cell


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
    said = f", judged by {' or '.join(theirs)} where ours is by {_protocols(measurements)}"
    return text(said) if theirs else ""


def _bar_chart(
    group: Sequence[Measurement], chosen: Sequence[Measurement], report: Report, colours: Colours
) -> str:
    first, names, whole = group[0], names_within(group), None
    if varies(group, "protocol"):  # which then has to be said of each
        names = [n if m.protocol in n else f"{n} · {m.protocol}" for n, m in zip(names, group, strict=True)]
    else:
        whole = ceiling_of(report.measurements, first)
    items = [
        Bar(name, m.mean, spread(m), colours[m.subject], m.published and (m.published.mean, m.published.std))
        for name, m in zip(names, group, strict=True)
    ]
    title = budget(first.ipc) + (f", tested on {first.network}" if varies(chosen, "network") else "")
    said = "; ".join(f"{name}: {found(m)}" for name, m in zip(names, group, strict=True))
    note = f"<p class=muted>Dashed: the whole training set, {found(whole)}</p>" if whole else ""
    return figure(text(title), bars(title, said, items, whole.mean if whole else None), note)


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
        ordered = sorted(members, key=lambda m: m.ipc or 0)
        points = tuple((m.ipc or 0, m.mean / unit, (spread(m) or 0) / unit or None) for m in ordered)
        series.append(Line(series_name(members[0], group), points, colours[members[0].subject]))
    ceiling = (whole.mean / unit, f"whole set {percent(whole.mean / unit)}") if whole else None
    label = "% of the whole set's accuracy" if relative else "test accuracy, %"
    y_axis = shares(label, reach(series) + ([ceiling[0]] if ceiling else []))
    marks = tuple(sorted({float(m.ipc) for m in group if m.ipc}))
    x_axis = Axis("images per class", marks[0], marks[-1], marks, log=True)
    where = [getattr(group[0], a) for a in ("network", "protocol") if varies(chosen, a)]
    title = "Relative to the whole training set" if relative else "Accuracy against budget"
    title += f" ({', '.join(where)})" if where else ""
    drawn = lines(title, "; ".join(line.label for line in series), series, x_axis, y_axis, ceiling)
    return figure(text(title), drawn, legend((line.label, line.colour) for line in series))


# ---- across architectures


def heat_maps(report: Report) -> str:
    """Condensed with one architecture (rows), tested on another (columns)."""
    chosen = [m for m in report.measurements if m.subject != WHOLE]
    maps = []
    for group in groups(chosen, lambda m: (m.data, m.ipc, m.protocol, m.augmentation)).values():
        if not varies(group, "network"):
            continue
        by_subject = groups(group, lambda m: m.subject)
        crossed = {s for s, members in by_subject.items() if varies(members, "condensed_with")}
        where = budget(group[0].ipc) + (f", {group[0].protocol}" if varies(chosen, "protocol") else "")
        for subject in sorted(crossed):
            title = f"{subject_name(subject)}, {where}"
            maps.append(_heat_map(title, by_subject[subject], "condensed with"))
        rest = [m for m in group if m.subject not in crossed]
        if varies(rest, "network"):
            maps.append(_heat_map(f"{'Others' if crossed else 'All'}, {where}", rest, "made by"))
    return f'<div class="maps">{"".join(maps)}</div>' if maps else ""


def _heat_map(title: str, members: Sequence[Measurement], corner: str) -> str:
    networks = list(dict.fromkeys(m.network for m in members))
    low, high = min(m.mean for m in members), max(m.mean for m in members)
    name_of = _origin if corner == "condensed with" else series_name
    rows = groups(members, lambda m: (m.subject, m.condensed_with, m.labels)).values()
    columns: list[Column] = [
        (corner, lambda row: Cell(f"<b>{breakable(name_of(row[0], members))}</b>", kind="name")),
    ]
    columns += [(n, lambda row, n=n: _heat({m.network: m for m in row}.get(n), low, high)) for n in networks]
    caption = f"{text(title)}: test accuracy, %, by the network that was trained"
    kinds = "heat many" if len(networks) > _FEW_NETWORKS else "heat"
    return f'<div class="{kinds}">{table(caption, columns, rows, sortable=False)}</div>'


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
    rows = [m for m in report.measurements if any(one.key in m.extra for one in known)]
    columns: list[Column] = [
        BUDGET,
        MADE_BY,
        *(place(a) for a in NAMES if a not in ("data", "augmentation") and varies(rows, a)),
    ]
    for one in known:
        head = f"{one.name}, %" if one.unit == "%" else one.name
        columns.append(
            (head, lambda m, key=one.key: number(percent(m.extra.get(key)), m.extra.get(key, 0.0)))
        )
    caption = "; ".join(f"{one.name}: {one.meaning}" for one in known) + "."
    return table(caption, columns, rows) if rows else ""
