"""Sets, random images and the whole set, trained on and tested by one recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import condensery
from condensery import PROTOCOLS, BadInput, Evaluation, ImageData, Rng, SyntheticSet, evaluate, training
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.evaluation import evaluator, stacked
from condensery.training import Images
from condensery.training_recipe import Recipe

FAST = replace(PROTOCOLS["dm-2023"], name="fast", epochs=8, plain_epochs=8, repeats=2)
NETWORK = "convnet+width=8+depth=2"


def a_set(data: ImageData, ipc: int = 2, seed: int = 0, **record: Any) -> SyntheticSet:
    """Random real images that call themselves condensed."""
    picked = random_selection(ClassPool(data.train, data.spec, torch.device("cpu")), ipc, Rng(seed))
    facts = {"method": "dm", "ipc": ipc, "network": NETWORK, "seed": seed, **record}
    return replace(picked, record=facts)


def judge(sets: Any, data: Any, **options: Any) -> Evaluation:
    return evaluate(sets, data, **{"protocol": FAST, "device": "cpu", **options})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, Images, Recipe]]:
    """Every call of the real `fit`, with networks trained one after the other."""
    calls: list[tuple[nn.Module, Images, Recipe]] = []
    real = training.fit

    def spy(network: nn.Module, images: Images, recipe: Recipe, rng: Rng, **options: Any) -> None:
        calls.append((network, images, recipe))
        real(network, images, recipe, rng, **options)

    monkeypatch.setattr(training, "fit", spy)
    monkeypatch.setattr(stacked, "MOST", 1)
    return calls


def test_three_scores_with_the_set_first(tiny: ImageData) -> None:
    result = judge(a_set(tiny), tiny, repeats=3, whole_repeats=2)
    assert [(s.subject, s.n, s.images) for s in result.scores] == [
        ("dm", 3, 6),
        ("random", 3, 6),
        ("whole", 2, 36),
    ]
    for score in result.scores:
        assert all(0 <= a <= 1 for row in score.accuracies for a in row)
        assert score.network == NETWORK


def test_several_sets_and_networks(tiny: ImageData) -> None:
    sets = [a_set(tiny, seed=s) for s in range(3)]
    heard: list[evaluator.Trained] = []
    result = judge(sets, tiny, networks=["mlp", "lenet"], repeats=2, callback=heard.append)
    shapes = [(s.subject, s.network, len(s.accuracies), s.n) for s in result.scores]
    for network in ("mlp", "lenet"):
        assert ("dm", network, 3, 6) in shapes
        assert ("random", network, 6, 6) in shapes
        assert ("whole", network, 1, 1) in shapes
    assert [t.done for t in heard] == list(range(1, 27))
    assert {t.total for t in heard} == {26}


def test_same_seed_same_accuracies(digits: ImageData) -> None:
    results = [judge(a_set(digits), digits, seed=s, whole_epochs=1) for s in (1, 1, 2)]
    accuracies = [[s.accuracies for s in r.scores] for r in results]
    assert accuracies[0] == accuracies[1] != accuracies[2]


def test_networks_of_one_set_differ(digits: ImageData) -> None:
    (score,) = judge(a_set(digits), digits, baselines=(), repeats=4).scores
    assert len(set(score.accuracies[0])) > 1


def test_more_repeats_keep_the_first_ones(digits: ImageData) -> None:
    few, many = (judge(a_set(digits), digits, baselines=(), repeats=n).scores[0] for n in (1, 3))
    assert many.accuracies[0][:1] == few.accuracies[0]


def test_global_generator_untouched(tiny: ImageData) -> None:
    before = torch.get_rng_state()
    judge(a_set(tiny), tiny)
    assert torch.equal(before, torch.get_rng_state())


def test_the_set_is_not_changed(tiny: ImageData) -> None:
    synthetic = a_set(tiny)
    before = synthetic.images.clone()
    judge(synthetic, tiny)
    assert torch.equal(before, synthetic.images)


def test_random_baseline_has_the_same_counts_and_a_fresh_draw_per_network(
    tiny: ImageData, trained: list[tuple[nn.Module, Any, Recipe]]
) -> None:
    synthetic = a_set(tiny, ipc=4)
    judge(synthetic, tiny, baselines=("random",), repeats=3)
    draws = [images for _, images, _ in trained[3:]]
    assert len(draws) == 3
    real = {row.tobytes() for row in tiny.spec.normalise(_pixels(tiny)).numpy()}
    for images in draws:
        assert images.labels.tolist() == synthetic.labels.tolist()
        picked = [image.numpy().tobytes() for image in images.images]
        assert len(set(picked)) == 12 and set(picked) <= real
    assert not torch.equal(draws[0].images, draws[1].images)
    assert not torch.equal(draws[1].images, draws[2].images)


def _pixels(data: ImageData) -> Tensor:
    return torch.from_numpy(np.array(data.train.pixels)).permute(0, 3, 1, 2).contiguous()


def test_all_subjects_share_one_recipe_but_for_the_epochs_of_the_whole_set(
    tiny: ImageData, trained: list[tuple[nn.Module, Any, Recipe]]
) -> None:
    judge(a_set(tiny), tiny, repeats=1)
    recipes = [recipe for _, _, recipe in trained]
    assert (
        recipes[0] == recipes[1] == FAST.recipe(tiny.spec, condensery.evaluation.evaluator.resolve(NETWORK))
    )
    assert replace(recipes[2], epochs=9, decay_after=recipes[0].decay_after) == recipes[0]


def test_the_whole_set_gets_at_least_as_many_steps(
    digits: ImageData, trained: list[tuple[nn.Module, Any, Recipe]]
) -> None:
    """9 epochs of one batch; 1,438 digits make 6 batches, so 2 epochs; the rate falls at 6/9 of them."""
    judge(a_set(digits), digits, baselines=("whole",), repeats=1, networks=["mlp"])
    (_, few, on_set), (_, whole, on_whole) = trained

    def steps(images: Images, recipe: Recipe) -> int:
        return recipe.epochs * math.ceil(len(images) / recipe.batch_size)

    assert steps(few, on_set) == 9
    assert on_whole.epochs == 2 and steps(whole, on_whole) >= steps(few, on_set)
    assert (on_set.decay_after, on_whole.decay_after) == ((6,), (1,))


def test_epochs_of_the_whole_set_as_asked(
    tiny: ImageData, trained: list[tuple[nn.Module, Any, Recipe]]
) -> None:
    result = judge(a_set(tiny), tiny, baselines=("whole",), repeats=1, whole_epochs=5)
    assert trained[-1][2].epochs == result.scores[-1].epochs == 5


def test_tested_once_at_the_end_on_plain_test_images(
    tiny: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last epoch, every test image once, in order, normalised and not augmented."""
    seen: list[tuple[Tensor, Tensor]] = []
    real = training.accuracy

    def spy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], chunk: int | None) -> float:
        collected = list(batches)
        seen.append((torch.cat([b[0] for b in collected]), torch.cat([b[1] for b in collected])))
        return real(network, collected, chunk)

    monkeypatch.setattr(training, "accuracy", spy)
    judge(a_set(tiny), tiny, baselines=(), repeats=2)
    assert len(seen) == 2
    test = torch.from_numpy(np.array(tiny.test.pixels)).permute(0, 3, 1, 2).contiguous()
    for images, labels in seen:
        assert torch.equal(images, tiny.spec.normalise(test))
        assert labels.tolist() == tiny.test.labels.tolist()


