"""Grids, ranks, and a whole search on a few digits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import condensery
from condensery import BadInput, ImageData
from condensery.apps.search.grid import PAPER, candidates
from condensery.apps.search.outcome import correlation, tops
from condensery.apps.search.perform import divided
from condensery.data import KNOWN_SETS
from condensery.errors import Interrupted
from condensery.records import ImageSpec
from condensery.report.page import html

SMALL: dict[str, Any] = {
    "grid": {"width": (4, 8), "depth": (1, 2)},
    "ipc": 2,
    "condense_with": "convnet+width=4+depth=1",
    "steps": 1,
    "settings": {"dm.real_batch": 4},
    "epochs": 2,
    "whole_epochs": 1,
}


def test_the_paper_has_720_networks() -> None:
    known = KNOWN_SETS["cifar10"]
    names = tuple(str(c) for c in range(10))
    spec = ImageSpec(3, 32, 32, names, known.mean, known.std)
    assert math.prod(map(len, PAPER.values())) == 720
    corners = {**PAPER, "width": (32, 256), "depth": (4,)}  # all can be built if the deepest can
    found, left_out = candidates("convnet", corners, None, 0, spec)
    assert (len(found), len(set(found)), left_out) == (90, 90, {})


def test_a_sample_keeps_the_order_of_the_grid(four: ImageData) -> None:
    grid = {"width": [4, 8, 12], "norm": ["none", "layer"]}
    found, _ = candidates("convnet", grid, None, 0, four.spec)
    few, _ = candidates("convnet", grid, 4, 0, four.spec)
    assert len(few) == 4 and few == [name for name in found if name in few]
    assert len({tuple(candidates("convnet", grid, 4, seed, four.spec)[0]) for seed in range(6)}) > 1


def test_what_cannot_be_built_is_left_out_and_said(four: ImageData) -> None:
    found, left_out = candidates("convnet", {"width": [4], "depth": [1, 9]}, None, 0, four.spec)
    assert found == ["convnet+depth=1+width=4"]
    assert "too small for 9 poolings" in left_out["convnet+width=4+depth=9"]


def test_how_many_of_the_best_are_compared() -> None:
    assert (tops(720), tops(60), tops(4)) == ([10, 36], [3, 10], [3, 4])


def test_rank_correlation_by_hand() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) = 1 - 6 * 2 / 24 for ranks 1 2 3 and 1 3 2."""
    first, second = {"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 0.5, "b": 0.9, "c": 0.8, "d": 1.0}
    assert correlation(["a", "b", "c", "d"], first, second) == pytest.approx(0.5)
    assert correlation(["a", "b"], first, second) is None
    assert correlation(["a", "b", "c"], dict.fromkeys("abc", 0.1), second) is None


def test_validation_images_are_training_images_that_no_proxy_sees(four: ImageData) -> None:
    train, validation = divided(four, 0.2, seed=1)
    assert np.bincount(train.train.labels).tolist() == [8] * 4
    assert np.bincount(validation.test.labels).tolist() == [2] * 4
    images = [set(map(bytes, part.pixels)) for part in (train.train, validation.test, four.train)]
    assert not images[0] & images[1] and images[0] | images[1] == images[2]
    assert train.test is four.test
    assert not np.array_equal(validation.test.pixels, divided(four, 0.2, seed=2)[1].test.pixels)


def test_a_search(four: ImageData, tmp_path: Path) -> None:
    said: list[str] = []
    found = condensery.search(
        four, ["random", "dm", "early"], out=tmp_path / "s", repeats=2, announce=said.append, **SMALL
    )
    assert [one.proxy for one in found.rankings] == ["random", "dm", "early"] and not found.problems
    for one in found.rankings:
        assert len(one.validation) == 4 and set(one.correlations) == {3, 4}
        assert one.validation[one.chosen] == max(one.validation.values()) and len(one.test) == 2
    assert [one.images for one in found.rankings] == [8, 8, 36]
    assert len(found.whole) == 4
    json.dumps(found.to_json())
    page = html(found.report())
    assert "from the whole training part" in page and "Spearman, best 3" in page
    assert sum("whole set: " in line for line in said) == 4


def test_networks_are_ranked_by_the_whole_set_too(four: ImageData, tmp_path: Path) -> None:
    asked = {**SMALL, "settings": {}, "steps": None, "estimate": False, "whole": True}
    found = condensery.search(four, ["random", "early"], out=tmp_path / "s", **asked)
    *_, stopped, whole = found.rankings
    assert whole.proxy == "whole set" and whole.validation == found.whole and whole.images == 36
    assert whole.chosen == max(found.whole, key=lambda name: found.whole[name])
    assert set(whole.correlations) == {3, 4} and set(whole.correlations.values()) <= {1.0, None}
    assert stopped.images == 36 < 2 * 250  # all that there are: two iterations would see more
    assert html(found.report()).count("from the whole training part, %") == 2  # no plot against itself


def test_a_stopped_search_goes_on_network_by_network(
    four: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from condensery.apps.search import perform

    done: list[str] = []
    train = perform._KINDS["train"]

    def stopping(job: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(job.record["candidate"])
        return train(job)

    monkeypatch.setitem(perform._KINDS, "train", stopping)
    asked = {**SMALL, "settings": {}, "steps": None}
    with pytest.raises(Interrupted, match="stopped with 3 of 4 jobs done; nothing is lost"):
        condensery.search(four, ["random"], out=tmp_path / "s", **asked)
    monkeypatch.setitem(
        perform._KINDS, "train", lambda job: (done.append(job.record["candidate"]), train(job))[1]
    )
    condensery.search(four, ["random"], out=tmp_path / "s", **asked)
    assert len(done) == len(set(done)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"grid": {"depth": [8, 9]}},
            "none of the 2 networks of the grid can be built; convnet.depth=8: 8x8 images",
        ),
        ({"grid": {"deepth": [1]}}, "no option of convnet is called 'deepth'.*did you mean 'depth'"),
        ({"grid": {"norm": ["bacth"]}}, "no norm of convnet is called 'bacth'"),
        ({"grid": {"norm": []}}, "the grid has no value for norm"),
        ({"sample": 5}, "--sample must be from 2 to the 4 networks of the grid, not 5"),
        ({"proxies": []}, "name a proxy with --proxies"),
        ({"proxies": ["dmm"]}, "unknown proxy 'dmm'; there are early, .*did you mean 'dm'"),
        ({"grid": {"depth": [1]}, "sample": 4}, "--sample 4 of one network: give the grid more values"),
        ({"grid": None, "network": "resnet18"}, "one of ConvNets: give resnet18 its own with --grid"),
        ({"whole_epochs": -1}, "--whole-epochs must be 0, for none, or more, not -1"),
        ({"ipc": 10}, "the class '0' has 10 training images, 1 of them for validation: lower --ipc 10"),
        ({"validation": 0.01}, "--validation 0.01 takes none of the 10 training images of '0'"),
        ({"validation": 1.0}, "--validation must lie between 0 and 1, not 1"),
        ({"epochs": 0}, "--epochs must be at least 1, not 0"),
        ({"augmentation": "colour"}, "no augmentation is called 'colour'"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_work(
    four: ImageData, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    asked = {**SMALL, "proxies": ["random"], "steps": None, "settings": {}, **options}
    with pytest.raises(BadInput, match=said):
        condensery.search(four, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_study_of_another_kind_is_refused(four: ImageData, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"kind": "continual", "asked": {}, "threads": 1}')
    with pytest.raises(BadInput, match="holds a study of another kind, continual: choose another --out"):
        condensery.search(four, ["random"], out=tmp_path, **{**SMALL, "settings": {}, "steps": None})
    (tmp_path / "study.json").write_text('{"kind": "search", "asked": 3}')
    with pytest.raises(BadInput, match=r"study.json is damaged: choose another --out"):
        condensery.search(four, ["random"], out=tmp_path, **{**SMALL, "settings": {}, "steps": None})
