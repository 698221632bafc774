"""What comes of a study of continual learning: rows of accuracies, and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from condensery.apps.continual.streams import Stream
from condensery.apps.study import Found
from condensery.jobs.job import Job
from condensery.report.contents import Plot, Report, Table
from condensery.text import accuracy, readable_bytes, readable_seconds


@dataclass(frozen=True)
class Row:
    """One memory with one learner, over all orders.

    Attributes:
        memory, learner: labels.
        seeds: of the orders that are done.
        accuracies: fractions (orders, steps): the mean over all tasks so far, after each step.
        forgetting: (orders,), see `forgetting`.
        images, bytes: of the memory after the last step.
        make_seconds, learn_seconds: (orders,), to make all memories, and to learn all steps.
    """

    memory: str
    learner: str
    seeds: tuple[int, ...]
    accuracies: np.ndarray
    forgetting: np.ndarray
    images: int
    bytes: int
    make_seconds: tuple[float, ...]
    learn_seconds: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{self.learner}, {self.memory}"

    def to_json(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).tolist() for name in ("accuracies", "forgetting")}
        mean = {
            "mean": self.accuracies.mean(0).tolist(),
            "std": self.accuracies.std(0).tolist(),
            "n": len(self.seeds),
        }
        return {**vars(self), **arrays, **mean}


@dataclass(frozen=True)
class Continual:
    """What came of a study.

    Attributes:
        folder: where everything is; memories are in work/KEY/memoryN.
        asked: all that was asked for, JSON-able.
        steps: name of each step; only its number where the orders differ.
        rows: memory by memory, learner by learner.
        problems: memory and order, and why there is no number.
    """

    folder: Path
    asked: dict[str, Any]
    steps: tuple[str, ...]
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]
    problems: tuple[tuple[str, str], ...] = ()
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        rows = [row.to_json() for row in self.rows]
        return {**vars(self), "folder": str(self.folder), "rows": rows}

    def report(self, title: str = "") -> Report:
        """The page: a chart for each learner, and a table."""
        plots = []
        rows = sorted(self.rows, key=lambda row: list(self.asked["learners"]).index(row.learner))
        for learner in dict.fromkeys(row.learner for row in rows):
            own = [row for row in rows if row.learner == learner]
            series = tuple(
                (
                    row.memory,
                    tuple(
                        (t + 1, float(row.accuracies[:, t].mean()), _spread(row.accuracies[:, t]))
                        for t in range(row.accuracies.shape[1])
                    ),
                )
                for row in own
            )
            plots.append(Plot(f"{learner}: mean accuracy on all tasks so far, %", "after step", "", series))
        columns = ("Learner", "Memory", "Accuracy after the last step, %", "n", "Forgetting, points", "Images", "Bytes",
                   "To make", "To learn")  # fmt: skip
        cells = tuple(
            (
                row.learner, row.memory, _shown(row.accuracies[:, -1]), len(row.seeds), _shown(row.forgetting),
                row.images, (readable_bytes(row.bytes), row.bytes),
                _time(row.make_seconds), _time(row.learn_seconds),
            )
            for row in rows
        )  # fmt: skip
        said = "Mean ± standard deviation over n seeds. Images and bytes are those of the whole memory at the end."
        title = title or f"Continual learning on {', '.join(one['name'] for one in self.asked['data'])}"
        return Report(title, self.facts, (), plots=tuple(plots), tables=(Table(said, columns, cells),),
                      skipped=self.problems, command=self.command)  # fmt: skip


def forgetting(accuracies: Sequence[Sequence[float]]) -> float:
    """By how much the accuracy on a task has fallen since its best, averaged over all tasks but the last.

    Args:
        accuracies: a row for each step, with a fraction for each task so far.

    Source: A. Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, section 3.1.
    """
    last = len(accuracies) - 1
    lost = [max(accuracies[t][k] for t in range(k, last)) - accuracies[last][k] for k in range(last)]
    return float(np.mean(lost))


def gathered(
    folder: Path, asked: dict[str, Any], stream: Stream, jobs: Mapping[tuple[str, int], Job],
    found: Found, command: str,
) -> Continual:  # fmt: skip
    """What is done of a study, from the documents of its jobs."""
    rows, names, documents = [], set(), found.documents
    for memory in dict.fromkeys(label for label, _ in jobs):
        done = {
            seed: documents[job.key]
            for (label, seed), job in jobs.items()
            if label == memory and job.key in documents
        }
        of_memory = list(done.values())
        names |= {tuple(one["steps"]) for one in of_memory}
        for learner in asked["learners"] if of_memory else ():
            tables = [one["accuracies"][learner] for one in of_memory]
            rows.append(
                Row(
                    memory, learner, tuple(done),
                    np.array([[np.mean(row) for row in table] for table in tables]),
                    np.array([forgetting(table) for table in tables]),
                    sum(m["images"] for m in of_memory[0]["memory"]), sum(m["bytes"] for m in of_memory[0]["memory"]),
                    tuple(sum(m["seconds"] for m in one["memory"]) for one in of_memory),
                    tuple(sum(one["seconds_of"][learner]) for one in of_memory),
                )
            )  # fmt: skip
    steps = names.pop() if len(names) == 1 else tuple(f"step {t + 1}" for t in range(len(stream.steps)))
    facts = tuple(_facts(asked, stream, steps, documents))
    return Continual(folder, asked, steps, tuple(rows), facts, tuple(found.problems.items()), command)


def _facts(
    asked: dict[str, Any], stream: Stream, steps: tuple[str, ...], documents: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """What stands above a report."""
    yield "Data", ", ".join(f"{one['name']} ({one['fingerprint'][:12]})" for one in asked["data"])
    sizes = "/".join(str(len(step.classes)) for step in stream.steps)
    drawn = f"{len(steps)} steps of {sizes} classes" if stream.scenario == "class" else f"{len(steps)} sets"
    yield "Stream", f"{drawn}, drawn for each seed" if asked["shuffled"] else " → ".join(steps)
    yield "Memory", f"{asked['ipc']} per class of each step, equal {asked['budget']}"
    most = asked["test_images"]
    tested = f"at most {most:,} test images of each task" if most else "all test images"
    yield "Network", f"{asked['network']}, augmentation {asked['augmentation']}, {tested}"
    yield "Seeds", ", ".join(map(str, asked["seeds"]))
    for label, (_, fields) in asked["learners"].items():
        yield label, ", ".join(f"{name} {value}" for name, value in fields.items())
    for document in list(documents.values())[:1]:
        yield "Hardware", str(document["hardware"])


def _spread(values: np.ndarray) -> float | None:
    return float(values.std()) if len(values) > 1 else None


def _shown(values: np.ndarray) -> tuple[str, float]:
    return accuracy(float(values.mean()), float(values.std()), len(values)), float(values.mean())


def _time(seconds: Sequence[float]) -> tuple[str, float]:
    mean = float(np.mean(seconds))
    return readable_seconds(mean), mean
