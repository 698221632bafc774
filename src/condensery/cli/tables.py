"""Accuracies as people read them: an evaluation with the scores that follow from it, and many measurements."""

from __future__ import annotations

from collections.abc import Sequence

from condensery.budgets import spanned
from condensery.cli.output import Table, table
from condensery.evaluation import Evaluation, Score
from condensery.evaluation.honest import SCORES, ScoreColumn
from condensery.evaluation.scores import COMMON, OWN
from condensery.report.contents import Measurement
from condensery.report.tables import sets_by_networks
from condensery.text import accuracy, count, percent, readable_bytes, readable_seconds

_RANGE = (
    "0 % is the worst there can be, 26.9 % is no better than random and no worse than the whole set, "
    "100 % is out of reach"
)


def accuracy_table(evaluation: Evaluation) -> Table:
    """Accuracy with its spread and bytes, a row for each; that by a set's own recipe beside the common one."""
    scores = evaluation.scores
    differing = [name for name in ("labels", "augmentation") if len({getattr(s, name) for s in scores}) > 1]
    if any(score.recipe == OWN for score in scores):
        rows = [_both_recipes(common, own, differing) for common, own in _paired(scores)]
    else:
        rows = [_row(score, differing) for score in scores]
    if teacher := evaluation.record.get("labelled_by"):
        size, found = readable_bytes(teacher["bytes"]), percent(teacher["accuracy"])
        accuracy_head = next(head for head in rows[0] if head.endswith("%"))
        rows.append(
            {"set": "teacher", "network": teacher["network"], ">size": size, accuracy_head: found, ">n": "1"}
        )
    return table(rows)


def _row(score: Score, differing: list[str]) -> dict[str, str]:
    return {
        "set": score.subject,
        "network": score.network,
        **{name: getattr(score, name) for name in differing},
        ">images": str(score.images),
        ">size": readable_bytes(score.bytes),
        ">accuracy %": accuracy(score.mean, score.std, score.n),
        ">±sets": percent(score.std_between_sets),
        ">±nets": percent(score.std_between_networks),
        ">n": str(score.n),
        ">epochs": str(score.epochs),
        ">time": readable_seconds(score.seconds),
    }


def _paired(scores: Sequence[Score]) -> list[tuple[Score | None, Score | None]]:
    """Scores by the common protocol, each with that of the same set and network by the set's own recipe, if any.

    One by the own recipe stands beside that with the same labels, or else beside the last one.
    """
    rows: list[tuple[Score | None, Score | None]] = [(s, None) for s in scores if s.recipe != OWN]
    for own in (score for score in scores if score.recipe == OWN):
        kin = [
            i
            for i, (common, taken) in enumerate(rows)
            if common
            and taken is None
            and (common.subject, common.network) == (own.subject, own.network)
            and common.augmentation == own.augmentation
        ]
        alike = [i for i in kin if getattr(rows[i][0], "labels", None) == own.labels]
        if kin:
            place = (alike or kin)[-1]
            rows[place] = rows[place][0], own
        else:
            rows.append((None, own))
    return rows


def _both_recipes(common: Score | None, own: Score | None, differing: list[str]) -> dict[str, str]:
    """A row with two accuracies; where anything else differs between them, that of the own recipe comes second."""
    rows = [_row(score, differing) if score else None for score in (common, own)]

    def cell(name: str) -> str:
        said = [row[name] for row in rows if row]
        return " / ".join(said if len(set(said)) > 1 else said[:1])

    first = rows[0] or rows[1] or {}
    found = {}
    for name in first:
        if name == ">accuracy %":
            for recipe, row in zip((COMMON, OWN), rows, strict=True):
                found[f">{recipe} %"] = row[name] if row else "-"
        else:
            found[name] = cell(name)
    return found


def circumstances(evaluation: Evaluation) -> list[str]:
    """What the accuracies are, in a line, and one more for each teacher."""
    record = evaluation.record
    lines = [
        f"Mean ± standard deviation over n networks, spread between sets and between networks of a set; "
        f"protocol {record['protocol']}, test images of {record['data']}, seed {record['seed']}, "
        f"{record['hardware']}."
    ]
    for teacher in record["teachers"]:
        lines.append(
            f"Soft labels of a {teacher['network']} with a test accuracy of {percent(teacher['accuracy'])} %, "
            f"trained on the whole set for {count(teacher['epochs'], 'epoch')}, seed {teacher['seed']}, "
            f"temperature {teacher['temperature']:g}; size counts them."
        )
    return [*lines, *(f"{note[:1].upper()}{note[1:]}." for note in evaluation.notes)]


