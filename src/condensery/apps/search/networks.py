"""`search`: how well small proxies of the training set rank networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from condensery.apps.search.grid import PAPER, Grid, candidates
from condensery.apps.search.perform import MAKE, SET, TRAIN, WHOLE, perform
from condensery.apps.study import Running, do_jobs, job_of, remember, work_folder
from condensery.augment import resolve_strategy
from condensery.comparison.engines import Engine
from condensery.comparison.entries import Steps, entries
from condensery.comparison.jobs import Entry, Job
from condensery.coresets import Selector
from condensery.data import load
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.method import Method
from condensery.models.registry import resolve
from condensery.records import ImageData
from condensery.report.contents import Cell, Plot, Report, Table
from condensery.runner import absolute_source, given_options, require_count
from condensery.text import accuracy, count, readable_bytes, readable_seconds

EARLY = "early"
"""The proxy of early stopping: the whole training part for as many iterations as the sets get."""
_TOP, _SHARE = 10, 0.05


@dataclass(frozen=True)
class Ranking:
    """How one proxy ranks the networks.

    Attributes:
        proxy: its label.
        validation: mean accuracy by network, of those trained on the proxy.
        chosen: the best of them.
        test: accuracies of it trained on the whole training part; empty where that failed.
        correlations: Spearman's rank correlation between validation accuracies from the proxy and from the whole training
            part, of the best so many networks by the proxy; None where it is not defined.
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


