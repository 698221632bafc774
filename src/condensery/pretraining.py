"""Networks trained on the real images and kept at many stages: what DM's distributions and diagnostics draw from.

Source: thesis section 5.3.4: networks are trained on the whole training set, their intermediate states stored and
grouped by validation accuracy. How they are trained it does not say; here by SGD with learning rate 0.01, momentum
0.9 and weight decay 5e-4 on batches of 256 without augmentation (as networks are trained in evaluations) on nine
tenths of each class, the last tenth of which measures their accuracy, since nothing is chosen on test images.

Layout below the cache folder: networks/<key>/00007.npy holds the states of network 7, float32 (stages, numbers), and
00007.accuracies.npy, which is written last, their accuracies float64 (stages,). A file never changes; the key says
what it was made from, so that runs of any budget share the networks and a resumed run finds them again.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Task
from condensery.models.registry import NetworkFactory
from condensery.rng import Rng
from condensery.training import Recipe, accuracy, train_step

RECIPE = Recipe(epochs=1)
_VALIDATION = 10  # one in so many images of each class is kept from training
_CHUNK = 256  # images per pass of the validation


@dataclass(frozen=True)
class Stage:
    """One stored state of a trained network.

    Attributes:
        file: where the states of the network are.
        row: which of them.
        accuracy: on the validation images, a fraction.
    """

    file: Path
    row: int
    accuracy: float

    def load_into(self, network: nn.Module) -> None:
        """Give `network` the weights and buffers of this state.

        Raises:
            BadInput: the file is gone or damaged.
        """
        try:
            states = np.load(self.file, mmap_mode="r", allow_pickle=False)
            _restore(network, torch.from_numpy(np.array(states[self.row])))
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            raise BadInput(
                f"the trained networks in {self.file.parent} are gone or damaged: remove that folder and start the run "
                "again with --resume"
            ) from error


@dataclass(frozen=True)
class NetworkPool:
    """Trained networks at all their stages, the untrained one first."""

    stages: tuple[Stage, ...]

    def between(self, low: float, high: float) -> NetworkPool:
        """The trained stages of a validation accuracy in [low, high), or up to 1 if `high` is 1.

        Raises:
            BadInput: there is none.
        """
        trained = [stage for stage in self.stages if stage.row]
        found = [s for s in trained if low <= s.accuracy < high or s.accuracy == high == 1]
        if not found:
            best = max((100 * stage.accuracy for stage in trained), default=0.0)
            raise BadInput(
                f"no trained network has a validation accuracy of {100 * low:g} to {100 * high:g} %, the best has "
                f"{best:.1f} %: choose another range, more --trained-networks or --trained-epochs"
            )
        return NetworkPool(tuple(found))

    def finished(self) -> NetworkPool:
        """The last stage of every network, in order."""
        last = {stage.file: stage for stage in self.stages}
        return NetworkPool(tuple(last.values()))

    def draw(self, task: Task, rng: Rng) -> nn.Module:
        """A network with the weights of a stage drawn uniformly, in training mode, on the task's device."""
        i = int(torch.randint(len(self.stages), (), generator=rng.fork("stage").torch()))
        network = task.new_network(rng)
        self.stages[i].load_into(network)
        return network


def require_keepable(network: NetworkFactory) -> None:
    """Raises BadInput for a user's own network: the cache knows networks by name, and its code may change."""
    if ":" in network.canonical:
        raise BadInput(
            f"{network.name} is a network of your own, which may change, and trained networks are kept by name: choose "
            "one of condensery's (condense networks)"
        )


def trained_networks(
    task: Task, count: int, epochs: int, rng: Rng, *, stages_between: bool = True
) -> NetworkPool:
    """`count` networks of the task, each trained on its real images for `epochs`, from the cache where they are.

    Each is kept before and after its training and, with `stages_between`, at stages between. What is missing is
    trained: `count` x `epochs` passes over nine tenths of the real images. An interrupted pool goes on with the network
    at which it stopped.

    Raises:
        BadInput: a user's own network, a class with a single image, or a cache folder that cannot be written.
    """
    require_keepable(task.network)
    cache = Cache()
    words = (task.pool.fingerprint(), task.network.canonical, str(epochs), str(rng.entropy), task.device.type)
    words = (*words, "stages" if stages_between else "ends")
    folder = cache.folder / "networks" / digest("networks", *words)
    stages: list[Stage] = []
    for i in range(count):
        file, noted = folder / f"{i:05}.npy", folder / f"{i:05}.accuracies.npy"
        accuracies = _read(noted) if file.exists() else None
        if accuracies is None:
            states, accuracies = _train(task, epochs, rng.fork(i), stages_between)
            with cache.writing():
                folder.mkdir(parents=True, exist_ok=True)
                _write(file, states)
                _write(noted, accuracies)
        stages += [Stage(file, row, float(value)) for row, value in enumerate(accuracies)]
    return NetworkPool(tuple(stages))


