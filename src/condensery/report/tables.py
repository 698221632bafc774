"""The measurements of a report as Markdown, CSV and JSON lines, and back. Percent only where a person reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from condensery.evaluation.honest import WEIGHT
from condensery.report.contents import HonestScores, Measurement, Published, Report, honest_of
from condensery.words import accuracy, percent, readable_bytes

MARKDOWN_MARK = "<!-- condensery report -->"
JSON_MARK = "condensery measurement"

HONEST = {
    "HLR": "hard_label_recovery",
    "IOR": "improvement_over_random",
    "LRS": "label_robust_score",
    "ARS": "augmentation_robust_score",
}
"""The fields of `HonestScores` by their short names."""


def honest_values(scores: HonestScores | None) -> dict[str, float | None]:
    """The four scores and the weights of those that have one, by field; None for what is not known."""
    found: dict[str, float | None] = {name: getattr(scores, name, None) for name in HONEST.values()}
    weights = {"w": "label_robust_score", "gamma": "augmentation_robust_score"}
    return found | {
        name: None if scores is None or found[of] is None else getattr(scores, name)
        for name, of in weights.items()
    }


def row(m: Measurement, scores: HonestScores | None = None) -> dict[str, Any]:
    """A measurement as plain values by column: fractions, minutes, bytes; None where nothing is known."""
    published = m.published
    return {
        "data": m.data,
        "subject": m.subject,
        "ipc": m.ipc,
        "condensed_with": m.condensed_with,
        "network": m.network,
        "protocol": m.protocol,
        "labels": m.labels,
        "augmentation": m.augmentation,
        "mean": m.mean,
        "std": m.std,
        "sets": len(m.accuracies),
        "n": m.n,
        "published_mean": published.mean if published else None,
        "published_std": published.std if published else None,
        "published_source": published.source if published else None,
        "published_protocol": published.protocol if published else None,
        "steps": m.steps,
        "published_steps": m.published_steps,
        "epochs": m.epochs,
        "images": m.images,
        "bytes": m.bytes,
        "make_minutes": make_seconds(m) / 60 if m.make_seconds else None,
        "evaluate_minutes": m.evaluate_seconds / 60,
        "memory": m.memory,
        **honest_values(scores),
    }


COLUMNS = tuple(
    row(Measurement("", "", None, None, "", "", "", ((0.0,),), images=0, bytes=0, epochs=0))
)  # one list of names, for the head of the CSV too


def judged_otherwise(m: Measurement) -> bool:
    """Whether the published value was found by another protocol than the number beside it."""
    return m.published is not None and m.published.protocol not in ("", m.protocol)


def make_seconds(m: Measurement) -> float:
    """Mean seconds to make one set; 0 where none was made."""
    return sum(m.make_seconds) / len(m.make_seconds) if m.make_seconds else 0.0


def sets_by_networks(m: Measurement) -> str:
    """ "3 x 5": sets, and networks trained on each; "7 on 3" where they got different numbers."""
    sizes = {len(networks) for networks in m.accuracies}
    return f"{len(m.accuracies)} x {sizes.pop()}" if len(sizes) == 1 else f"{m.n} on {len(m.accuracies)}"


def csv_text(report: Report) -> str:
    """CSV with a head line; fractions, minutes and bytes as they are."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(m, honest_of(report.honest, m)) for m in report.measurements)
    return buffer.getvalue()


def json_lines(report: Report) -> str:
    """A JSON object for each measurement: every accuracy, the honest scores, the commands and the record."""
    lines = []
    for m in report.measurements:
        facts = {"mean": m.mean, "std": m.std, "n": m.n, "honest": honest_values(honest_of(report.honest, m))}
        lines.append(json.dumps({"kind": JSON_MARK, **asdict(m), **facts}) + "\n")
    return "".join(lines)