@dataclass(frozen=True)
class Search:
    """What came of a search.

    Attributes:
        whole: mean validation accuracies of networks trained on the whole training part.
        whole_seconds: to train these.
        left_out: networks that cannot be built, and why.
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
        tops = list(self.rankings[0].correlations) if self.rankings else []
        columns = ("Proxy", "Test accuracy of the chosen, %", *(f"Spearman, best {n}" for n in tops), "To train all",
                   "To make", "Images", "Bytes", "Chosen network")  # fmt: skip
        names = (
            f"Rank correlation of validation accuracies, of the best networks by the proxy; {len(self.whole)} networks "
            "were trained on the whole training part. Test images were used for the chosen networks alone."
        )
        asked, facts = self.asked, self.asked["data"]
        about = (
            ("Data", f"{facts['name']} ({facts['fingerprint'][:12]}), {100 * asked['validation']:g} % of the training part "
             "for validation"),
            ("Networks", f"{len(asked['candidates'])}: {asked['grid']}"),
            ("On proxies", f"{asked['epochs']} epochs, batches of {asked['batch_size']}, augmentation {asked['augmentation']}, "
             f"{count(asked['repeats'], 'network')} of each"),
            ("On the whole", f"{asked['whole_epochs']} epochs: {readable_seconds(self.whole_seconds)} for "
             f"{count(len(self.whole), 'network')}"),
            ("Seed", str(asked["seed"])),
        )  # fmt: skip
        return Report(
            title or f"Architecture search on {facts['name']}",
            about,
            (),
            tables=(Table(names, columns, tuple(map(self._row, self.rankings))),) if self.rankings else (),
            plots=tuple(self._plot(one) for one in self.rankings),
            skipped=(*self.left_out.items(), *self.problems),
            command=self.command,
        )

    def _row(self, one: Ranking) -> tuple[Cell, ...]:
        tested = np.array(one.test)
        shown: Cell = "-"
        if len(tested):
            shown = accuracy(float(tested.mean()), float(tested.std()), len(tested)), float(tested.mean())
        said = [("-", -2.0) if rho is None else (f"{rho:.2f}", rho) for rho in one.correlations.values()]
        times = [(readable_seconds(t), t) for t in (one.train_seconds, one.make_seconds)]
        return (
            one.proxy,
            shown,
            *said,
            *times,
            one.images,
            (readable_bytes(one.bytes), one.bytes),
            one.chosen,
        )

    def _plot(self, one: Ranking) -> Plot:
        best = ranked(one.validation)[:_TOP]
        both = [name for name in one.validation if name in self.whole]
        groups = {
            f"best {_TOP} by it": [n for n in both if n in best],
            "others": [n for n in both if n not in best],
        }
        series = tuple(
            (label, tuple((one.validation[n], self.whole[n], None) for n in names))
            for label, names in groups.items()
            if names
        )
        return Plot(
            one.proxy,
            "validation accuracy from the proxy, %",
            "from the whole training part, %",
            series,
            joined=False,
        )


def search(
    data: str | Path | ImageData,
    proxies: Sequence[str | Method | Selector | Entry] = ("random", "herding", "dm", EARLY),
    *,
    out: str | Path,
    network: str = "convnet",
    grid: Grid | None = None,
    sample: int | None = None,
    ipc: int = 10,
    condense_with: str = "convnet",
    steps: Steps = None,
    settings: Mapping[str, Any] | None = None,
    validation: float = 0.1,
    epochs: int = 300,
    whole_epochs: int = 100,
    whole: bool = False,
    batch_size: int = 250,
    repeats: int = 1,
    augmentation: str = "auto",
    seed: int = 0,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    device: str = "auto",
    workers: int | None = None,
    ray: str | None = None,
    gpus_per_job: float | None = None,
    threads: int | None = None,
    engine: Engine | None = None,
    command: str = "",
    announce: Callable[[str], None] = silent,
) -> Search:
    """Rank networks by training each on small proxies of the training set, and check the ranks of the best.

    Each network is trained on each proxy and validated on a part of the training images that no proxy has seen. The best of
    each proxy are then trained on the whole training part. Test images are used once, for the network that a proxy chose.

    Args:
        data: as for `condensery.load_images`.
        proxies: methods and selectors, as for `condensery.compare`; and "early", the whole training part for as many
            iterations as the sets get.
        out: the folder of the study; the same call goes on with it, network by network.
        network, grid: every combination of values of the grid's options of a network; None for the 720 ConvNets of DC.
        sample: draw so many of them.
        ipc, condense_with, steps, settings: of the proxies, as for `condensery.compare`.
        validation: share of the training images of each class.
        epochs, batch_size: on proxies.
        whole_epochs: on the whole training part.
        whole: train all networks on it, not only the best of each proxy.
        repeats: networks of each kind.
        augmentation: Siamese groups, "auto" or "none".
        seed: decides every draw.
        size, channels, data_options: for loading.
        device, workers, ray, gpus_per_job, threads, engine, command, announce: as for `condensery.compare`.

    Raises:
        BadInput: something asked for does not exist or does not fit.
        Interrupted: after Ctrl-C; the same call goes on.
    """
    known = [one for one in proxies if one != EARLY]
    asked_for = list(entries(known, settings or {}, steps)) if known else []
    if not proxies:
        raise BadInput(f"name a proxy with --proxies: {EARLY}, a method or a selector, such as random,dm")
    counts = {
        "ipc": ipc,
        "epochs": epochs,
        "whole-epochs": whole_epochs,
        "batch-size": batch_size,
        "repeats": repeats,
    }
    for name, value in counts.items():
        require_count(name, value)
    if not 0 < validation < 1:
        raise BadInput(f"--validation must lie between 0 and 1, not {validation:g}")
    resolve(condense_with)
    resolve_strategy(augmentation, flip=True)
    images = remember(load(data, announce=announce, **given_options(size, channels, data_options)))
    _require_room(images, ipc, validation)
    names, left_out = candidates(network, PAPER if grid is None else grid, sample, seed, images.spec)
    for name, reason in left_out.items():
        announce(f"left out: {name}: {reason}")
    source = {
        "source": absolute_source(images.source),
        "options": images.options,
        "fingerprint": images.fingerprint,
    }
    common = {"data": source, "validation": validation, "seed": seed}
    how = {"epochs": epochs, "batch_size": batch_size, "repeats": repeats, "augmentation": augmentation}
    iterations = epochs * math.ceil(ipc * images.spec.num_classes / batch_size)
    announce(f"{count(len(names), 'network')}, {count(len(proxies), 'proxy').replace('proxys', 'proxies')}, {iterations:,} "
             f"iterations each; {whole_epochs} epochs on the whole for {'all' if whole else 'the best of each'}")  # fmt: skip
    made = {
        entry.label: job_of(
            (entry.label, f"ipc{ipc}"), MAKE,
            {**common, "proxy": asdict(entry), "ipc": ipc, "network": condense_with}, f"make {entry.label}",
        )
        for entry in asked_for
    }  # fmt: skip
    labels = [
        one if one == EARLY else next(e.label for e in asked_for if e.label == _label(one)) for one in proxies
    ]
    running = Running(out, device, workers, ray, gpus_per_job, threads, engine, command, announce)
    trained: dict[tuple[str, str], Job] = {}
    wholes: dict[str, Job] = {}

    @cache
    def content(label: str) -> bytes:
        return (work_folder(out, made[label]) / SET).read_bytes()

    def train(documents: Mapping[str, dict[str, Any]]) -> list[Job]:
        for label in labels:
            if label != EARLY and made[label].key not in documents:
                continue
            for name in names:
                proxy = {"steps": iterations} if label == EARLY else {"set": made[label].key}
                record = {**common, **how, **proxy, "candidate": name}
                job = job_of((label, name), TRAIN, record, f"{label}: {name}")
                trained[label, name] = Job(
                    job.key,
                    TRAIN,
                    job.record,
                    {} if label == EARLY else {SET: content(label)},
                    label=job.label,
                )
        return list(trained.values())

    def check(documents: Mapping[str, dict[str, Any]]) -> list[Job]:
        wanted = names if whole else _best(labels, names, trained, documents)
        for name in wanted:
            record = {**common, **how, "whole_epochs": whole_epochs, "candidate": name}
            wholes[name] = job_of(("whole", name), WHOLE, record, f"whole set: {name}")
        return list(wholes.values())

    asked = {
        "data": {**source, "name": Path(images.source).name}, "grid": network if grid is None else str(dict(grid)),
        "candidates": names, **common, **how, "ipc": ipc, "whole_epochs": whole_epochs,
    }  # fmt: skip
    asked["data"] = {**source, "name": Path(images.source).name}
    documents, problems = do_jobs(
        "search", asked, [lambda _: list(made.values()), train, check], perform, running
    )
    rankings = tuple(
        one
        for label in labels
        if (one := _ranking(label, names, made, trained, wholes, documents, images, validation))
    )
    done = {name: documents[job.key] for name, job in wholes.items() if job.key in documents}
    found = {name: float(np.mean(document["validation"])) for name, document in done.items()}
    seconds = sum(document["seconds"] for document in done.values())
    return Search(Path(out), asked, rankings, found, seconds, left_out, tuple(problems.items()), command)


def ranked(validation: Mapping[str, float]) -> list[str]:
    """Networks, the best first; of equals the first."""
    return sorted(validation, key=lambda name: -validation[name])


def tops(total: int) -> list[int]:
    """How many of the best are compared: 5 %, at least 3, and 10."""
    return sorted({min(total, n) for n in (max(3, round(_SHARE * total)), _TOP)})


def correlation(
    names: Sequence[str], first: Mapping[str, float], second: Mapping[str, float]
) -> float | None:
    """Spearman's rank correlation; None with less than 3 networks in both, or where all are equal."""
    both = [name for name in names if name in first and name in second]
    one, other = ([values[name] for name in both] for values in (first, second))
    if len(both) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return float(spearmanr(one, other).statistic)