@pytest.mark.parametrize(
    ("protocol", "asked", "trains"),
    [
        ("dc-2021", [], "convnet+depth=2+width=8"),
        ("dm-2023", [], "convnet+depth=2+norm=batch+width=8"),
        ("dc-2021", ["mlp"], "mlp"),
        ("dc-2021", ["convnet+width=8+depth=2+norm=batch"], "convnet+depth=2+norm=batch+width=8"),
    ],
)
def test_batch_norm_of_the_set_s_own_network_is_replaced_in_s_mode_only(
    protocol: str,
    asked: list[str],
    trains: str,
    tiny: ImageData,
    trained: list[tuple[nn.Module, Any, Recipe]],
) -> None:
    """A network that is asked for by name is trained as it is, as in the authors' mode "B"."""
    quick = replace(PROTOCOLS[protocol], epochs=1, plain_epochs=1)
    synthetic = a_set(tiny, network="convnet+width=8+depth=2+norm=batch")
    (score,) = judge(synthetic, tiny, protocol=quick, networks=asked, repeats=1, baselines=()).scores
    assert condensery.evaluation.evaluator.resolve(score.network).canonical == trains
    has_batch_norm = any(isinstance(m, nn.BatchNorm2d) for m in trained[0][0].modules())
    assert has_batch_norm == ("batch" in trains)


