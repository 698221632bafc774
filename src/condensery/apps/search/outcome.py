"""What comes of a search: how each proxy ranks the networks, and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from condensery.report.contents import Cell, Plot, Report, Table
from condensery.text import accuracy, count, readable_bytes, readable_seconds

TOP, _SHARE = 10, 0.05
WHOLE_SET = "whole set"
"""The label of the ranking by networks trained on the whole training part."""


@dataclass(frozen=True)
class Ranking:
    """How one proxy ranks the networks.

    Attributes:
        proxy: its label.
        validation: mean accuracy by network, of those trained on the proxy.
        chosen: the best of them.
        test: accuracies of it trained on the whole training part; empty where that failed.
        correlations: see `correlation`, of validation accuracies from the proxy and from the whole training part, for
            the best so many networks by the proxy.
        images, bytes: that are stored.
        make_seconds, train_seconds: to make the proxy; to train all networks on it.
    """

    proxy: str
    validation: dict[str, float]
    chosen: str
    test: tuple[float, ...]
    correlations: dict[int, float | None]
    images: int
    bytes: int
    make_seconds: float
    train_seconds: float


def ranked(validation: Mapping[str, float]) -> list[str]:
    """Networks, the best first; of equals the first."""
    return sorted(validation, key=lambda name: -validation[name])


def tops(total: int) -> list[int]:
    """How many of the best are compared: 5 %, at least 3, and 10."""
    return sorted({top_share(total), min(total, TOP)})


def top_share(total: int) -> int:
    """5 %, at least 3."""
    return min(total, max(3, round(_SHARE * total)))


def correlation(
    names: Sequence[str], first: Mapping[str, float], second: Mapping[str, float]
) -> float | None:
    """Spearman's rank correlation; None with less than 3 networks in both, or where all are equal."""
    both = [name for name in names if name in first and name in second]
    one, other = ([values[name] for name in both] for values in (first, second))
    if len(both) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return float(spearmanr(one, other)[0])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Search:
    """What came of a search.

    Attributes:
        folder: where everything is; the proxies' sets are in work/.
        asked: all that was asked for, JSON-able.
        whole: mean validation accuracies of networks trained on the whole training part.
        whole_seconds: to train these.
        left_out: networks that cannot be built, and why.
        problems: what has no number, and why.
    """

    folder: Path
    asked: dict[str, Any]
    rankings: tuple[Ranking, ...]
    whole: dict[str, float]
    whole_seconds: float
    left_out: dict[str, str]
    problems: tuple[tuple[str, str], ...] = ()
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "folder": str(self.folder), "rankings": [vars(one) for one in self.rankings]}

    def report(self, title: str = "") -> Report:
        """The page: a table, and a rank plot for each proxy."""
        best = list(self.rankings[0].correlations) if self.rankings else []
        columns = ("Proxy", "Test accuracy of the chosen, %", *(f"Spearman, best {n}" for n in best))
        columns += ("To train all", "To make", "Images", "Bytes", "Chosen network")
        said = (
            "Spearman: rank correlation of validation accuracies, of the best networks by the proxy. Test images "
            "judged the chosen networks alone, trained on the whole training part."
        )
        return Report(
            title or f"Architecture search on {self.asked['data']['name']}",
            tuple(self._facts()),
            (),
            tables=(Table(said, columns, tuple(map(_row, self.rankings))),) if self.rankings else (),
            plots=tuple(self._plot(one) for one in self.rankings if one.proxy != WHOLE_SET),
            skipped=(*self.left_out.items(), *self.problems),
            command=self.command,
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        asked, data = self.asked, self.asked["data"]
        share = f"{100 * asked['validation']:g} % of the training images for validation"
        yield "Data", f"{data['name']} ({data['fingerprint'][:12]}), {share}"
        yield "Networks", f"{len(asked['candidates'])}: {asked['grid']}"
        times = count(asked["repeats"], "training") + " of each network"
        passes = f"{asked['epochs']} epochs, batches of {asked['batch_size']}"
        yield "On proxies", f"{passes}, augmentation {asked['augmentation']}, {times}"
        seconds = f"{count(len(self.whole), 'network')} in {readable_seconds(self.whole_seconds)}"
        yield "On the whole", f"{count(asked['whole_epochs'], 'epoch')}: {seconds}"
        yield "Seed", str(asked["seed"])

    def _plot(self, one: Ranking) -> Plot:
        best, both = ranked(one.validation)[:TOP], [name for name in one.validation if name in self.whole]
        groups = {f"the best {TOP} by it": [name for name in both if name in best]}
        groups["others"] = [name for name in both if name not in best]
        points = {
            label: tuple((one.validation[name], self.whole[name], None) for name in names)
            for label, names in groups.items()
            if names
        }
        axes = "validation accuracy from the proxy, %", "from the whole training part, %"
        return Plot(one.proxy, *axes, tuple(points.items()), joined=False)


def _row(one: Ranking) -> tuple[Cell, ...]:
    tested = np.array(one.test)
    shown: Cell = "-"
    if len(tested):
        shown = accuracy(float(tested.mean()), float(tested.std()), len(tested)), float(tested.mean())
    said = [("-", -2.0) if rho is None else (f"{rho:.2f}", rho) for rho in one.correlations.values()]
    times = [(readable_seconds(t), t) for t in (one.train_seconds, one.make_seconds)]
    return (one.proxy, shown, *said, *times, one.images, (readable_bytes(one.bytes), one.bytes), one.chosen)
