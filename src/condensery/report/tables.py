"""The measurements of a report as Markdown, CSV and JSON lines, and back. Percent only where a person reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import chain
from typing import Any

from condensery.budgets import frozen, spanned
from condensery.evaluation.honest import SCORES, WEIGHT, ScoreColumn
from condensery.report.contents import Measurement, Published, Report
from condensery.text import accuracy, percent, readable_bytes

MARKDOWN_MARK = "<!-- condensery report -->"
JSON_MARK = "condensery measurement"


# ---- what all tables share


def score_values(m: Measurement) -> dict[str, float | None]:
    """Every score that is known of, with its weights; None for what a row does not have."""
    return {column.key: m.extra.get(column.key) for column in SCORES}


def further_columns(m: Measurement) -> dict[str, Any]:
    """What a row holds beside the columns and scores that all rows have."""
    known = score_values(m)
    return {name: value for name, value in m.extra.items() if name not in known}


def further_text(value: Any) -> str:
    """A value of a further column, for people."""
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def stored_images(m: Measurement) -> int:
    """Images in one set as it is stored."""
    return m.images if m.stored_images is None else m.stored_images


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


# ---- for programs

_ALWAYS = (
    "data subject ipc condensed_with network protocol labels augmentation mean std sets n published_mean "
    "published_std published_source published_protocol steps published_steps epochs images bytes make_minutes "
    "evaluate_minutes memory"
).split()
COLUMNS = (*_ALWAYS, *(one.key for one in SCORES), "stored_images")  # what every row has


def row(m: Measurement) -> dict[str, Any]:
    """A measurement as plain values by column: fractions, minutes, bytes; None where nothing is known."""
    published = vars(m.published) if m.published else {}
    found = {
        **{f"published_{name}": value for name, value in published.items()},
        "sets": len(m.accuracies),
        "make_minutes": make_seconds(m) / 60 if m.make_seconds else None,
        "evaluate_minutes": m.evaluate_seconds / 60,
    }
    always = {name: found.get(name, getattr(m, name, None)) for name in _ALWAYS}
    always["ipc"] = list(m.ipc) if isinstance(m.ipc, tuple) else m.ipc
    return {**always, **score_values(m), "stored_images": stored_images(m), **further_columns(m)}


def csv_text(report: Report) -> str:
    """CSV with a head line; fractions, minutes and bytes as they are."""
    rows = list(map(row, report.measurements))
    return csv_of(rows, [*COLUMNS, *(name for one in rows for name in one)])


def csv_of(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """Rows below a head line, with these columns; by default those of the first row."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(columns) or rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def json_lines(report: Report) -> str:
    """A JSON object for each measurement: every accuracy, the scores, the commands and the record."""
    return "".join(json.dumps({"kind": JSON_MARK, **to_json(m)}) + "\n" for m in report.measurements)


def to_json(m: Measurement) -> dict[str, Any]:
    """All that is known of a measurement; the scores stand in "honest", other columns in "extra"."""
    derived = {"mean": m.mean, "std": m.std, "n": m.n}
    return asdict(m) | derived | {"honest": score_values(m), "extra": further_columns(m)}


def from_json(document: Mapping[str, Any]) -> Measurement:
    """Inverse of a line of `json_lines`, also of older ones, which know fewer columns.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    known: dict[str, Any] = {f.name: document[f.name] for f in fields(Measurement) if f.name in document}
    for name in ("make_seconds", "commands"):
        known[name] = tuple(known[name])
    known["ipc"] = frozen(known["ipc"])
    known["accuracies"] = tuple(tuple(map(float, networks)) for networks in known["accuracies"])
    known["published"] = known["published"] and Published(**known["published"])
    said = {name: value for name, value in document.get("honest", {}).items() if value is not None}
    m = Measurement(**{**known, "extra": {**known.get("extra", {}), **said}})
    if not m.n:
        raise ValueError("no accuracies")
    return m


# ---- for people

_NUMERIC = ("accuracy, %", "published, %", "n", "ipc", "steps", "minutes", "bytes", "memory")


def markdown(report: Report) -> str:
    """One table, in percent; columns that say nothing in any row are left out."""
    rows = list(map(_readable, report.measurements))
    scores = [_head(one) for one in SCORES]
    names = [name for name in dict.fromkeys(chain(*rows)) if any(one.get(name, "-") != "-" for one in rows)]
    lines = [MARKDOWN_MARK, "", f"# {_cell(report.title)}", ""]
    if names:
        marks = ["---:" if name in _NUMERIC or name in scores else "---" for name in names]
        lines += map(_line, (names, marks, *([one.get(name, "-") for name in names] for one in rows)))
        lines += ["", "Mean ± standard deviation over n networks (sets x networks trained on each)."]
        if set(names) & set(scores):
            *most, last = (one.name for one in SCORES if one.unit)
            weights = " or ".join(one.name for one in SCORES if one.weighs)
            usual = f"a weight {weights} that is not shown is {WEIGHT:g}"
            lines += [f"{', '.join(most)} and {last}: docs/evaluation.md; {usual}."]
        if "published by" in names:
            lines += ["A protocol beside a published value: it was judged by that one, not by the row's."]
    lines += [f"* not measured: {_cell(cell)}: {_cell(why)}" for cell, why in report.skipped]
    return "\n".join(lines) + "\n"


def _head(score: ScoreColumn) -> str:
    return f"{score.name}, %" if score.unit else score.name


def _score(score: ScoreColumn, value: float | None) -> str:
    """In percent; a weight only if it is not the usual one."""
    return percent(value) if score.unit else further_text(None if value == WEIGHT else value)


def _readable(m: Measurement) -> dict[str, str]:
    published, steps = m.published, "-" if m.steps is None else f"{m.steps:,}"
    names = ("data", "subject", "ipc", "condensed_with", "network", "protocol", "labels")
    return {
        **{name.replace("_", " "): _cell(further_text(getattr(m, name))) for name in names},
        "ipc": "-" if m.ipc is None else spanned(m.ipc),
        "augmentation": _cell(m.augmentation) if m.augmentation != "protocol" else "-",
        "accuracy, %": accuracy(m.mean, m.std, m.n),
        "n": sets_by_networks(m),
        "published, %": accuracy(published.mean, published.std) if published else "-",
        "published by": published.protocol if published and judged_otherwise(m) else "-",
        "steps": steps if m.published_steps is None else f"{steps} of {m.published_steps:,}",
        "minutes": f"{make_seconds(m) / 60:.1f}" if m.make_seconds else "-",
        "images stored": f"{stored_images(m):,} for {m.images:,}" if stored_images(m) != m.images else "-",
        "bytes": readable_bytes(m.bytes),
        "memory": "-" if m.memory is None else readable_bytes(m.memory),
        **{_head(one): _score(one, m.extra.get(one.key)) for one in SCORES},
        **{_cell(k.replace("_", " ")): _cell(further_text(v)) for k, v in further_columns(m).items()},
    }


def _cell(text: str) -> str:
    """Text that stays inside its cell and is shown as it is."""
    escaped = " ".join(text.split())
    for sign in "\\`*_<>[]|":
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