def _train(task: Task, epochs: int, rng: Rng, stages_between: bool) -> tuple[np.ndarray, np.ndarray]:
    """One network: its states float32 (stages, numbers) and their validation accuracies (stages,)."""
    training, validation = _split(task, rng.fork("validation"))
    network = task.new_network(rng.fork("network"))
    states, accuracies = [], []
    with rng.fork("layers").seeded(task.device):  # for networks with layers that draw, such as dropout
        last = epochs * math.ceil(len(training[0]) / RECIPE.batch_size)
        for done in _stages(task, network, training, epochs, rng):
            if not stages_between and done not in (0, last):
                continue
            states.append(_flat(network))
            accuracies.append(accuracy(network, _batches(task, validation), task.chunk))
            network.train()
    return np.stack(states), np.array(accuracies)


def _stages(
    task: Task, network: nn.Module, training: tuple[np.ndarray, Tensor], epochs: int, rng: Rng
) -> Iterator[int]:
    """Train `network` in place; yields where its state is kept: after 0, 1, 2, 4, ... updates and every epoch."""
    indices, labels = training
    optimizer = RECIPE.optimizer(network, RECIPE.lr)
    done = 0
    yield done
    for epoch in range(epochs):
        order = torch.randperm(len(indices), generator=rng.fork("order", epoch).torch())
        parts = order.split(RECIPE.batch_size)
        for i, part in enumerate(parts):
            images = task.pool.images_at(indices[part.numpy()])
            train_step(network, optimizer, images, labels[part].to(task.device), task.chunk)
            done += 1
            in_first_epoch = epoch == 0 and done & (done - 1) == 0  # a power of two
            if in_first_epoch or i + 1 == len(parts):
                yield done


def _split(task: Task, rng: Rng) -> tuple[tuple[np.ndarray, Tensor], tuple[np.ndarray, Tensor]]:
    """(indices, labels) of the training and of the validation images: a random tenth of each class, at least one."""
    indices: list[list[np.ndarray]] = [[], []]
    labels: list[list[Tensor]] = [[], []]
    for c in range(task.spec.num_classes):  # all of them, whichever the run learns
        members = task.pool.sample_indices(c, task.pool.counts[c], rng.fork(c))
        held = max(1, len(members) // _VALIDATION)
        if held == len(members):
            raise BadInput(
                f"class {task.spec.class_names[c]!r} has a single image, which cannot both train and validate a "
                "network: use --weights random"
            )
        for side, part in enumerate((members[held:], members[:held])):
            indices[side].append(part)
            labels[side].append(torch.full((len(part),), c))
    training, validation = (
        (np.concatenate(numbers), torch.cat(of_each))
        for numbers, of_each in zip(indices, labels, strict=True)
    )
    return training, validation


def _batches(task: Task, images: tuple[np.ndarray, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    indices, labels = images
    for start in range(0, len(indices), _CHUNK):
        part = slice(start, start + _CHUNK)
        yield task.pool.images_at(indices[part]), labels[part].to(task.device)


def _flat(network: nn.Module) -> np.ndarray:
    """Weights and buffers as one float32 vector."""
    tensors = network.state_dict().values()
    return torch.cat([t.detach().cpu().flatten().to(torch.float32) for t in tensors]).numpy()


def _restore(network: nn.Module, flat: Tensor) -> None:
    """The inverse of `_flat`. Raises RuntimeError if the vector has another length."""
    tensors = list(network.state_dict().values())
    with torch.no_grad():
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))


def _read(file: Path) -> np.ndarray | None:
    """The accuracies of a network that is there as a whole, or else None."""
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _write(file: Path, array: np.ndarray) -> None:
    """Write a .npy file in one step."""
    handle, name = tempfile.mkstemp(prefix="tmp-", dir=file.parent)
    with os.fdopen(handle, "wb") as opened:
        np.save(opened, array, allow_pickle=False)
    os.replace(name, file)