def test_files_and_run_folders(tiny_file: Path, tmp_path: Path) -> None:
    """What is loaded from a file scores what the set in memory scores; the file knows its data."""
    options: dict[str, Any] = {"ipc": 1, "network": NETWORK, "device": "cpu", "real_batch": 4}
    made = condensery.condense(tiny_file, "dm", steps=2, out=tmp_path / "run", **options)
    results = [
        judge(s, None, baselines=()) for s in (made, tmp_path / "run", str(tmp_path / "run/set.safetensors"))
    ]
    assert (
        results[0].scores[0].accuracies == results[1].scores[0].accuracies == results[2].scores[0].accuracies
    )


def test_record_is_json_and_says_what_it_was(tiny: ImageData) -> None:
    result = judge([a_set(tiny, seed=4), a_set(tiny, seed=5)], tiny, seed=9)
    record = json.loads(json.dumps(result.to_json()))
    assert record["set_seeds"] == [4, 5]
    assert (record["seed"], record["protocol"], record["ipc"], record["method"]) == (9, "fast", 2, "dm")
    assert record["fingerprint"] == tiny.fingerprint
    assert record["hardware"] and record["time"] and record["versions"]["torch"] == torch.__version__
    assert len(record["scores"]) == 3


def refused(match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_sets_of_different_kinds_refused(tiny: ImageData) -> None:
    refused("sets of different kinds: ipc 2 and 1", lambda: judge([a_set(tiny), a_set(tiny, ipc=1)], tiny))
    other = a_set(tiny, method="dc")
    refused("method 'dm' and 'dc'", lambda: judge([a_set(tiny), other], tiny))


def test_data_that_do_not_fit_refused(tiny: ImageData, digits: ImageData) -> None:
    refused(
        "has 3 classes, digits has 10, and '3', which the set has not", lambda: judge(a_set(tiny), digits)
    )
    refused("digits has 10|has no class '3'", lambda: judge(a_set(digits), tiny))
    larger = condensery.load_images("digits", size=16)
    refused(r"shape \(1, 8, 8\), digits of \(1, 16, 16\)", lambda: judge(a_set(digits), larger))
    same = replace(tiny, spec=replace(tiny.spec, class_names=("0", "1", "1")))
    refused("has no class '2'", lambda: judge(a_set(tiny), same))


def test_every_set_is_compared_with_the_others(tiny: ImageData, digits: ImageData) -> None:
    refused("sets of different kinds: class names", lambda: judge([a_set(tiny), a_set(digits)], tiny))
    other = a_set(tiny)
    other = replace(other, spec=replace(other.spec, mean=(0.5,)))
    refused("sets of different kinds: mean", lambda: judge([a_set(tiny), other], tiny))


def test_images_are_normalised_as_the_set_is(tiny: ImageData) -> None:
    """With other constants in the data's own spec, every number is the same, and the line says so shortly."""
    lines: list[str] = []
    rescaled = replace(tiny, spec=replace(tiny.spec, mean=(0.9123456789,), std=(0.123456789,)))
    plain = judge(a_set(tiny), tiny)
    assert [s.accuracies for s in judge(a_set(tiny), rescaled, announce=lines.append).scores] == [
        s.accuracies for s in plain.scores
    ]
    (line,) = lines
    assert "normalised with the set's mean" in line and "not with their own 0.9123 and 0.1235" in line


def test_classes_in_another_order_are_matched_by_name(tiny: ImageData) -> None:
    lines: list[str] = []
    names, back = ("2", "0", "1"), np.array([1, 2, 0])
    parts = [replace(part, labels=back[part.labels]) for part in (tiny.train, tiny.test)]
    turned = replace(
        tiny, spec=replace(tiny.spec, class_names=names), train=parts[0], test=parts[1], fingerprint="other"
    )
    found = judge(a_set(tiny), turned, announce=lines.append)
    assert [s.accuracies for s in found.scores] == [s.accuracies for s in judge(a_set(tiny), tiny).scores]
    assert any("matched by name" in line for line in lines)


@pytest.mark.parametrize("part", ["train", "test", "both"])
def test_what_changed_is_named_and_scored_anyway(part: str, tmp_path: Path, tiny: ImageData) -> None:
    arrays = {
        f"{kind}_{name}": value
        for name, images in (("train", tiny.train), ("test", tiny.test))
        for kind, value in (("x", np.array(images.pixels)), ("y", np.array(images.labels)))
    }
    np.savez(tmp_path / "d.npz", **arrays)
    condensery.select(tmp_path / "d.npz", "random", ipc=2, out=tmp_path / "run")
    for name in ("train", "test") if part == "both" else (part,):
        arrays[f"x_{name}"], arrays[f"y_{name}"] = arrays[f"x_{name}"][1:], arrays[f"y_{name}"][1:]
    np.savez(tmp_path / "d.npz", **arrays)
    lines: list[str] = []
    found = judge(tmp_path / "run", None, networks=[NETWORK], baselines=(), announce=lines.append)
    said = {"train": "the training images of", "test": "the test images of", "both": "holds other images"}
    assert any(said[part] in line for line in lines) and found.scores[0].n == 2
    assert found.record["changed"] == (["train", "test"] if part == "both" else [part])
    assert not any(
        len(word) > 17 and word.replace(".", "").isdigit() for line in lines for word in line.split()
    )


def test_nothing_changed_says_nothing(tiny_file: Path, tmp_path: Path) -> None:
    condensery.select(tiny_file, "random", ipc=1, out=tmp_path / "run")
    record = condensery.load(tmp_path / "run").record
    assert set(record["data"]["prints"]) == {"train", "test"}
    lines: list[str] = []
    found = judge(tmp_path / "run", None, networks=[NETWORK], baselines=(), announce=lines.append)
    assert found.record["changed"] == [] and not any("other" in line for line in lines)


def test_an_older_record_cannot_tell_the_parts(tiny: ImageData) -> None:
    lines: list[str] = []
    old = a_set(tiny)
    old = replace(old, record={**old.record, "data": {"source": "x", "options": {}, "fingerprint": "f"}})
    assert judge(old, tiny, baselines=(), announce=lines.append).record["changed"] == ["train", "test"]
    assert "holds other images than the set was made from" in lines[0]


def test_images_in_an_unusual_layout_give_the_same_numbers(tiny: ImageData) -> None:
    plain = a_set(tiny)
    turned = replace(plain, images=plain.images.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1))
    strided = replace(
        tiny,
        train=replace(tiny.train, pixels=np.asfortranarray(tiny.train.pixels)),
        test=replace(tiny.test, pixels=np.array(tiny.test.pixels)[:, ::-1].copy()[:, ::-1]),
    )
    assert not turned.images.is_contiguous() and not strided.train.pixels.flags["C_CONTIGUOUS"]
    expected = [s.accuracies for s in judge(plain, tiny).scores]
    assert [s.accuracies for s in judge(turned, strided).scores] == expected


