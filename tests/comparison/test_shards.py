"""Distribution matching split over classes gives the set of a single run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import condensery
from condensery import BadFile, BadInput, ImageData, SyntheticSet
from condensery.comparison.shards import merge_losses, merge_shards, split_classes
from condensery.run_folder import RunFolder
from condensery.runner import resume_run

NETWORK = "convnet+width=8+depth=1"
SHARDS = split_classes(10, 3)


class Dropout(nn.Module):
    """Draws from the global generator in every pass."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.5))
        self.head = nn.Linear(16, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def run(data: ImageData, **more: Any) -> SyntheticSet:
    settings = {"ipc": 1, "network": NETWORK, "steps": 3, "seed": 5, "real_batch": 20, **more}
    return condensery.condense(data, "dm", device="cpu", **settings)


def shards(data: ImageData, **more: Any) -> list[SyntheticSet]:
    return [run(data, shard=classes, **more) for classes in SHARDS]


@pytest.fixture(scope="module")
def three(digits: ImageData) -> list[SyntheticSet]:
    return shards(digits)


@pytest.mark.parametrize("ipc", [1, 3])
@pytest.mark.parametrize("augmentation", ["auto", "none"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_shards_give_the_single_run_bit_for_bit(
    digits: ImageData, ipc: int, augmentation: str, momentum: float
) -> None:
    how: dict[str, Any] = {"ipc": ipc, "augmentation": augmentation, "image_momentum": momentum}
    whole, merged = run(digits, **how), merge_shards(shards(digits, **how))
    assert torch.equal(whole.images, merged.images)
    assert torch.equal(whole.labels, merged.labels)
    assert merged.record["loss"] == pytest.approx(whole.record["loss"], rel=1e-12)


def test_layers_that_draw_do_so_for_each_class(digits: ImageData) -> None:
    whole = run(digits, network="test_shards:Dropout")
    assert torch.equal(whole.images, merge_shards(shards(digits, network="test_shards:Dropout")).images)


def test_after_stop_and_resume(digits: ImageData, tmp_path: Path) -> None:
    for k, classes in enumerate(SHARDS):
        run(digits, shard=classes, steps=2, out=tmp_path / str(k))
    parts = [resume_run(tmp_path / str(k), steps=4, images=digits) for k in range(3)]
    assert torch.equal(run(digits, steps=4).images, merge_shards(parts).images)
    curves = [json.loads((tmp_path / str(k) / "curve.json").read_text())["loss"] for k in range(3)]
    seen: list[float] = []
    run(digits, steps=4, callback=lambda report: seen.append(report.loss))
    assert merge_losses(curves) == pytest.approx(seen, rel=1e-12)


def test_a_shard_learns_its_classes_alone_and_says_so(digits: ImageData) -> None:
    last: list[Tensor] = []
    shard = run(digits, shard=(2, 7), callback=lambda r: last.append(r.synthetic.images.detach().clone()))
    assert shard.labels.tolist() == [2, 7]
    assert shard.record["shard"] == [2, 7]
    moved = (last[-1] != last[0]).flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == [2, 7]


def test_the_merged_record_is_that_of_a_whole_run_and_names_its_parts(
    digits: ImageData, three: list[SyntheticSet]
) -> None:
    merged, whole = merge_shards([three[2], three[0], three[1]]).record, run(digits).record
    assert set(merged) == {*whole, "shards"}
    for key in ("method", "fields", "ipc", "network", "seed", "step", "steps", "data", "accuracies"):
        assert merged[key] == whole[key]
    assert [part["shard"] for part in merged["shards"]] == [list(classes) for classes in SHARDS]
    json.dumps(merged)


def test_a_merged_set_can_be_saved_and_evaluated(
    digits: ImageData, three: list[SyntheticSet], tmp_path: Path
) -> None:
    condensery.save(merge_shards(three), tmp_path / "set.safetensors")
    protocol = replace(condensery.PROTOCOLS["quick"], epochs=1, repeats=1)
    evaluation = condensery.evaluate(
        tmp_path / "set.safetensors", digits, protocol=protocol, baselines=(), device="cpu"
    )
    assert evaluation.scores[0].n == 1


def test_a_shard_is_never_evaluated_as_if_it_were_whole(
    digits: ImageData, three: list[SyntheticSet], tmp_path: Path
) -> None:
    condensery.save(three[0], tmp_path / "set.safetensors")
    with pytest.raises(BadInput, match="is a shard, which holds 3 of 10 classes: merge"):
        condensery.evaluate(tmp_path / "set.safetensors", digits)
    with pytest.raises(BadInput, match="leave out --evaluate-at"):
        run(digits, shard=(0, 1), evaluate_at=(1,))


def test_methods_and_networks_whose_classes_depend_on_each_other_are_refused(digits: ImageData) -> None:
    for name in sorted(set(condensery.METHODS) - {"dm"}):
        with pytest.raises(BadInput, match=f"classes of {name} cannot be learned apart.*--shards"):
            condensery.condense(digits, name, steps=1, network=NETWORK, shard=(0, 1))
    with pytest.raises(BadInput, match=r"batch norm in .*norm=batch mixes the classes.*--shards"):
        run(digits, shard=(0, 1), network=f"{NETWORK}+norm=batch")


@pytest.mark.parametrize("classes", [(1, 0), (0, 0), (-1,), (10,)])
def test_classes_out_of_range_or_order(digits: ImageData, classes: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="ascending numbers from 0 to 9"):
        run(digits, shard=classes)


def test_a_run_is_resumed_with_its_own_classes_only(digits: ImageData, tmp_path: Path) -> None:
    run(digits, shard=(0, 1), out=tmp_path / "run")
    with pytest.raises(BadInput, match=r"started with shard \[0, 1\], not \[2\]"):
        run(digits, shard=(2,), out=tmp_path / "run", resume=True)
    assert resume_run(tmp_path / "run", steps=4, images=digits).record["shard"] == [0, 1]


def test_run_folders_from_before_shards_are_read_and_damaged_ones_are_not(
    digits: ImageData, tmp_path: Path
) -> None:
    run(digits, out=tmp_path / "run", steps=1)
    file = tmp_path / "run" / "run.json"
    settings = json.loads(file.read_text())
    del settings["shard"]
    file.write_text(json.dumps(settings))
    assert len(resume_run(tmp_path / "run", steps=2, images=digits)) == 10
    for damaged in ("0", ["0"], [True]):
        file.write_text(json.dumps({**settings, "shard": damaged}))
        with pytest.raises(BadFile, match="damaged"):
            RunFolder(tmp_path / "run").settings()


def test_splitting() -> None:
    assert split_classes(10, 3) == [(0, 1, 2), (3, 4, 5), (6, 7, 8, 9)]
    assert split_classes(4, 4) == [(0,), (1,), (2,), (3,)]
    assert split_classes(5, 1) == [(0, 1, 2, 3, 4)]
    for shards in (0, 11):
        with pytest.raises(BadInput, match=f"--shards must be from 1 to .* 10, not {shards}"):
            split_classes(10, shards)


def test_shards_that_do_not_fit_are_refused(digits: ImageData, three: list[SyntheticSet]) -> None:
    with pytest.raises(BadInput, match="no shards"):
        merge_shards([])
    with pytest.raises(BadInput, match="each of 10 classes is needed once"):
        merge_shards(three[:2])
    with pytest.raises(BadInput, match="each of 10 classes is needed once"):
        merge_shards([*three, three[0]])
    with pytest.raises(BadInput, match="different runs: seed 5 and 6"):
        merge_shards([*three[:2], run(digits, shard=SHARDS[2], seed=6)])
    with pytest.raises(BadInput, match="different runs: step 3 and 2"):
        merge_shards([*three[:2], run(digits, shard=SHARDS[2], steps=2)])
    with pytest.raises(BadInput, match="not a shard"):
        merge_shards([*three, run(digits)])
    other = {**three[2].record["data"], "fingerprint": "0"}
    with pytest.raises(BadInput, match="different images"):
        merge_shards([*three[:2], replace(three[2], record={**three[2].record, "data": other})])
    with pytest.raises(BadInput, match=r"different numbers of steps: \[1, 2\]"):
        merge_losses([[1.0], [1.0, 2.0]])
