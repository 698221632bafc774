"""What an evaluation trains, how long that takes, and what of it fits into minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from condensery.errors import BadInput
from condensery.evaluation.cost import EvaluationTimer
from condensery.evaluation.protocols import Protocol
from condensery.evaluation.scores import EQUAL_BYTES, Score
from condensery.evaluation.scoring import Scorer, TrainingSetting, equal_epochs
from condensery.models.registry import NetworkFactory
from condensery.records import SyntheticSet
from condensery.text import count, readable_minutes

_SHARE = 0.8  # of the minutes that is planned with
_FEWER = (0.75, 0.5, 0.33, 0.25, 0.15, 0.1, 0.05)  # of a protocol's epochs
_LEAST_EPOCHS = 10


@dataclass(frozen=True)
class Plan:
    """What is trained on, and how many networks."""

    sets: Sequence[SyntheticSet]
    repeats: int
    baselines: tuple[str, ...]
    whole_repeats: int
    whole_epochs: int | None
    labels_random: bool  # whether random images can get labels as the sets hold them

    def networks(self, settings: Iterable[Sequence[TrainingSetting]]) -> int:
        """How many are trained with these settings for each architecture."""
        random = len(self.sets) * self.repeats
        return sum(
            len(self.sets) * self.of_each(s)
            + random * len(self._random(s))
            + self.whole_repeats * self._whole(s)
            for one in settings
            for s in one
        )

    def of_each(self, setting: TrainingSetting) -> int:
        """Networks for each set."""
        return self.repeats if setting.draws else 1

    def scores(
        self, scorer: Scorer, factory: NetworkFactory, settings: Sequence[TrainingSetting]
    ) -> Iterator[Score]:
        """Of one architecture: set, random and whole in the first setting, set and random in the others."""
        for setting in settings:
            yield scorer.score_sets(self.sets, factory, self.of_each(setting), setting)
            for subject in self._random(setting):
                networks = len(self.sets) * self.repeats
                yield scorer.score_random(self.sets[0], factory, networks, setting, subject)
            if self._whole(setting):
                recipe = scorer.protocol.recipe(scorer.data.spec, factory)
                as_long = equal_epochs(recipe, len(self.sets[0]), len(scorer.data.train))
                yield scorer.score_whole(factory, self.whole_repeats, self.whole_epochs or as_long)

    def steps(self, scorer: Scorer, settings: Mapping[NetworkFactory, Sequence[TrainingSetting]]) -> int:
        """Optimiser steps on the sets, all networks together."""
        recipes = (scorer.training_of(factory, s)[0] for factory, each in settings.items() for s in each)
        return len(self.sets) * self.repeats * sum(recipe.steps(len(self.sets[0])) for recipe in recipes)

    def seconds(
        self,
        scorer: Scorer,
        settings: Mapping[NetworkFactory, Sequence[TrainingSetting]],
        timer: EvaluationTimer,
    ) -> float:
        """How long `scores` takes for all architectures; teachers that are not kept come on top."""
        total, networks = 0.0, len(self.sets) * self.repeats
        for factory, setting in ((factory, one) for factory, ways in settings.items() for one in ways):
            recipe, augment = scorer.training_of(factory, setting)
            trained = len(self.sets) * self.of_each(setting)
            total += timer.networks(trained, factory, len(self.sets[0]), recipe, augment)
            for name in self._random(setting):
                images = sum(self.random_counts[name])
                total += timer.networks(networks, factory, images, recipe, augment)
            if self._whole(setting):
                common = scorer.protocol.recipe(scorer.data.spec, factory)
                as_long = equal_epochs(common, len(self.sets[0]), len(scorer.data.train))
                total += timer.of_whole(factory, self.whole_repeats, self.whole_epochs or as_long)
        return total

    def _whole(self, setting: TrainingSetting) -> bool:
        """Whether the whole set is trained on: with its classes, by the common protocol."""
        return "whole" in self.baselines and setting == TrainingSetting()

    @property
    def random_counts(self) -> dict[str, tuple[int, ...]]:
        """Random images of each class that are asked for, by the name of the baseline.

        Those of equal bytes are left out where they are as many as the others: beside anything but a generator.
        """
        one = self.sets[0]
        counts = {"random": one.stored_counts, EQUAL_BYTES: one.counts_of_equal_bytes}
        if counts[EQUAL_BYTES] == counts["random"]:
            del counts[EQUAL_BYTES]
        return {name: found for name, found in counts.items() if name in self.baselines}

    def _random(self, setting: TrainingSetting) -> list[str]:
        """Baselines of random images that are trained on in this setting; of equal bytes with their classes alone."""
        with_labels = self.labels_random or not setting.held
        fits = {"random": with_labels, EQUAL_BYTES: setting == TrainingSetting()}
        return [name for name in self.random_counts if fits[name]]


def within(
    minutes: float, protocol: Protocol, repeats: int, fixed: bool, seconds: Callable[[Protocol, int], float]
) -> tuple[Protocol, int, str]:
    """The protocol and the networks for each set that fit: first fewer networks, then fewer epochs.

    Args:
        fixed: whether the number of networks was asked for and stays.
        seconds: of an evaluation with a protocol and so many networks for each set.

    Returns:
        Protocol, networks for each set, and a line for a person.

    Raises:
        BadInput: not even the least fits; the line says what does.
    """
    began, needed = time.perf_counter(), 0.0
    fewest = repeats if fixed else 1
    tried = [(protocol, number) for number in range(repeats, fewest - 1, -1)]
    epochs = [max(_LEAST_EPOCHS, round(protocol.epochs * share)) for share in _FEWER]
    tried += [(protocol.with_epochs(one), fewest) for one in dict.fromkeys(epochs) if one < protocol.epochs]
    for chosen, number in tried:
        needed = seconds(chosen, number)
        if needed <= 60 * minutes * _SHARE - (time.perf_counter() - began):
            cuts = [f"protocol {chosen.name}"] if chosen != protocol else []
            cuts += (
                [f"{count(number, 'network')} for each set in place of {repeats}"] if number < repeats else []
            )
            return chosen, number, f"; cut to fit: {', '.join(cuts)}" if cuts else ""
    least = readable_minutes((needed + time.perf_counter() - began) / 60 / _SHARE)
    raise BadInput(
        f"--minutes {minutes:g} is too short for this evaluation here: give --minutes {least} or more, "
        "--baselines none, or a smaller network with --networks"
    )