def test_a_set_that_does_not_know_its_data_needs_them(tiny: ImageData) -> None:
    refused("name the real images with --data", lambda: judge(a_set(tiny), None))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"repeats": 0}, "--repeats must be at least 1, not 0"),
        ({"whole_repeats": -1}, "--whole-repeats must be at least 1, not -1"),
        ({"whole_epochs": 0}, "--whole-epochs must be at least 1, not 0"),
        ({"baselines": ("herding",)}, "unknown baseline 'herding'; choose among random, whole"),
        ({"protocol": "slow"}, "unknown protocol 'slow'"),
        ({"networks": ["transformer"]}, "no network is called 'transformer'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_bad_options_refused(options: dict[str, Any], match: str, tiny: ImageData) -> None:
    refused(match, lambda: judge(a_set(tiny), tiny, **options))


def test_a_set_without_some_classes_refused(tiny: ImageData) -> None:
    synthetic = a_set(tiny)
    some = replace(synthetic, images=synthetic.images[:4], labels=synthetic.labels[:4])
    refused(
        "no image of 1 of 3 classes, such as '2': evaluate a set of all classes", lambda: judge(some, tiny)
    )


def test_a_rare_class_and_one_without_test_images_are_said_with_the_score(tiny: ImageData) -> None:
    """Random images are fewer than the set where a class has fewer real ones; a class may have none to test on."""
    train, test = tiny.train, tiny.test
    kept = np.flatnonzero(train.labels != 0)
    kept = np.concatenate([np.flatnonzero(train.labels == 0)[:1], kept])
    rare = replace(train, pixels=train.pixels[kept], labels=train.labels[kept])
    seen = test.labels != 2
    tested = replace(test, pixels=test.pixels[seen], labels=test.labels[seen])
    evaluation = judge(a_set(tiny), replace(tiny, train=rare, test=tested), repeats=1, baselines=("random",))
    assert (
        "random images: of classes with fewer than the set has, all are taken: 0 1 for 2" in evaluation.notes
    )
    assert "no test images of 2: the accuracy is that of the other classes" in evaluation.notes
    assert [score.images for score in evaluation.scores] == [6, 5]
    assert judge(a_set(tiny), tiny, repeats=1, baselines=()).notes == ()


def test_no_set_refused(tiny: ImageData) -> None:
    refused("no set to evaluate", lambda: judge([], tiny))
