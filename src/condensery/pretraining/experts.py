"""Experts: networks trained on all real images, whose weights after every epoch are kept.

Source: Cazenavette et al., "Dataset Distillation by Matching Training Trajectories", CVPR 2022, section 3.1, and
`buffer.py` of its authors: plain SGD of learning rate 0.01 on batches of 256, augmented as in DSA.

Layout below the cache folder: experts/<key>/00007.npy holds the states of expert 7 after 0, 1, 2, ... epochs, float32
(epochs + 1, numbers). The key says what they were trained on and how, so that experts of other images or another
network are never found. An expert that is asked for more epochs goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation
from condensery.data import PoolImages
from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Method, Preparation, Task
from condensery.optimizers import SGD
from condensery.pretraining.kept import flat_weights, restore_weights
from condensery.pretraining.pool import require_keepable
from condensery.rng import Rng
from condensery.training import train_epoch


@dataclass(frozen=True)
class ExpertTraining:
    """How experts are trained.

    Attributes:
        epochs: over all real images.
        lr: of plain SGD, without momentum and weight decay.
        batch: images per step.
        augmentation: Siamese groups joined by "_", each image with its own parameters; "" for none.
    """

    epochs: int
    lr: float
    batch: int
    augmentation: str


@dataclass(frozen=True)
class Experts:
    """Trained networks at every epoch.

    Attributes:
        files: of each expert.
        epochs: that each has at least.
    """

    files: tuple[Path, ...]
    epochs: int

    def weights(self, network: nn.Module, expert: int, epoch: int) -> tuple[Tensor, ...]:
        """The trainable parameters of an expert after `epoch` epochs, in the order and on the device of `network`'s.

        Raises:
            BadInput: the file is gone, damaged, or of another network.
        """
        file, found = self.files[expert], network.state_dict()
        try:
            row = np.array(np.load(file, mmap_mode="r", allow_pickle=False)[epoch])
            parts = torch.from_numpy(row).split([t.numel() for t in found.values()])
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            raise BadInput(
                f"the experts in {file.parent} are gone, damaged, or of another network: remove that folder and start "
                "the run again with --resume"
            ) from error
        by_name = {
            name: part.reshape(tensor.shape).to(tensor)
            for (name, tensor), part in zip(found.items(), parts, strict=True)
        }
        return tuple(by_name[name] for name, p in network.named_parameters() if p.requires_grad)


def expert_preparation(
    task: Task, count: int, training: ExpertTraining, rng: Rng, without: Method
) -> Preparation:
    """What `trained_experts` has still to train; `without` is a method that needs none."""
    folder = _folder(task, training, rng)
    missing = [i for i in range(count) if _epochs_of(folder, i) < training.epochs]
    return Preparation(
        piece="expert",
        missing=tuple(f"{folder / f'{i:05}.npy'} {training.epochs}" for i in missing),
        work=sum(task.pool.counts) * training.epochs,
        make=lambda k: _make(task, folder, missing[k], training, rng),
        without=without,
    )


def trained_experts(task: Task, count: int, training: ExpertTraining, rng: Rng) -> Experts:
    """`count` experts of the task's network on its real images; what the cache lacks is trained, one by one.

    Raises:
        BadInput: a user's own network, or a cache folder that cannot be written.
    """
    folder = _folder(task, training, rng)
    for i in range(count):
        if _epochs_of(folder, i) < training.epochs:
            _make(task, folder, i, training, rng)
    return Experts(tuple(folder / f"{i:05}.npy" for i in range(count)), training.epochs)


def _folder(task: Task, training: ExpertTraining, rng: Rng) -> Path:
    require_keepable(task.network)
    how = str((training.lr, training.batch, training.augmentation))
    key = (task.pool.fingerprint(), task.network.kept_as, how, str(rng.entropy), task.device.type)
    return Cache().folder / "experts" / digest("experts", *key)


def _epochs_of(folder: Path, i: int) -> int:
    """How many epochs of expert `i` are there; -1 if there is nothing that can be read."""
    states = _states(folder / f"{i:05}.npy")
    return -1 if states is None else len(states) - 1


def _states(file: Path) -> np.ndarray | None:
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and found.dtype == np.float32 and len(found) else None


def _make(task: Task, folder: Path, i: int, training: ExpertTraining, rng: Rng) -> None:
    """Train expert `i`, or go on with it, and keep it. Plain SGD has no memory but the weights."""
    file, rng = folder / f"{i:05}.npy", rng.fork(i)
    network, images = task.new_network(rng.fork("network")), PoolImages(task.pool)
    there = _states(file)
    states = [flat_weights(network)] if there is None else [np.array(row) for row in there]
    restore_weights(network, torch.from_numpy(states[-1]))
    optimizer = SGD(network.parameters(), training.lr)
    augmentation = SiameseAugmentation(training.augmentation)
    for epoch in range(len(states) - 1, training.epochs):
        source = rng.fork("epoch", epoch)
        with source.fork("layers").seeded(task.device):  # for networks with layers that draw, such as dropout
            train_epoch(
                network,
                optimizer,
                images,
                training.batch,
                source,
                augment=augmentation if augmentation.groups else None,
                chunk=task.chunk,
            )
        states.append(flat_weights(network))
        if not np.isfinite(states[-1]).all():
            raise BadInput(
                f"expert {i} diverged in epoch {epoch + 1}: choose less than --expert-lr {training.lr:g}"
            )
    Cache().save_array(file, np.stack(states))
