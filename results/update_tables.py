"""Write the measured tables of README.md from the JSON lines in this folder: python results/update_tables.py

Every line was written by `condense evaluate --results`. Nothing in a table is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}


def rows() -> list[dict[str, Any]]:
    """One row for each line and subject, in a stable order."""
    published = json.loads((HERE / "published.json").read_text())
    found = []
    for file in sorted(HERE.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            run = json.loads(line)
            known = published.get(run["data"], {})
            for score in run["scores"]:
                subject = score["subject"]
                value = (
                    known.get("whole") if subject == "whole" else known.get(str(run["ipc"]), {}).get(subject)
                )
                found.append({"run": run, "score": score, "published": value or "-"})
    order = {"random": 0, "dm": 1, "dc": 2, "dsa": 3, "whole": 5}
    return sorted(
        found,
        key=lambda r: (r["run"]["data"] != "mnist", r["run"]["ipc"], order.get(r["score"]["subject"], 4)),
    )


def main_table(found: list[dict[str, Any]]) -> list[str]:
    """What was measured, beside what was published."""
    lines = [
        "| data | images per class | training set | test accuracy, % | n | published, % | minutes to make |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        run, score = row["run"], row["score"]
        made = sum(run["condense_seconds"]) / 60
        subject = score["subject"]
        name = {"random": "random images", "whole": "the whole set"}.get(subject, subject.upper())
        if subject not in ("random", "whole"):
            name += f", {run['steps']} steps"
        elif subject == "whole":
            name += f", {score['epochs']} epochs"
        n = f"{score['sets']} x {score['n'] // score['sets']}"
        lines.append(
            f"| {NAMES.get(run['data'], run['data'])} | {'all' if subject == 'whole' else run['ipc']} | {name} | "
            f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f} | {n} | {row['published']} | "
            f"{'-' if subject in ('random', 'whole') else f'{made:.0f}'} |"
        )
    return lines


def commands(found: list[dict[str, Any]]) -> list[str]:
    """The commands behind the rows, with protocol, hardware and time."""
    lines, seen = [], set()
    for row in found:
        run = row["run"]
        if run["command"] in seen:
            continue
        seen.add(run["command"])
        spent = sum(score["seconds"] for score in run["scores"]) / 60
        lines += [
            f"- {NAMES.get(run['data'], run['data'])}, {run['ipc']} per class, {run['method'].upper()}, "
            f"protocol `{run['protocol']}`, {run['hardware']}, evaluation {spent:.0f} min, commit `{run['commit']}`:",
            "  ```",
            *(f"  {command}" for command in run.get("made_with", [])),
            f"  {run['command']}",
            "  ```",
        ]
    return lines


def render() -> str:
    """The generated part of README.md."""
    found = rows()
    return "\n".join(
        [
            BEGIN,
            *main_table(found),
            "",
            "n is sets x networks per set; ± is the standard deviation over all of them.",
            "",
            "<details><summary>The command behind each row</summary>",
            "",
            *commands(found),
            "",
            "</details>",
            END,
        ]
    )


def main() -> int:
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + render() + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
