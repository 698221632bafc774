"""Networks trained on the real images and kept in the cache, so that each is trained once.

`KeptNetwork` is a single one, such as the network that a selection looks through; it gives what training it would. A
`NetworkPool` is many at many stages, from which DM's distributions and diagnostics draw.

Source of the pool: thesis section 5.3.4: networks are trained on the whole training set, their intermediate states
stored and grouped by validation accuracy. How they are trained it does not say; here by SGD with learning rate 0.01,
momentum 0.9 and weight decay 5e-4 on batches of 256 without augmentation (as networks are trained in evaluations) on
nine tenths of each class, the last tenth of which measures their accuracy, since nothing is chosen on test images.

Layout below the cache folder: trained/<key>.npy holds the weights of a single network, float32 (numbers,). Of a pool,
networks/<key>/00007.npy holds the states of network 7, float32 (stages, numbers), and
00007.accuracies.npy, which is written last, their accuracies float64 (stages,). A file never changes; the key says
what it was made from, so that runs of any budget share the networks and a resumed run finds them again.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Method, Preparation, Task
from condensery.models.registry import NetworkFactory
from condensery.rng import Rng
from condensery.training import FORWARD, Recipe, accuracy, train_step

RECIPE = Recipe(epochs=1)
_VALIDATION = 10  # one in so many images of each class is kept from training
_CHUNK = 256  # images per pass of the validation


@dataclass(frozen=True)
class KeptNetwork:
    """Where the weights of one trained network are kept.

    Attributes:
        file: where; None for a user's own network, which is known by name and may change.
    """

    file: Path | None

    @property
    def is_there(self) -> bool:
        """Whether it has been trained before."""
        return self.file is not None and self.file.exists()

    def trained(self, network: nn.Module, train: Callable[[], object]) -> nn.Module:
        """`network` with the weights that `train` gives it; where they are kept it is not called.

        Raises:
            BadInput: the cache folder cannot be written.
        """
        if self._recalled(network):
            return network
        train()
        if self.file is not None:
            with Cache().writing():
                self.file.parent.mkdir(parents=True, exist_ok=True)
                _write(self.file, _flat(network))
        return network

    def _recalled(self, network: nn.Module) -> bool:
        """Give `network` the weights that are kept; False if there are none, or damaged ones."""
        if self.file is None:
            return False
        try:
            _restore(network, torch.from_numpy(np.load(self.file, allow_pickle=False)))
        except (OSError, ValueError, EOFError, RuntimeError, TypeError):
            return False
        return True


def kept_network(
    fingerprint: str, network: NetworkFactory, recipe: Recipe, rng: Rng, device: torch.device
) -> KeptNetwork:
    """The place of a network trained by `recipe` without augmentation, with the draws of `rng`.

    The key holds all that decides its bits: the number of threads and torch's version too, since they round
    differently.

    Args:
        fingerprint: of the images with their labels and normalisation.
    """
    if ":" in network.canonical:
        return KeptNetwork(None)
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    words = (fingerprint, network.canonical, json.dumps(recipe.to_json()), str(rng.entropy), device.type)
    key = digest("trained", *words, str(threads), torch.__version__)
    return KeptNetwork(Cache().folder / "trained" / f"{key}.npy")


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
    files = _PoolFiles(task, count, epochs, rng, stages_between)
    for i in files.missing():
        files.train(i)
    return files.pool()


def pool_preparation(task: Task, count: int, epochs: int, rng: Rng, without: Method) -> Preparation:
    """What `trained_networks` has still to train; `without` is a method that needs none."""
    files = _PoolFiles(task, count, epochs, rng, True)
    images = sum(task.pool.counts)
    validations = epochs + math.log2(math.ceil(images / RECIPE.batch_size) + 1)
    work = images * (epochs * (1 - 1 / _VALIDATION) + FORWARD * validations / _VALIDATION)
    missing = files.missing()
    names = tuple(str(files.file(i)) for i in missing)
    return Preparation("network", names, work, lambda k: files.train(missing[k]), without)


class _PoolFiles:
    """The files of a pool in the cache."""

    def __init__(self, task: Task, count: int, epochs: int, rng: Rng, stages_between: bool) -> None:
        require_keepable(task.network)
        self.task, self.count, self.epochs, self.rng = task, count, epochs, rng
        self.stages_between = stages_between
        self.cache = Cache()
        words = (
            task.pool.fingerprint(),
            task.network.canonical,
            str(epochs),
            str(rng.entropy),
            task.device.type,
        )
        words = (*words, "stages" if stages_between else "ends")
        self.folder = self.cache.folder / "networks" / digest("networks", *words)

    def file(self, i: int) -> Path:
        return self.folder / f"{i:05}.npy"

    def missing(self) -> list[int]:
        """Numbers of the networks that are not there."""
        return [i for i in range(self.count) if self._accuracies(i) is None]

    def train(self, i: int) -> None:
        """Train network `i` and keep it."""
        states, accuracies = _train(self.task, self.epochs, self.rng.fork(i), self.stages_between)
        with self.cache.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.file(i), states)
            _write(self._noted(i), accuracies)

    def pool(self) -> NetworkPool:
        """All of it."""
        stages: list[Stage] = []
        for i in range(self.count):
            accuracies = self._accuracies(i)
            if accuracies is None:
                raise BadInput(f"{self.file(i)} was removed while it was needed: try again")
            stages += [Stage(self.file(i), row, float(value)) for row, value in enumerate(accuracies)]
        return NetworkPool(tuple(stages))

    def _noted(self, i: int) -> Path:
        return self.folder / f"{i:05}.accuracies.npy"

    def _accuracies(self, i: int) -> np.ndarray | None:
        """Those of network `i`; None if it is not there as a whole."""
        return _read(self._noted(i)) if self.file(i).exists() else None


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
    optimizer = RECIPE.make_optimizer(network, RECIPE.lr)
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
