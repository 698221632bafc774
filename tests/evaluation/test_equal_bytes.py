"""Beside a generator: as many random images as it makes, and as many as have its bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from condensery import PROTOCOLS, ImageData, Rng, SyntheticSet, evaluate, save
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.evaluation import log
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.report.measurements import measurements
from condensery.synthetic import GeneratorNetwork
from condensery.synthetic.stored import decoded

FAST = replace(PROTOCOLS["quick"], name="fast", epochs=2, plain_epochs=2, repeats=2)
NETWORK = "convnet+width=8+depth=1"
RECORD = {"method": "generative", "ipc": 2, "network": NETWORK, "seed": 0}


def generator_set(data: ImageData, width: int = 4, ipc: int = 2) -> SyntheticSet:
    """An untrained generator as a set: `ipc` images of each of 3 classes."""
    with Rng(0).seeded():
        weights = GeneratorNetwork(3, 3, width, 1, data.spec.shape).folded()
    kept = {f"generator.{name}": t for name, t in weights.items() if not name.startswith("projection")}
    codes = {"codes": torch.randn(ipc, 3, generator=Rng(1).torch()), "classes": torch.eye(3)}
    stored = {**kept, **{f"generator.{name}": t for name, t in codes.items()}}
    stored["generator.counts"] = torch.tensor([ipc] * 3)
    labels = torch.arange(3).repeat_interleave(ipc)
    return SyntheticSet(decoded(stored, data.spec), labels, data.spec, RECORD, stored=stored)


def test_both_stand_beside_a_generator(tiny: ImageData, tmp_path: Path) -> None:
    made = generator_set(tiny)
    per_class = round(made.image_bytes / (4 * 64)) // 3
    assert 2 < per_class < 12 and made.counts_of_equal_bytes == (per_class,) * 3
    result = evaluate(made, tiny, protocol=FAST, device="cpu")
    assert [(s.subject, s.images, s.n) for s in result.scores] == [
        ("generative", 6, 2),
        ("random", 6, 2),
        (EQUAL_BYTES, 3 * per_class, 2),
        ("whole", 36, 1),
    ]
    own, random, equal, _ = result.scores
    assert random.bytes == 6 * (4 * 64 + 8) and 0 <= made.image_bytes - 3 * per_class * 4 * 64 < 3 * 4 * 64
    assert equal.bytes == 3 * per_class * (4 * 64 + 8) and own.bytes == made.bytes
    gain = own.mean - random.mean  # by the definition of the score, at an equal number
    assert result.honest[0].improvement_over_random == pytest.approx(gain)
    save(made, tmp_path / "set.safetensors")
    log.note(result, 0, made, tmp_path / "set.safetensors", pytest.fail)


def test_it_can_be_left_out_and_is_nothing_beside_pixels(tiny: ImageData) -> None:
    made = generator_set(tiny)
    alone = evaluate(made, tiny, protocol=FAST, repeats=1, baselines=["random"], device="cpu")
    assert [s.subject for s in alone.scores] == ["generative", "random"]
    pool = ClassPool(tiny.train, tiny.spec, torch.device("cpu"))
    pixels = replace(random_selection(pool, 1, Rng(0)), record={**RECORD, "method": "dm", "ipc": 1})
    beside = evaluate(pixels, tiny, protocol=FAST, repeats=1, baselines=["random", EQUAL_BYTES], device="cpu")
    assert [s.subject for s in beside.scores] == ["dm", "random"]


def test_where_there_are_fewer_real_images_all_are_taken(tiny: ImageData) -> None:
    made = generator_set(tiny, width=12)
    asked = made.counts_of_equal_bytes[0]
    result = evaluate(made, tiny, protocol=FAST, repeats=1, baselines=[EQUAL_BYTES], device="cpu")
    assert asked > 12 and result.scores[1].images == 36
    line = f"{EQUAL_BYTES}: of classes with fewer than have its bytes, all are taken: 0 12 for {asked}"
    assert any(note.startswith(line) for note in result.notes)


def test_in_a_report_random_images_of_other_numbers_are_rows_of_their_own(tiny: ImageData) -> None:
    documents = []
    for width in (2, 4):
        made = replace(generator_set(tiny, width), record={**RECORD, "fields": {"generator_width": width}})
        found = evaluate(
            made, tiny, protocol=FAST, repeats=1, baselines=["random", EQUAL_BYTES], device="cpu"
        )
        documents.append((Path(f"{width}.jsonl"), found.to_json()))
    rows = {m.subject: m for m, _ in measurements(documents)}
    counts = [3 * generator_set(tiny, width).counts_of_equal_bytes[0] for width in (2, 4)]
    assert list(rows) == [
        "generative generator_width=2",
        "random",
        f"{EQUAL_BYTES} images={counts[0]}",
        "generative generator_width=4",
        f"{EQUAL_BYTES} images={counts[1]}",
    ]
    assert rows["random"].images == 6 and np.isfinite(rows["random"].mean)
    assert [m.images for name, m in rows.items() if name.startswith(EQUAL_BYTES)] == counts
