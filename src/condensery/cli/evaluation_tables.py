"""What `condense evaluate` shows: accuracies first, then the scores that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

from condensery.cli.output import Lines, plain_table
from condensery.evaluation import Evaluation, Score
from condensery.evaluation.honest import SCORES, ScoreColumn
from condensery.text import accuracy, count, percent, readable_bytes, readable_seconds

_RANGE = (
    "0 % is the worst there can be, 26.9 % is no better than random and no worse than the whole set, "
    "100 % is out of reach"
)


def accuracy_table(evaluation: Evaluation) -> Lines:
    """Accuracy with its spread and bytes, a row for each score."""
    extra = _differing(evaluation.scores)
    table = plain_table("set")
    table.add_column("network", overflow="fold", min_width=7)
    for name in extra:
        table.add_column(name, no_wrap=True)
    for name in ("images", "size", "accuracy %", "±sets", "±nets", "n", "epochs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in evaluation.scores:
        table.add_row(
            score.subject,
            score.network,
            *(getattr(score, name) for name in extra),
            str(score.images),
            readable_bytes(score.bytes),
            accuracy(score.mean, score.std, score.n),
            percent(score.std_between_sets),
            percent(score.std_between_networks),
            str(score.n),
            str(score.epochs),
            readable_seconds(score.seconds),
        )
    if teacher := evaluation.record.get("labelled_by"):
        blank = [""] * len(extra)
        size, found = readable_bytes(teacher["bytes"]), percent(teacher["accuracy"])
        table.add_row("teacher", teacher["network"], *blank, "", size, found, "", "", "1", "", "")
    return table


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


def honest_table(evaluation: Evaluation) -> Lines | None:
    """The scores that follow from the accuracies; None if there is none."""
    rows, scores = evaluation.honest, _found(evaluation)
    if not scores:
        return None
    told = any(row.labels != "hard" for row in rows)
    heads = (f">{one.name} %" if one.unit == "%" else f">{one.name}" for one in scores)
    table = plain_table("set", "network", *(["labels"] if told else []), *heads)
    for row in rows:
        values = [percent(getattr(row, one.key)) for one in scores]
        labels = [row.labels] if told else []
        table.add_row(evaluation.scores[0].subject, row.network, *labels, *values)
    return table


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


def _differing(scores: Sequence[Score]) -> list[str]:
    """Which of these are not the same in all scores."""
    names = ("labels", "augmentation", "recipe")
    return [name for name in names if len({getattr(s, name) for s in scores}) > 1]
