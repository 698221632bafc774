"""Draw docs/images/minutes.png, accuracy over minutes, from results/curves.jsonl: python results/draw_curves.py

A line for each method: CIFAR-10 at 1 image per class, each point a set, judged by one network.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot
from update_tables import MINUTES, curves, lines_of

TARGET = Path(__file__).parents[1] / "docs/images/minutes.png"
COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#e69f00", "#555555")  # Okabe & Ito
APART = 2.3  # points of accuracy between two names


def random_images() -> float:
    """Accuracy in % of random images of as many bytes."""
    sets = [row for row in lines_of(MINUTES) if row["data"] == "cifar10" and row["ipc"] == 1]
    scores = [score for row in sets for score in row["scores"] if score["subject"] == "random"]
    return 100 * scores[-1]["mean"]


def main() -> None:
    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = pyplot.subplots(figsize=(7, 3.3), layout="constrained")
    found, place = curves(), float("inf")
    right = 1.12 * max(points[-1][0] for points in found.values())
    for colour, (name, points) in zip(COLOURS, found.items(), strict=True):
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4)
        place = min(points[-1][1], place - APART)
        axes.plot([points[-1][0], right], [points[-1][1], place], color=colour, linewidth=0.5, linestyle=":")
        axes.text(1.03 * right, place, name, color=colour, va="center")
    axes.axhline(random_images(), color="#999999", linewidth=0.8, linestyle="--")
    axes.text(0.165, random_images() + 0.5, "random images", color="#777777")
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.16, right)
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    axes.set_xlabel("minutes of one CPU core to make the set")
    axes.set_ylabel("test accuracy, %")
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
