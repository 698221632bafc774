"""Where images start: repeats of a rare class, and other sets, checked and put in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import condensery
from condensery import BadInput, ImageSpec, Rng, SyntheticSet, artifact
from condensery.records import ImageData
from condensery.resuming import resume_run
from condensery.run_folder import RunFolder
from condensery.synthetic import start_of, with_pixels

RNG = Rng(5)
NARROW = "convnet+width=8+depth=2"


def a_set(spec: ImageSpec, counts: tuple[int, ...] = (2, 1, 3)) -> SyntheticSet:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return SyntheticSet(torch.randn(sum(counts), *spec.shape, generator=RNG.torch()), labels, spec)


def started(synthetic: SyntheticSet, spec: ImageSpec, factor: int = 1):
    lines: list[str] = []
    return start_of(synthetic, spec, factor, "X", lines.append), lines


def test_a_rare_class_is_repeated_with_augmentation(make_task) -> None:
    task = make_task(ipc=(2, 30, 1))  # of 12 each
    (line,) = task.start_notes("real", 1)
    assert "a class has fewer real images" in line and "1 12 for 30" in line
    begun = task.start_images("real", 1, RNG)
    assert torch.equal(begun.of_class(1)[:12], task.pool.sample(1, 12, RNG.fork(1)))
    assert len(begun.of_class(1).flatten(1).unique(dim=0)) > 24  # few are alike by chance
    assert torch.equal(begun.images, task.start_images("real", 1, RNG).images)
    assert begun.labels.tolist() == [0] * 2 + [1] * 30 + [2]
    assert task.start_notes("noise", 1) == []


def test_typical_images_stand_for_clusters_of_their_class(tiny: ImageData, make_task) -> None:
    """Of three groups of equal images there is one each, whatever is drawn."""
    pixels, labels = tiny.train.pixels.copy(), tiny.train.labels
    for members, value in zip(np.array_split(np.flatnonzero(labels == 0), 3), (0, 120, 240), strict=True):
        pixels[members] = value
    task = make_task(ipc=3, data=replace(tiny, train=replace(tiny.train, pixels=pixels)))
    begun = task.spec.denormalise(task.start_images("clusters", 1, RNG).of_class(0).detach())
    assert sorted((255 * begun.mean((1, 2, 3))).round().int().tolist()) == [0, 120, 240]


def test_typical_images_are_repeated_and_made_smaller_as_random_ones(make_task) -> None:
    task = make_task(ipc=(2, 30, 1))  # of 12 each
    _typical, line = task.start_notes("clusters", 1)
    assert "1 12 for 30" in line
    assert task.start_images("clusters", 1, RNG).labels.tolist() == [0] * 2 + [1] * 30 + [2]
    tiles = make_task(ipc=2).start_images("clusters", 2, RNG)
    assert tiles.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert len(tiles.of_class(0).detach().flatten(1).unique(dim=0)) == 8


def test_classes_are_matched_by_name_and_pixels_keep_their_values(tiny: ImageData) -> None:
    theirs = replace(tiny.spec, class_names=tiny.spec.class_names[::-1], mean=(0.1,), std=(0.7,))
    given = a_set(theirs)
    start, lines = started(given, tiny.spec)
    assert start.counts == (3, 1, 2) and len(lines) == 2
    pixels = tiny.spec.denormalise(start.stored)
    assert torch.allclose(pixels[:3], theirs.denormalise(given.images[3:]), atol=1e-5)


def test_what_does_not_fit_is_refused(tiny: ImageData, make_task) -> None:
    other = replace(tiny.spec, class_names=("0", "1", "x"))
    with pytest.raises(BadInput, match="no class '2'"):
        started(a_set(other), tiny.spec)
    with pytest.raises(BadInput, match="--size 4 --channels 1"):
        started(a_set(replace(tiny.spec, height=4, width=4)), tiny.spec)
    with pytest.raises(BadInput, match="no image of class '1'"):
        started(a_set(tiny.spec, (2, 0, 1)), tiny.spec)
    task = replace(make_task(ipc=2), start=started(a_set(tiny.spec), tiny.spec)[0])
    with pytest.raises(BadInput, match="asks for 2 per class and the set to start from has 1 to 3 per class"):
        task.start_images("set", 1, RNG)
    with pytest.raises(BadInput, match="name it with --init"):
        make_task().start_notes("set", 1)


def test_tiles_are_taken_as_they_are_stored(make_task, tiny: ImageData) -> None:
    tiles = make_task(ipc=(1, 2, 1)).start_images("noise", 2, RNG)
    found = tiles.content()
    given = SyntheticSet(found.images, found.labels, tiny.spec, {}, stored=found.stored)
    start, _ = started(given, tiny.spec, 2)
    assert torch.equal(start.stored, tiles.stored.detach()) and start.counts == (1, 2, 1)
    assert started(given, tiny.spec, 1)[0].counts == (4, 8, 4)
    rounded, _ = started(with_pixels(given), tiny.spec, 2)
    assert rounded.stored.dtype == torch.float32
    torch.testing.assert_close(rounded.stored, start.stored, atol=0.05, rtol=0)


def test_a_preset_does_not_make_tiles_of_the_images_of_a_set(tiny: ImageData) -> None:
    """The fast one stores four images in one from 24 pixels on."""
    larger = {"height": 3 * tiny.spec.height, "width": 3 * tiny.spec.width}
    train, test = (
        replace(part, pixels=part.pixels.repeat(3, axis=1).repeat(3, axis=2))
        for part in (tiny.train, tiny.test)
    )
    data = replace(tiny, spec=replace(tiny.spec, **larger), train=train, test=test)
    given = a_set(data.spec, (2, 2, 2))
    settings = {"preset": "fast", "network": NARROW, "real_batch": 8, "steps": 1, "device": "cpu"}
    made = condensery.condense(data, "dm", init=given, image_lr=1e-6, **settings)
    assert torch.allclose(made.images, given.images, atol=1e-3)
    fields = condensery.condense(data, "dm", **settings, teacher_weight=0.0).record["fields"]
    assert fields["factor"] == 2 and made.record["fields"]["teacher_weight"] == 0


def test_a_run_starts_from_a_set_and_resumes_to_the_same_bits(tiny_file: Path, tmp_path: Path) -> None:
    asked = {"network": NARROW, "device": "cpu", "real_batch": 4}
    first = condensery.select(tiny_file, "random", ipc="0=1,1=3,2=2", device="cpu", out=tmp_path / "first")
    lines: list[str] = []
    asked["init"] = str(tmp_path / "first")
    whole = condensery.condense(tiny_file, "dm", steps=3, announce=lines.append, **asked)
    assert any("starts from" in line and "6 images by random, 1 to 3 per class" in line for line in lines)
    assert whole.record["ipc"] == [1, 3, 2] and whole.counts == (1, 3, 2)
    assert whole.record["start"]["sha256"] == artifact.digest(first)
    begun = condensery.condense(tiny_file, "dm", steps=1, out=tmp_path / "run", **asked)
    assert torch.equal(condensery.load(RunFolder(tmp_path / "run").initial_path).images, first.images)
    assert not torch.equal(begun.images, whole.images)
    (tmp_path / "first" / "set.safetensors").unlink()  # the run has what it needs
    assert torch.equal(resume_run(tmp_path / "run", steps=3).images, whole.images)


def test_a_start_that_changed_before_the_first_step_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        condensery.select(tiny_file, "random", ipc=1, seed=seed, device="cpu", out=tmp_path / f"s{seed}")
    asked = {"network": NARROW, "device": "cpu", "init": tmp_path / "s0", "steps": 1}
    condensery.condense(tiny_file, "dm", out=tmp_path / "run", **asked)
    for name in ("initial", "set", "checkpoint"):
        (tmp_path / "run" / f"{name}.safetensors").unlink()
    (tmp_path / "s1" / "set.safetensors").replace(tmp_path / "s0" / "set.safetensors")
    with pytest.raises(BadInput, match="has changed since the run"):
        resume_run(tmp_path / "run")
