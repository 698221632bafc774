"""Which sets have their features drawn: one of each name, and never more than can be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from condensery import ImageData, SyntheticSet, artifact
from condensery.report import features
from condensery.report.contents import Gallery, Scatter
from condensery.report.from_disk import FoundSet, gallery

Sets = Sequence[SyntheticSet]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[features.NamedSet]]:
    """What `features_of` is asked to draw."""
    asked: list[Sequence[features.NamedSet]] = []

    def note(sets: Sequence[features.NamedSet], data: ImageData) -> tuple[Scatter, ...]:
        asked.append(sets)
        return ()

    monkeypatch.setattr(features, "features_of", note)
    return asked


@pytest.fixture
def some(runs: dict) -> list[SyntheticSet]:
    """dm at 1 image per class, seeds 0 and 1, and at 2."""
    return [artifact.load(runs[name]) for name in "abc"]


def named(sets: Sets, names: Sequence[str] = ()) -> list[tuple[Gallery, SyntheticSet]]:
    """Sets with their galleries, under other names than their methods'."""
    labels = names or [""] * len(sets)
    return [(gallery(FoundSet(Path("set"), s, None, {}, n)), s) for s, n in zip(sets, labels, strict=True)]


def test_every_name_has_its_largest_set(drawn: list, some: Sets) -> None:
    features.feature_pictures(named(some, ["dm", "noisy", "dm"]), print)
    assert [(one.name, len(one.synthetic)) for one in drawn[0]] == [("dm", 6), ("noisy", 3)]


def test_without_names_the_records_say(drawn: list, some: Sets) -> None:
    features.feature_pictures(named(some), print)
    ((name, title, one),) = drawn[0]
    assert (name, title) == ("dm", "dm, 2 per class, seed 0") and one is some[2]


def test_nine_methods_are_all_drawn_and_too_many_are_not(drawn: list, some: Sets) -> None:
    names = [f"method {k}" for k in range(15)]
    features.feature_pictures(named(some[:1] * 9, names[:9]), print)
    features.feature_pictures(named(some[:1] * 15, names), print)
    assert [[one.name for one in sets] for sets in drawn] == [names[:9], names[: features.MOST_SETS]]


def test_pictures_say_whose_they_are(some: Sets, tiny: ImageData) -> None:
    found = features.features_of([features.NamedSet("noisy", "noisy, 1 per class", some[0])], tiny)
    assert [(one.subject, one.projection) for one in found] == [("noisy", "PCA"), ("noisy", "t-SNE")]
    assert found[0].title == "noisy, 1 per class"
    assert found[0].network == "convnet+width=32 after 10 epochs on 36 real images"
