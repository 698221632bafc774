"""`search`: how well small proxies of the training set rank networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from condensery.apps.estimate import making, training
from condensery.apps.search.grid import PAPER, Grid, candidates
from condensery.apps.search.outcome import WHOLE_SET, Ranking, Search, correlation, ranked, tops
from condensery.apps.search.perform import MAKE, TRAIN, WHOLE, perform
from condensery.apps.study import Folder, do_jobs, job_of, require_names
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.comparison.entries import Steps, entries
from condensery.comparison.plan import Entry
from condensery.coresets import Selector
from condensery.data import load
from condensery.data.sources import absolute_source, given_options
from condensery.errors import BadInput, require_count
from condensery.jobs.images import remember
from condensery.jobs.job import Job
from condensery.jobs.work import Running, Where
from condensery.method import Method
from condensery.models.registry import resolve
from condensery.records import ImageData, ImageSpec
from condensery.text import count, readable_seconds

EARLY = "early"
"""The proxy of early stopping: the whole training part for as many iterations as the sets get."""


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
    estimate: bool = True,
    dry_run: bool = False,
    **where: Unpack[Where],
) -> Search:
    """Rank networks by training each on small proxies of the training set, and check the ranks of the best.

    Each network is trained on each proxy and validated on training images that no proxy has seen. The best of each
    proxy are then trained on the whole training part. Test images judge the network that a proxy chose, and no other.

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
        whole_epochs: on the whole training part; 0 trains none on it.
        whole: train all networks on it, not only the best of each proxy.
        repeats: trainings of each network.
        augmentation: Siamese groups, "auto" or "none".
        seed: decides every draw.
        size, channels, data_options: for loading.
        estimate: say how long it will take.
        dry_run: check, say, and do nothing.
        where: device, workers, ray, gpus_per_job, threads, engine, command, announce: as for `condensery.compare`.

    Raises:
        BadInput: something asked for does not exist or does not fit.
        Interrupted: after Ctrl-C; the same call goes on.
    """
    if not proxies:
        raise BadInput(f"name a proxy with --proxies: {EARLY}, a method or a selector, such as random,dm")
    running, known = Running(**where), [one for one in proxies if one != EARLY]
    require_names("proxy", known, EARLY)
    chosen = list(entries(known, settings or {}, steps)) if known else []
    if whole_epochs < 0:
        raise BadInput(f"--whole-epochs must be 0, for none, or more, not {whole_epochs}")
    counts = {"ipc": ipc, "epochs": epochs, "batch-size": batch_size}
    for name, value in {**counts, "repeats": repeats}.items():
        require_count(name, value)
    if not 0 < validation < 1:
        raise BadInput(f"--validation must lie between 0 and 1, not {validation:g}")
    resolve(condense_with)
    SiameseAugmentation(resolve_strategy(augmentation, flip=True))
    loading = given_options(size, channels, data_options)
    images = remember(load(data, announce=running.announce, **loading))
    room = _left(images, ipc, validation)
    if grid is None and resolve(network).canonical.partition("+")[0] != "convnet":
        raise BadInput(
            f"the grid of the papers is one of ConvNets: give {network} its own with --grid OPTION=A,B"
        )
    names, left_out = candidates(network, PAPER if grid is None else grid, sample, seed, images.spec)
    source = {
        "source": absolute_source(images.source),
        "options": images.options,
        "fingerprint": images.fingerprint,
    }
    plan = _Plan(
        common={"data": source, "validation": validation, "seed": seed},
        how={"epochs": epochs, "batch_size": batch_size, "repeats": repeats, "augmentation": augmentation},
        candidates=tuple(names),
        proxies=(*(one.label for one in chosen), *((EARLY,) if EARLY in proxies else ())),
        iterations=epochs * math.ceil(ipc * images.spec.num_classes / batch_size),
        whole_epochs=whole_epochs,
        all_whole=whole,
    )
    for entry in chosen:
        record = {**plan.common, "proxy": asdict(entry), "ipc": ipc, "network": condense_with}
        plan.made[entry.label] = job_of((entry.label, f"ipc{ipc}"), MAKE, record, f"make {entry.label}")
    for name, reason in left_out.items():
        running.announce(f"left out: {name}: {reason}")
    running.announce(
        f"{count(len(names), 'network')} on {', '.join(plan.proxies)}: {plan.iterations:,} iterations each; then "
        f"{whole_epochs} epochs on the whole training part for {'all' if whole else 'the best of each'}"
    )
    if estimate:
        trained = plan.images_trained(ipc * images.spec.num_classes, room)
        seconds = training(images, plan.candidates, trained, running.device)
        seconds += making(images, chosen, ipc, condense_with, running.device)
        total = readable_seconds(seconds / (running.workers or 1))
        running.announce(f"about {total} for all, {running.workers or 1} at a time")
    named = {**source, "name": Path(images.source).name}
    values = "; ".join(
        f"{option} {', '.join(map(str, of))}" for option, of in (PAPER if grid is None else grid).items()
    )
    about = {"grid": f"{network} with {values}", "candidates": names, "ipc": ipc}
    asked = {**plan.common, **plan.how, **about, "whole_epochs": whole_epochs, "data": named}
    phases = [lambda _: list(plan.made.values()), plan.train, plan.check]
    if dry_run:
        return Search(Path(out), asked, (), {}, 0.0, left_out, (), running.command)
    found = do_jobs(Folder(Path(out)), "search", asked, phases, perform, running)
    documents, problems = found.documents, found.problems
    labels = (*plan.proxies, *((WHOLE_SET,) if whole and whole_epochs else ()))
    rankings = tuple(one for label in labels if (one := plan.ranking(label, documents, images.spec, room)))
    checked = plan.checked(documents)
    seconds = sum(document["seconds"] for document in checked.values())
    means = {name: float(np.mean(document["validation"])) for name, document in checked.items()}
    return Search(
        Path(out), asked, rankings, means, seconds, left_out, tuple(problems.items()), running.command
    )


def _left(images: ImageData, ipc: int, validation: float) -> int:
    """Training images without those for validation. Raises BadInput if a class has too few for either."""
    counts = np.bincount(images.train.labels, minlength=images.spec.num_classes).tolist()
    held = [round(validation * number) for number in counts]
    for name, number, away in zip(images.spec.class_names, counts, held, strict=True):
        if not away:
            raise BadInput(
                f"--validation {validation:g} takes none of the {number} training images of {name!r}: raise it"
            )
        if number - away < ipc:
            raise BadInput(
                f"the class {name!r} has {number} training images, {away} of them for validation: lower --ipc {ipc}"
            )
    return sum(counts) - sum(held)


@dataclass(frozen=True)
class _Plan:
    """The jobs of a search: `made` first, then `train`, then `check`, each from the documents of those before it."""

    common: dict[str, Any]
    how: dict[str, Any]
    candidates: tuple[str, ...]
    proxies: tuple[str, ...]
    iterations: int
    whole_epochs: int
    all_whole: bool
    made: dict[str, Job] = field(default_factory=dict)

    def images_trained(self, of_set: int, room: int) -> int:
        """By all jobs together; if the proxies agree on the best networks, it is less.

        Args:
            of_set: images of a proxy's set.
            room: training images without those for validation.
        """
        many, best = len(self.candidates), len(self.proxies) * max(tops(len(self.candidates)))
        wholes = many if self.all_whole else min(many, best)
        early, of_sets = self.iterations * self.how["batch_size"], self.how["epochs"] * of_set
        on_proxies = many * sum(early if label == EARLY else of_sets for label in self.proxies)
        return self.how["repeats"] * (on_proxies + wholes * self.whole_epochs * room)

    def train(self, documents: Mapping[str, dict[str, Any]]) -> list[Job]:
        """Every network on every proxy that could be made."""
        found = []
        for label in self.proxies:
            if label == EARLY or self.made[label].key in documents:
                found += [self._trained(label, name) for name in self.candidates]
        return found

    def check(self, documents: Mapping[str, dict[str, Any]]) -> list[Job]:
        """The best networks of each proxy, or all, on the whole training part."""
        if not self.whole_epochs:
            return []
        wanted = set(self.candidates if self.all_whole else ())
        for label in self.proxies:
            wanted |= set(ranked(self._validation(label, documents))[: max(tops(len(self.candidates)))])
        return [self._whole(name) for name in self.candidates if name in wanted]

    def checked(self, documents: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Documents of networks trained on the whole training part."""
        keys = {name: self._whole(name).key for name in self.candidates}
        return {name: documents[key] for name, key in keys.items() if key in documents}

    def ranking(
        self, label: str, documents: Mapping[str, dict[str, Any]], spec: ImageSpec, room: int
    ) -> Ranking | None:
        """How a proxy ranks the networks; None if none was trained on it.

        Args:
            room: training images without those for validation.
        """
        found = self._validation(label, documents)
        if not found:
            return None
        order, checked = ranked(found), self.checked(documents)
        means = {name: float(np.mean(document["validation"])) for name, document in checked.items()}
        seen = min(room, self.iterations * self.how["batch_size"]) if label == EARLY else room
        real = {"images": seen, "bytes": seen * (math.prod(spec.shape) + 8), "made_in": 0.0}
        size = documents[self.made[label].key] if label in self.made else real
        best = [*tops(len(self.candidates)), *([len(self.candidates)] if self.all_whole else [])]
        return Ranking(
            proxy=label,
            validation=found,
            chosen=order[0],
            test=tuple(checked.get(order[0], {}).get("test", ())),
            correlations={n: correlation(order[:n], found, means) for n in best},
            images=size["images"],
            bytes=size["bytes"],
            make_seconds=size["made_in"],
            train_seconds=sum(one["seconds"] for one in self._of(label, documents).values()),
        )

    def _of(self, label: str, documents: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Documents of the networks that were trained on a proxy, or on the whole training part."""
        if label == WHOLE_SET:
            return self.checked(documents)
        keys = {name: self._trained(label, name).key for name in self.candidates}
        return {name: documents[key] for name, key in keys.items() if key in documents}

    def _validation(self, label: str, documents: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        return {name: float(np.mean(one["validation"])) for name, one in self._of(label, documents).items()}

    def _trained(self, label: str, name: str) -> Job:
        proxy = {"steps": self.iterations} if label == EARLY else {"set": self.made[label].key}
        record = {**self.common, **self.how, **proxy, "candidate": name}
        return job_of((label, name), TRAIN, record, f"{label}: {name}", self.made.get(label))

    def _whole(self, name: str) -> Job:
        record = {**self.common, **self.how, "whole_epochs": self.whole_epochs, "candidate": name}
        return job_of(("whole", name), WHOLE, record, f"whole set: {name}")