def _label(one: str | Method | Selector | Entry) -> str:
    return (
        one.partition("=")[0].strip()
        if isinstance(one, str)
        else one.label
        if isinstance(one, Entry)
        else one.name
    )


def _require_room(images: ImageData, ipc: int, validation: float) -> None:
    counts = np.bincount(images.train.labels, minlength=images.spec.num_classes)
    least = int(counts.argmin())
    held = round(validation * int(counts[least]))
    name = images.spec.class_names[least]
    if not held:
        raise BadInput(
            f"--validation {validation:g} leaves no image of {name!r} to validate on: make it larger"
        )
    if counts[least] - held < ipc:
        raise BadInput(
            f"the class {name!r} has {counts[least]} training images, {held} of them for validation: lower --ipc {ipc}"
        )


def _validation(
    label: str,
    names: Sequence[str],
    trained: Mapping[tuple[str, str], Job],
    documents: Mapping[str, dict[str, Any]],
) -> dict[str, float]:
    jobs = {name: trained[label, name] for name in names if (label, name) in trained}
    done = {name: documents[job.key] for name, job in jobs.items() if job.key in documents}
    return {name: float(np.mean(document["validation"])) for name, document in done.items()}


def _best(
    labels: Sequence[str], names: Sequence[str], trained: Mapping[tuple[str, str], Job],
    documents: Mapping[str, dict[str, Any]],
) -> list[str]:  # fmt: skip
    """The best by any proxy, in the order of the grid."""
    wanted = set()
    for label in labels:
        wanted |= set(ranked(_validation(label, names, trained, documents))[: max(tops(len(names)))])
    return [name for name in names if name in wanted]


def _ranking(
    label: str, names: Sequence[str], made: Mapping[str, Job], trained: Mapping[tuple[str, str], Job],
    wholes: Mapping[str, Job], documents: Mapping[str, dict[str, Any]], images: ImageData, validation: float,
) -> Ranking | None:  # fmt: skip
    found = _validation(label, names, trained, documents)
    if not found:
        return None
    done = {name: documents[job.key] for name, job in wholes.items() if job.key in documents}
    checked = {name: float(np.mean(document["validation"])) for name, document in done.items()}
    order = ranked(found)
    if label == EARLY:
        number = len(images.train) - round(validation * len(images.train))
        size = {"images": number, "bytes": number * (math.prod(images.spec.shape) + 8), "made_in": 0.0}
    else:
        size = documents[made[label].key]
    keys = [trained[label, name].key for name in found]
    return Ranking(
        label, found, order[0], tuple(done.get(order[0], {}).get("test", ())),
        {n: correlation(order[:n], found, checked) for n in tops(len(names))},
        size["images"], size["bytes"], size["made_in"], sum(documents[key]["seconds"] for key in keys),
    )  # fmt: skip
