"""The sections of a page that are about accuracy: the outcome in words, the table, and three kinds of chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from condensery.evaluation.honest import SCORES
from condensery.report.contents import RANDOM, WHOLE, Measurement, Report
from condensery.report.page.charts import Axis, Bar, Figure, Line, bars, lines, reach, shares
from condensery.report.page.columns import (
    BUDGET,
    MADE_BY,
    NAMES,
    Cell,
    Column,
    Table,
    number,
    values_of,
    varying,
    whole_number,
)
from condensery.report.page.names import (
    budget,
    ceiling_of,
    circumstances,
    found,
    groups,
    name_within,
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

Part = tuple[str, Any]
"""The macro of parts.html.jinja that shows something, and what it shows."""


def _of_sets(report: Report) -> list[Measurement]:
    """All but the whole training set."""
    return [m for m in report.measurements if m.ipc is not None]


def _where(m: Measurement, among: Sequence[Measurement], *more: str) -> str:
    """The network and the protocol, if there are several: ", "-joined with what else is said."""
    told = [getattr(m, a) for a in ("network", "protocol") if varies(among, a)]
    return ", ".join([*told, *filter(None, more)])


# ---- the outcome in words


def outcome(report: Report) -> list[Part]:
    """What came out, budget by budget: the best set, and whether it is above random images beyond the spreads."""
    chosen = _of_sets(report)
    by_budget = groups(chosen, lambda m: (m.ipc, circumstances(m))).values()
    said = [_sentence(group, ceiling_of(report.measurements, group[0]), chosen) for group in by_budget]
    left = len(said) - _MOST_SENTENCES
    more: list[Part] = [("paragraphs", [f"{left} more combinations are in the table."])] if left > 0 else []
    return [("outcome", said[:_MOST_SENTENCES]), *more] if said else []


def _sentence(
    group: Sequence[Measurement], whole: Measurement | None, among: Sequence[Measurement]
) -> dict[str, str]:
    """The parts of a sentence, of which some are bold."""
    ranked = sorted(group, key=lambda m: -m.mean)
    own = [m for m in ranked if m.subject != RANDOM]
    chance = [m for m in ranked if m.subject == RANDOM]
    best, rest = (own or chance)[0], ""
    if own:
        rest = _beside(best, chance[0], group) if chance else ", with no random images beside it"
    near = [name_within(m, group) for m in own[1:] if not _apart(best, m)]
    if near and best.n > 1:
        more = f" and {len(near) - _MOST_NAMES} more" if len(near) > _MOST_NAMES else ""
        rest += f". Not clearly below it: {', '.join(near[:_MOST_NAMES])}{more}"
    if whole and whole.mean:
        share = percent(best.mean / whole.mean)
        rest += f". That is {share} % of what the whole training set gives ({found(whole)})"
    return {
        "budget": budget(best.ipc),
        "where": _where(best, among, "without augmentation" if best.augmentation == "none" else ""),
        "name": name_within(best, group),
        "leads": f"is the best of {len(own)} with" if len(own) > 1 else "reaches",
        "found": found(best),
        "rest": rest,
    }


def _beside(best: Measurement, chance: Measurement, group: Sequence[Measurement]) -> str:
    """How far a set is from random images, and whether that is more than the spreads."""
    gap = best.mean - chance.mean
    side = "above" if gap > 0 else "below"
    said = f", {abs(100 * gap):.1f} points {side} {name_within(chance, group)} at {found(chance)}, "
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


def accuracy_table(report: Report) -> list[Part]:
    """Every measurement. What is the same in all rows is said once, above."""
    rows = report.measurements
    if not rows:
        return []
    index = {id(m): i for i, m in enumerate(rows)}
    columns: list[Column] = [
        BUDGET,
        MADE_BY,
        *varying(rows),
        ("Accuracy, %", _accuracy),
        ("n", lambda m: number(sets_by_networks(m), m.n)),
        *([("Published, %", _published)] if any(m.published for m in rows) else []),
        ("Bytes", lambda m: number(readable_bytes(m.bytes), m.bytes)),
        ("Steps", lambda m: whole_number(m.steps, f"of {m.published_steps:,}" if m.published_steps else "")),
        ("Epochs", lambda m: whole_number(m.epochs)),
        *(_further(name, rows) for name in dict.fromkeys(name for m in rows for name in further_columns(m))),
        ("", lambda m: Cell("how", link=f"#m{index[id(m)]}")),
    ]
    caption = "Mean ± standard deviation over n networks, trained from scratch (sets x networks on each). "
    same = [(name, values[0]) for a, name in NAMES.items() if len(values := values_of(rows, a)) == 1]
    return [("table", Table(caption, columns, rows, same=same)), ("paragraphs", _sources(rows))]


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
    return [said]


def _protocols(measurements: Sequence[Measurement], theirs: bool = False) -> str:
    """Ours, beside published values of another protocol, or theirs."""
    apart = [m for m in measurements if judged_otherwise(m)]
    return " or ".join(
        dict.fromkeys(m.published.protocol if theirs and m.published else m.protocol for m in apart)
    )


def _accuracy(m: Measurement) -> Cell:
    rest = f" ± {percent(m.std)}" if m.n > 1 else ""
    return number(percent(m.mean), m.mean, "main", strong=True, rest=rest)


def _published(m: Measurement) -> Cell:
    if m.published is None:
        return number("–", -1.0)
    said, other = accuracy(m.published.mean, m.published.std), f"by {m.published.protocol}"
    more = {"title": m.published.source, "small": other if judged_otherwise(m) else ""}
    return number(said, m.published.mean, "theirs", **more)


def _further(name: str, rows: Sequence[Measurement]) -> Column:
    """The column of a value that not all rows need to have, set as numbers if it holds nothing else."""
    values = [m.extra.get(name) for m in rows]
    is_numeric = all(value is None or isinstance(value, int | float) for value in values)

    def cell(m: Measurement) -> Cell:
        value = m.extra.get(name)
        shown = "–" if value is None else further_text(value)
        return number(shown, float(value or 0)) if is_numeric else Cell(shown)

    return name.replace("_", " ").capitalize(), cell


# ---- bars


def bar_charts(report: Report, colours: Mapping[str, int]) -> list[Part]:
    """One chart for each budget and network."""
    chosen = _of_sets(report)
    by_budget = groups(chosen, lambda m: (m.data, m.ipc, m.network)).values()
    figures = [_bar_chart(group, chosen, report, colours) for group in by_budget]
    note = "Whiskers: one standard deviation on either side; none for a single network."
    if any(m.published for m in chosen):
        theirs, ours = _protocols(chosen, theirs=True), _protocols(chosen)
        judged = f", judged by {theirs} where ours is by {ours}" if theirs else ""
        note += f" Diamond ◇: the published value{judged}."
    return [("panels", figures), ("paragraphs", [note])] if figures else []


def _bar_chart(
    group: Sequence[Measurement], chosen: Sequence[Measurement], report: Report, colours: Mapping[str, int]
) -> Figure:
    first, names, whole = group[0], [name_within(m, group) for m in group], None
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
    note = f"Dashed: the whole training set, {found(whole)}" if whole else ""
    return bars(title, said, items, whole.mean if whole else None, note)


# ---- accuracy against budget


def budget_charts(report: Report, colours: Mapping[str, int]) -> list[Part]:
    """Accuracy against images per class, and as a share of what the whole training set gives."""
    chosen, figures = _of_sets(report), []
    for group in groups(chosen, circumstances).values():
        whole = ceiling_of(report.measurements, group[0])
        relative = (False, True) if whole and whole.mean else (False,)
        if varies(group, "ipc"):
            figures += [_against_budget(group, chosen, whole, colours, one) for one in relative]
    return [("panels", figures)] if figures else []


def _against_budget(
    group: Sequence[Measurement],
    chosen: Sequence[Measurement],
    whole: Measurement | None,
    colours: Mapping[str, int],
    relative: bool,
) -> Figure:
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
    title = "Relative to the whole training set" if relative else "Accuracy against budget"
    title += f" ({where})" if (where := _where(group[0], chosen)) else ""
    return lines(title, "; ".join(line.label for line in series), series, x_axis, y_axis, ceiling)


# ---- across architectures


def heat_maps(report: Report) -> list[Part]:
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
    return [("maps", maps)] if maps else []


def _heat_map(title: str, members: Sequence[Measurement], corner: str) -> Table:
    networks = list(dict.fromkeys(m.network for m in members))
    name_of = _origin if corner == "condensed with" else series_name
    rows = groups(members, lambda m: (m.subject, m.condensed_with, m.labels)).values()
    columns: list[Column] = [
        (corner, lambda row: Cell(name_of(row[0], members), kind="name", strong=True)),
        *((network, partial(_heat, network, members)) for network in networks),
    ]
    caption = f"{title}: test accuracy, %, by the network that was trained"
    kind = "heat many" if len(networks) > _FEW_NETWORKS else "heat"
    return Table(caption, columns, rows, sortable=False, kind=kind)


def _origin(m: Measurement, members: Sequence[Measurement]) -> str:
    """The network that the set was condensed with, and the labels where they differ."""
    return f"{m.condensed_with}" + (f", {m.labels} labels" if varies(members, "labels") else "")


def _heat(network: str, members: Sequence[Measurement], row: Sequence[Measurement]) -> Cell:
    """The last of a row that was found with `network`, coloured by its place among all `members`."""
    m = {m.network: m for m in row}.get(network)
    if m is None:
        return Cell("–", kind="none")
    means = [one.mean for one in members]
    share = (m.mean - min(means)) / (max(means) - min(means)) if max(means) > min(means) else 0.5
    more = {"small": f"± {percent(m.std)}" if m.n > 1 else "", "style": f"--v:{share:.2f}"}
    return number(percent(m.mean), m.mean, "cell high" if share > 0.55 else "cell", **more)


# ---- how much is due to the images


def honest_table(report: Report) -> list[Part]:
    """The scores that follow from the accuracies of a set, of random images and of the whole set."""
    known = [one for one in SCORES if one.unit and any(one.key in m.extra for m in report.measurements)]
    rows = [m for m in report.measurements if any(one.key in m.extra for one in known)]
    columns: list[Column] = [BUDGET, MADE_BY, *varying(rows)]
    for one in known:
        head = f"{one.name}, %" if one.unit == "%" else one.name
        columns.append((head, partial(_score, one.key)))
    caption = "; ".join(f"{one.name}: {one.meaning}" for one in known) + "."
    return [("table", Table(caption, columns, rows))] if rows else []


def _score(key: str, m: Measurement) -> Cell:
    return number(percent(m.extra.get(key)), m.extra.get(key, 0.0))