def from_json(document: Mapping[str, Any]) -> tuple[Measurement, HonestScores | None]:
    """Inverse of a line of `json_lines`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    known: dict[str, Any] = {f.name: document[f.name] for f in fields(Measurement)}
    for name in ("accuracies", "make_seconds", "commands"):
        known[name] = tuple(known[name])
    known["accuracies"] = tuple(tuple(map(float, networks)) for networks in known["accuracies"])
    known["published"] = known["published"] and Published(**known["published"])
    m = Measurement(**known)
    if not m.n:
        raise ValueError("no accuracies")
    values = {name: value for name, value in document.get("honest", {}).items() if value is not None}
    if not values:
        return m, None
    scores = {name: values.get(name) for name in HONEST.values()}
    weights = {name: values.get(name, WEIGHT) for name in ("w", "gamma")}
    where = (m.subject, m.ipc, m.condensed_with, m.network, m.protocol, m.labels)
    return m, HonestScores(*where, **scores, **weights)


def markdown(report: Report) -> str:
    """One table, in percent; columns that say nothing in any row are left out."""
    rows = [_readable(m, honest_of(report.honest, m)) for m in report.measurements]
    names = [name for name in (rows[0] if rows else {}) if any(one[name] != "-" for one in rows)]
    numeric = ("accuracy, %", "published, %", "n", "ipc", "steps", "minutes", "bytes", "memory", *_SCORES)
    lines = [MARKDOWN_MARK, "", f"# {_cell(report.title)}", ""]
    if names:
        lines.append(_line(names))
        lines.append(_line(["---:" if name in numeric else "---" for name in names]))
        lines += [_line([one[name] for name in names]) for one in rows]
        lines += ["", "Mean ± standard deviation over n networks (sets x networks trained on each)."]
        lines += [_MEANING] if set(names) & set(_SCORES) else []
        if "published by" in names:
            lines += ["A protocol beside a published value: it was judged by that one, not by the row's."]
    lines += [f"* not measured: {_cell(cell)}: {_cell(why)}" for cell, why in report.skipped]
    return "\n".join(lines) + "\n"


_SCORES = (*(f"{name}, %" for name in HONEST), "w", "gamma")
_MEANING = f"HLR, IOR, LRS and ARS: docs/evaluation.md; a weight w or gamma that is not shown is {WEIGHT:g}."


def _readable(m: Measurement, scores: HonestScores | None) -> dict[str, str]:
    published = m.published
    steps = "-" if m.steps is None else f"{m.steps:,}"
    return {
        "data": _cell(m.data),
        "subject": _cell(m.subject),
        "ipc": "-" if m.ipc is None else str(m.ipc),
        "condensed with": _cell(m.condensed_with or "-"),
        "network": _cell(m.network),
        "protocol": _cell(m.protocol),
        "labels": _cell(m.labels),
        "augmentation": _cell(m.augmentation) if m.augmentation != "protocol" else "-",
        "accuracy, %": accuracy(m.mean, m.std, m.n),
        "n": sets_by_networks(m),
        "published, %": accuracy(published.mean, published.std) if published else "-",
        "published by": published.protocol if judged_otherwise(m) and published else "-",
        "steps": steps if m.published_steps is None else f"{steps} of {m.published_steps:,}",
        "minutes": f"{make_seconds(m) / 60:.1f}" if m.make_seconds else "-",
        "bytes": readable_bytes(m.bytes),
        "memory": "-" if m.memory is None else readable_bytes(m.memory),
        **{f"{name}, %": percent(getattr(scores, key, None)) for name, key in HONEST.items()},
        **{name: _weight(honest_values(scores)[name]) for name in ("w", "gamma")},
    }


def _weight(value: float | None) -> str:
    """A weight that is not the usual one."""
    return "-" if value in (None, WEIGHT) else f"{value:g}"


def _cell(text: str) -> str:
    """Text that stays inside its cell and is shown as it is."""
    escaped = " ".join(text.split())
    for sign in "\\`*_<>[]|":
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
