"""Write the measured tables of README.md from the JSON lines in this folder: python results/update_tables.py

Every line was written by `condense evaluate --results`. Nothing in a table is typed by hand, and published values
come from `condensery.published`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from condensery.published import lookup

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
SUBJECTS = {
    "random": "random images",
    "dm": "DM",
    "dc": "DC",
    "dsa": "DSA",
    "dcc": "DCC",
    "dsac": "DSAC",
    "whole": "the whole set",
}


def rows() -> list[dict[str, Any]]:
    """One row for each line and subject: the run, its score and the published value; in a stable order."""
    found = []
    for file in sorted(HERE.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            run = json.loads(line)
            for score in run["scores"]:
                found.append({"run": run, "score": score, "published": published(run, score)})
    order = list(SUBJECTS)
    return sorted(
        found,
        key=lambda r: (r["run"]["data"] != "mnist", r["run"]["ipc"], order.index(r["score"]["subject"])),
    )


def published(run: dict[str, Any], score: dict[str, Any]) -> str:
    """The published value of a score in percent, or "-"."""
    made_with = run["condensed_with"]
    value = lookup(run["data"], score["subject"], run["ipc"], score["network"], made_with)
    if value is None:
        return "-"
    std = "" if value.std is None else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{std}"


def summary(found: list[dict[str, Any]]) -> list[str]:
    """Data sets and budgets down, methods across; published values in brackets."""
    kinds = [subject for subject in SUBJECTS if any(r["score"]["subject"] == subject for r in found)]
    lines = [
        "| test accuracy, % (published) | " + " | ".join(SUBJECTS[kind] for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for data, ipc in dict.fromkeys((r["run"]["data"], r["run"]["ipc"]) for r in found):
        cells = []
        for kind in kinds:
            cell = [
                r
                for r in found
                if (r["run"]["data"], r["run"]["ipc"], r["score"]["subject"]) == (data, ipc, kind)
            ]
            cells.append(f"{accuracy(cell[0]['score'])} ({cell[0]['published']})" if cell else "")
        images = "1 image" if ipc == 1 else f"{ipc} images"
        lines.append(f"| {NAMES.get(data, data)}, {images} per class | " + " | ".join(cells) + " |")
    return lines


def accuracy(score: dict[str, Any]) -> str:
    """Mean and standard deviation in percent."""
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"


def details(found: list[dict[str, Any]]) -> list[str]:
    """Everything about every number."""
    lines = [
        "| # | data | images per class | training set | accuracy, % | sets x networks | published, % | updates | "
        "minutes to make | protocol |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    numbers = {command: i + 1 for i, command in enumerate(dict.fromkeys(r["run"]["command"] for r in found))}
    for row in found:
        run, score = row["run"], row["score"]
        subject, made = score["subject"], sum(run["condense_seconds"]) / 60
        condensed = subject not in ("random", "whole")
        lines.append(
            f"| {numbers[run['command']]} | {NAMES.get(run['data'], run['data'])} | "
            f"{'all' if subject == 'whole' else run['ipc']} | {SUBJECTS[subject]} | {accuracy(score)} | "
            f"{score['sets']} x {score['n'] // score['sets']} | {row['published']} | "
            f"{run['steps'] if condensed else '-'} | {f'{made:.0f}' if condensed else '-'} | `{run['protocol']}` |"
        )
    return lines


def commands(found: list[dict[str, Any]]) -> list[str]:
    """The commands behind the rows by number, with hardware, commit and time."""
    lines = []
    for i, run in enumerate({r["run"]["command"]: r["run"] for r in found}.values()):
        spent = sum(score["seconds"] for score in run["scores"]) / 60
        lines += [
            f"{i + 1}. {run['hardware']}; commit `{run['commit']}`; {spent:.0f} minutes to evaluate",
            "",
            "   ```",
            *(f"   {command}" for command in run["made_with"]),
            f"   {re.sub(r' --results [^ ]+', '', run['command'])}",
            "   ```",
        ]
    return lines


def render() -> dict[str, str]:
    """The generated parts of README.md by the name of their marks."""
    found = rows()
    return {
        "summary": "\n".join(summary(found)),
        "details": "\n".join([*details(found), "", *commands(found)]),
    }


def marked(name: str, text: str) -> str:
    """A generated part between its marks."""
    return f"<!-- {name}: begin -->\n{text}\n<!-- {name}: end -->"


def main() -> int:
    readme = README.read_text(encoding="utf-8")
    for name, text in render().items():
        before, rest = readme.split(f"<!-- {name}: begin -->")
        _, after = rest.split(f"<!-- {name}: end -->")
        readme = before + marked(name, text) + after
    README.write_text(readme, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
