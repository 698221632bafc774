"""Experts: kept at every epoch, trained one by one, continued, and never those of other images or networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from condensery import BadInput, Rng
from condensery.pretraining import ExpertTraining, expert_preparation, trained_experts

RNG = Rng(5)
NETWORK = "convnet+width=4+depth=1"
TRAINING = ExpertTraining(2, 0.1, 16, "")


def test_an_expert_is_what_plain_sgd_makes(make_task, fresh_cache: Path) -> None:
    """Written out: the order of each epoch is drawn under its name, and every image is used once."""
    task = make_task(NETWORK, chunk=None)
    experts = trained_experts(task, 1, TRAINING, RNG)
    network = task.new_network(RNG.fork(0).fork("network"))
    labels = torch.from_numpy(task.pool.labels)
    for epoch in range(2):
        for ours, theirs in zip(experts.weights(network, 0, epoch), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)
        order = torch.randperm(36, generator=RNG.fork(0).fork("epoch", epoch).fork("order").torch())
        for batch in order.split(16):
            F.cross_entropy(network(task.pool.images_at(batch.numpy())), labels[batch]).backward()
            with torch.no_grad():
                for p in network.parameters():
                    p -= 0.1 * p.grad
                    p.grad = None


def test_an_expert_goes_on_to_the_same_bits(make_task, fresh_cache: Path) -> None:
    task = make_task(NETWORK)
    longer = ExpertTraining(4, 0.1, 16, "flip_crop")
    (file,) = trained_experts(task, 1, longer, RNG).files
    whole = np.load(file)
    file.unlink()
    trained_experts(task, 1, ExpertTraining(1, 0.1, 16, "flip_crop"), RNG)
    assert len(np.load(file)) == 2
    trained_experts(task, 1, longer, RNG)
    assert np.array_equal(np.load(file), whole) and len(whole) == 5


def test_what_is_missing_is_made_one_by_one(make_task, fresh_cache: Path) -> None:
    task = make_task(NETWORK)
    needed = expert_preparation(task, 3, TRAINING, RNG, None)  # type: ignore[arg-type]
    assert len(needed.missing) == 3 and needed.work == 72 and needed.piece == "expert"
    needed.make(1)
    left = expert_preparation(task, 3, TRAINING, RNG, None)  # type: ignore[arg-type]
    assert left.missing == (needed.missing[0], needed.missing[2])
    kept = {file.name: file.stat().st_mtime_ns for file in fresh_cache.rglob("experts/*/*.npy")}
    experts = trained_experts(task, 3, TRAINING, RNG)
    assert experts.files[1].stat().st_mtime_ns == kept["00001.npy"]


def test_other_images_networks_and_ways_of_training_have_their_own(
    make_task, digits, fresh_cache: Path
) -> None:
    folders = {
        trained_experts(make_task(network), 1, training, rng).files[0].parent
        for network in (NETWORK, "convnet+width=2+depth=1")
        for training in (TRAINING, ExpertTraining(2, 0.2, 16, ""), ExpertTraining(2, 0.1, 16, "crop"))
        for rng in (RNG, Rng(6))
    }
    assert len(folders) == 12


def test_an_expert_of_another_network_is_refused(make_task, fresh_cache: Path) -> None:
    task, other = make_task(NETWORK), make_task("convnet+width=2+depth=1")
    experts = trained_experts(task, 1, TRAINING, RNG)
    with pytest.raises(BadInput, match="gone, damaged, or of another network: remove that folder"):
        experts.weights(other.new_network(RNG), 0, 0)
    experts.files[0].write_bytes(b"no array")
    with pytest.raises(BadInput, match="gone, damaged, or of another network"):
        experts.weights(task.new_network(RNG), 0, 0)
    trained_experts(task, 1, TRAINING, RNG)  # what cannot be read is trained again
    assert len(experts.weights(task.new_network(RNG), 0, 2)) == len(list(task.new_network(RNG).parameters()))
