"""Low-resolution storage: what is stored, what networks see, and that a file gives the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import condensery
from condensery import BadInput, Rng, driver, get_method
from condensery.resuming import resume_run
from condensery.synthetic import Tiles
from condensery.synthetic.low_resolution import enlarged_tiles
from condensery.synthetic.tiles import joined_tiles

RNG = Rng(5)


def test_images_are_the_tiles_row_by_row_enlarged() -> None:
    stored = torch.randn(2, 3, 4, 6, generator=RNG.torch())
    images = Tiles(stored, (1, 1), factor=2).images
    parts = [stored[i : i + 1, :, r : r + 2, c : c + 3] for i in (0, 1) for r in (0, 2) for c in (0, 3)]
    expected = [F.interpolate(part, (4, 6), mode="bilinear", align_corners=False) for part in parts]
    assert torch.equal(images, torch.cat(expected))


def test_of_class_and_labels_are_those_of_all_images() -> None:
    tiles = Tiles(torch.randn(6, 1, 8, 8, generator=RNG.torch()), (2, 2, 2), factor=2)
    assert tiles.labels.tolist() == [c for c in range(3) for _ in range(8)]
    for c in range(3):
        assert torch.equal(tiles.of_class(c), tiles.images[tiles.labels == c])


def test_joining_is_the_inverse_of_cutting() -> None:
    flat = torch.arange(16.0).reshape(4, 1, 2, 2)
    joined = joined_tiles(flat, 2)
    assert joined.shape == (1, 1, 4, 4)
    assert joined[0, 0, :2, :2].flatten().tolist() == [0, 1, 2, 3]
    assert joined[0, 0, :2, 2:].flatten().tolist() == [4, 5, 6, 7]


def test_real_starts_are_real_images_made_smaller(make_task) -> None:
    task = make_task()
    tiles = task.start_images("real", 2, RNG)
    assert isinstance(tiles, Tiles) and tiles.stored.shape == (6, 1, 8, 8) and len(tiles.images) == 24
    real = F.avg_pool2d(task.pool.sample(1, 8, RNG.fork(1)), 2)
    assert torch.equal(joined_tiles(real, 2), tiles.stored.detach()[2:4])


def test_a_set_is_saved_whose_images_a_gpu_enlarged_with_other_roundings(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Tiles, "images", property(lambda tiles: enlarged_tiles(tiles.stored, tiles.factor) * (1 + 1e-6))
    )
    made = condensery.condense(tiny_file, "dm", ipc=1, factor=2, steps=1, real_batch=2, out=tmp_path / "run")
    assert torch.equal(condensery.load(tmp_path / "run").images, made.images)


@pytest.mark.parametrize(("factor", "ipc", "message"), [(3, 1, "does not divide"), (5, 4, "does not divide")])
def test_impossible_tiles_are_refused(make_task, factor: int, ipc: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_task(ipc=ipc).start_images("real", factor, RNG)


@pytest.mark.parametrize("name", ["dm", "dc", "dsa", "dcc", "dsac", "frepo"])
def test_every_method_learns_tiles(name: str, quick_method, make_task) -> None:
    task, method = make_task(ipc=1), quick_method(name, factor=2, init="real")
    state = driver.begin(method, task, RNG)
    before = state.synthetic.leaves()["tiles"].detach().clone()
    state, _ = driver.advance(method, task, state, RNG)
    changed = (state.synthetic.leaves()["tiles"].detach() - before).abs().amax((1, 2, 3))
    assert (changed > 0).all()


def test_a_run_stores_tiles_and_resumes_to_the_same_bits(tiny_file: Path, tmp_path: Path) -> None:
    method = get_method("dm", real_batch=8, factor=2)
    whole = condensery.condense(tiny_file, method, steps=4, device="cpu", network="convnet+width=8+depth=2")
    out = {"out": tmp_path / "run", "device": "cpu", "network": "convnet+width=8+depth=2"}
    condensery.condense(tiny_file, method, steps=2, **out)
    resumed = resume_run(tmp_path / "run", steps=4)
    loaded = condensery.load(tmp_path / "run")
    assert torch.equal(whole.images, resumed.images) and torch.equal(loaded.images, whole.images)
    assert (len(loaded), loaded.stored_images) == (12, 3)
    assert loaded.bytes == 3 * 64 * 4 + 8 + 12 * 8
    assert torch.equal(replace(loaded, stored={}).images, whole.images)
