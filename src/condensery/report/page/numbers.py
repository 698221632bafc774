"""The sections of a page that are about accuracy: the outcome in words, the table, and three kinds of chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from condensery.budgets import mean
from condensery.evaluation.honest import SCORES
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.report.contents import RANDOM, WHOLE, Measurement, Report
from condensery.report.page.charts import Axis, Bar, Figure, Line, bars, lines, reach, shares
from condensery.report.page.names import (
    NAMES,
    budget,
    ceiling_of,
    circumstances,
    found,
    groups,
    name_within,
    series_name,
    spread,
    subject_name,
    values_of,
    varies,
    varying,
)
from condensery.report.tables import further_columns, judged_otherwise
from condensery.text import percent

Rows = Sequence[Measurement]
Colours = Mapping[str, int]  # of each subject


def _of_sets(report: Report) -> list[Measurement]:
    """All but the whole training set."""
    return [m for m in report.measurements if m.ipc is not None]


def _where(m: Measurement, among: Rows, *more: str) -> str:
    """The network and the protocol, if there are several: ", "-joined with what else is said."""
    told = [getattr(m, a) for a in ("network", "protocol") if varies(among, a)]
    return ", ".join([*told, *filter(None, more)])


# ---- the outcome in words


def outcome(report: Report) -> list[dict[str, Any]]:
    """What came out, budget by budget: the best set, and whether it is above random images beyond the spreads."""
    chosen = _of_sets(report)
    by_budget = groups(chosen, lambda m: (m.ipc, circumstances(m))).values()
    return [_best(group, ceiling_of(report.measurements, group[0]), chosen) for group in by_budget]


def _best(group: Rows, whole: Measurement | None, among: Rows) -> dict[str, Any]:
    """The best set of a group, what is not clearly below it, and what stands beside it."""
    ranked = sorted(group, key=lambda m: -m.mean)
    own = [m for m in ranked if m.subject != RANDOM and not m.subject.startswith(EQUAL_BYTES)]
    chance = next((m for m in ranked if m.subject == RANDOM), None)
    best = (own or ranked)[0]
    return {
        "m": best,
        "name": name_within(best, group),
        "where": _where(best, among, "without augmentation" if best.augmentation == "none" else ""),
        "sets": len(own),
        "chance": chance,
        "chance_name": chance and name_within(chance, group),
        "is_apart": chance and _apart(best, chance),
        "near": [name_within(m, group) for m in own[1:] if best.n > 1 and not _apart(best, m)],
        "whole": whole,
    }


def _apart(a: Measurement, b: Measurement) -> bool:
    """Whether two means differ by more than both spreads together."""
    return abs(a.mean - b.mean) > a.std + b.std


# ---- the table


def accuracy_table(report: Report) -> dict[str, Any]:
    """Every measurement. What is the same in all rows is said once, above."""
    rows = report.measurements
    same = [(NAMES[a], values[0]) for a, values in values_of(rows).items() if len(values) == 1]
    shown = {"rows": rows, "varying": varying(rows), "same": same, "sources": _sources(rows)}
    further = dict.fromkeys(name for m in rows for name in further_columns(m))
    are_numbers = (all(isinstance(m.extra.get(name), int | float | None) for m in rows) for name in further)
    return {**shown, "further": dict(zip(further, are_numbers, strict=True))} if rows else {}


def _sources(rows: Rows) -> dict[str, list[Any]]:
    """Where published values are from and by which protocol; the protocols where ours is another one."""
    published = [m.published for m in rows if m.published]
    apart = [(m.protocol, m.published.protocol) for m in rows if m.published and judged_otherwise(m)]
    return {
        "sources": list(dict.fromkeys((one.source, one.protocol) for one in published)),
        "ours": list(dict.fromkeys(ours for ours, _ in apart)),
        "theirs": list(dict.fromkeys(theirs for _, theirs in apart)),
    }


# ---- bars


def bar_charts(report: Report, colours: Colours) -> dict[str, Any]:
    """One chart for each budget and network."""
    chosen = _of_sets(report)
    by_budget = groups(chosen, lambda m: (m.data, m.ipc, m.network)).values()
    figures = [_bar_chart(group, chosen, report, colours) for group in by_budget]
    return {"figures": figures, "sources": _sources(chosen)} if figures else {}


def _bar_chart(group: Rows, chosen: Rows, report: Report, colours: Colours) -> Figure:
    named, whole = [(name_within(m, group), m) for m in group], None
    if varies(group, "protocol"):  # which then has to be said of each
        named = [(name if m.protocol in name else f"{name} · {m.protocol}", m) for name, m in named]
    else:
        whole = ceiling_of(report.measurements, group[0])
    items = [
        Bar(name, m.mean, spread(m), colours[m.subject], m.published and (m.published.mean, m.published.std))
        for name, m in named
    ]
    title = budget(group[0].ipc) + (f", tested on {group[0].network}" if varies(chosen, "network") else "")
    said = "; ".join(f"{name}: {found(m)}" for name, m in named)
    note = f"Dashed: the whole training set, {found(whole)}" if whole else ""
    return bars(title, said, items, whole.mean if whole else None, note)


# ---- accuracy against budget


def budget_charts(report: Report, colours: Colours) -> list[Figure]:
    """Accuracy against images per class, and as a share of what the whole training set gives."""
    chosen, figures = _of_sets(report), []
    for group in groups(chosen, circumstances).values():
        whole = ceiling_of(report.measurements, group[0])
        relative = (False, True) if whole and whole.mean else (False,)
        if varies(group, "ipc"):
            figures += [_against_budget(group, chosen, whole, colours, one) for one in relative]
    return figures


def _against_budget(
    group: Rows, chosen: Rows, whole: Measurement | None, colours: Colours, relative: bool
) -> Figure:
    unit = whole.mean if relative and whole else 1.0
    series = []
    for members in groups(group, lambda m: (m.subject, m.condensed_with, m.labels)).values():
        ordered = sorted(members, key=lambda m: mean(m.ipc))
        points = tuple((mean(m.ipc), m.mean / unit, (spread(m) or 0) / unit or None) for m in ordered)
        series.append(Line(series_name(members[0], group), points, colours[members[0].subject]))
    ceiling = (whole.mean / unit, f"whole set {percent(whole.mean / unit)}") if whole else None
    label = "% of the whole set's accuracy" if relative else "test accuracy, %"
    y_axis = shares(label, reach(series) + ([ceiling[0]] if ceiling else []))
    marks = tuple(sorted({mean(m.ipc) for m in group if m.ipc}))
    x_axis = Axis("images per class", marks[0], marks[-1], marks, log=True)
    title = "Relative to the whole training set" if relative else "Accuracy against budget"
    title += f" ({where})" if (where := _where(group[0], chosen)) else ""
    return lines(title, "; ".join(line.label for line in series), series, x_axis, y_axis, ceiling)


# ---- across architectures


def heat_maps(report: Report) -> list[dict[str, Any]]:
    """Condensed with one architecture (rows), tested on another (columns)."""
    chosen = [m for m in report.measurements if m.subject != WHOLE]
    maps = []
    for group in groups(chosen, lambda m: (m.data, m.ipc, m.protocol, m.augmentation)).values():
        if not varies(group, "network"):
            continue
        by_subject = groups(group, lambda m: m.subject)
        crossed = {s for s, members in by_subject.items() if varies(members, "condensed_with")}
        where = budget(group[0].ipc) + (f", {group[0].protocol}" if varies(chosen, "protocol") else "")
        for s in sorted(crossed):
            maps.append(_heat_map(f"{subject_name(s)}, {where}", by_subject[s], "condensed with"))
        rest = [m for m in group if m.subject not in crossed]
        if varies(rest, "network"):
            maps.append(_heat_map(f"{'Others' if crossed else 'All'}, {where}", rest, "made by"))
    return maps


def _heat_map(title: str, members: Rows, corner: str) -> dict[str, Any]:
    """A row for each origin, with what was found by network."""
    name_of = _origin if corner == "condensed with" else series_name
    rows = groups(members, lambda m: (m.subject, m.condensed_with, m.labels)).values()
    means = [m.mean for m in members]
    return {
        "title": title,
        "corner": corner,
        "networks": list(dict.fromkeys(m.network for m in members)),
        "rows": [(name_of(row[0], members), {m.network: m for m in row}) for row in rows],
        "low": min(means),
        "span": max(means) - min(means),
    }


def _origin(m: Measurement, members: Rows) -> str:
    """The network that the set was condensed with, and the labels where they differ."""
    return f"{m.condensed_with}" + (f", {m.labels} labels" if varies(members, "labels") else "")


# ---- how much is due to the images


def honest_table(report: Report) -> dict[str, Any]:
    """The scores that follow from the accuracies of a set, of random images and of the whole set."""
    known = [one for one in SCORES if one.unit and any(one.key in m.extra for m in report.measurements)]
    rows = [m for m in report.measurements if any(one.key in m.extra for one in known)]
    return {"rows": rows, "varying": varying(rows), "scores": known} if rows else {}