def honest_table(evaluation: Evaluation) -> Table | None:
    """The scores that follow from the accuracies; None if there is none."""
    rows, scores, subject = evaluation.honest, _found(evaluation), evaluation.scores[0].subject
    told = any(row.labels != "hard" for row in rows)
    heads = {one.key: f">{one.name} %" if one.unit == "%" else f">{one.name}" for one in scores}
    cells = (
        {
            "set": subject,
            "network": row.network,
            **({"labels": row.labels} if told else {}),
            **{head: percent(getattr(row, key)) for key, head in heads.items()},
        }
        for row in rows
    )
    return table(cells) if scores else None


def honest_lines(evaluation: Evaluation) -> list[str]:
    """What the honest scores mean, and which could not be computed."""
    found = {one.key: one.name for one in _found(evaluation)}
    weights = [one for one in SCORES if one.weighs in found]
    weighed = {one.weighs for one in weights}
    lines = [f"{one.name}: {one.meaning}." for one in _found(evaluation) if one.key not in weighed]
    if weights:
        names = ", ".join(name for key, name in found.items() if key in weighed)
        said = ", ".join(f"{one.name} {getattr(evaluation.honest[0], one.key):g}" for one in weights)
        lines.append(f"{names}: {_RANGE} ({said}; docs/evaluation.md).")
    if evaluation.missing:
        lines.append(f"Not computed: {'; '.join(evaluation.missing)}.")
    return lines


def _found(evaluation: Evaluation) -> list[ScoreColumn]:
    """The scores, without their weights, that any architecture has."""
    rows = evaluation.honest
    return [
        one for one in SCORES if one.unit and any(getattr(row, one.key, None) is not None for row in rows)
    ]


_ONLY_IF_TOLD = {"made with": 1, "labels": 0, "protocol": 1}
"""Columns that tables have if they say more than so many things, and "hard" is none."""


def measurement_table(measurements: Sequence[Measurement]) -> Table:
    """A row for each; columns in which nothing is said are left out."""
    rows = _beside_own(measurements)
    said = {name: {row[name] for row in rows} - {"-", "hard"} for name in (rows[0] if rows else ())}
    optional = {**_ONLY_IF_TOLD, **dict.fromkeys([">published", *(f">{one.name}" for one in SCORES)], 0)}
    left_out = {name for name, least in optional.items() if len(said.get(name, ())) <= least}
    return table({name: text for name, text in row.items() if name not in left_out} for row in rows)


def _beside_own(measurements: Sequence[Measurement]) -> list[dict[str, str]]:
    """A row for each, with the accuracy by a set's own recipe in a column beside that by the common protocol."""
    rows: list[tuple[Measurement, dict[str, str]]] = []
    owned = any(one.protocol == OWN for one in measurements)
    for one in sorted(measurements, key=lambda one: one.protocol == OWN):
        kin = [row for of, row in rows if _place(of) == _place(one) and row.get(f">{OWN} %") == "-"]
        if one.protocol == OWN and kin:
            kin[-1][f">{OWN} %"] = accuracy(one.mean, one.std, one.n)
            continue
        row = _measurement(one)
        if owned:
            shown = row.pop(">accuracy %")
            both = ("-", shown) if one.protocol == OWN else (shown, "-")
            place = list(row).index(">n")
            head = dict(zip((f">{COMMON} %", f">{OWN} %"), both, strict=True))
            items = list(row.items())
            row = dict([*items[:place], *head.items(), *items[place:]])
        rows.append((one, row))
    return [row for _, row in rows]


def _place(one: Measurement) -> tuple[object, ...]:
    return one.subject, one.ipc, one.condensed_with, one.network, one.data


def _measurement(one: Measurement) -> dict[str, str]:
    published, steps = one.published, "-" if one.steps is None else f"{one.steps:,}"
    seconds = sum(one.make_seconds)  # nothing for what takes no time, as drawing at random
    return {
        "method": one.subject,
        ">ipc": spanned(one.ipc) if one.ipc else "-",
        "made with": one.condensed_with or "-",
        "network": one.network,
        "labels": one.labels,
        "protocol": one.protocol,
        ">accuracy %": accuracy(one.mean, one.std, one.n),
        ">n": sets_by_networks(one),
        ">images": str(one.images),
        ">size": readable_bytes(one.bytes),
        ">steps": steps
        if one.published_steps in (None, one.steps)
        else f"{steps} of {one.published_steps:,}",
        ">to make": readable_seconds(seconds) if seconds >= 0.5 else "-",
        ">published": accuracy(published.mean, published.std) if published else "-",
        **{f">{score.name}": percent(one.extra.get(score.key)) for score in SCORES if score.unit},
    }
