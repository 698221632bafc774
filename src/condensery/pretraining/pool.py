"""Many networks trained on the real images, each at many stages, from which DM's distributions and diagnostics draw.

Source: thesis section 5.3.4: networks are trained on the whole training set, their intermediate states stored and
grouped by validation accuracy. How they are trained it does not say; here by SGD with learning rate 0.01, momentum 0.9
and weight decay 5e-4 on batches of 256 without augmentation (as networks are trained in evaluations) on nine tenths of
each class, the last tenth of which measures their accuracy, since nothing is chosen on test images.

Layout below the cache folder: networks/<key>/00007.npy holds the states of network 7, float32 (stages, numbers), and
00007.accuracies.npy, which is written last, their accuracies float64 (stages,). A file never changes; the key says
what it was made from, so that runs of any budget share the networks and a resumed run finds them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from condensery.data import PoolImages
from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Method, Preparation, Task
from condensery.models.registry import NetworkFactory
from condensery.pretraining.kept import flat_weights, restore_weights
from condensery.rng import Rng
from condensery.training import FORWARD, Images, accuracy, train_step
from condensery.training_recipe import Recipe

RECIPE = Recipe(epochs=1)
_VALIDATION = 10  # one in so many images of each class is kept from training
_BATCH = 256  # images per pass of the validation


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
            restore_weights(network, torch.from_numpy(np.array(states[self.row])))
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


def accuracy_range(text: str) -> tuple[float, float]:
    """ "30-40", in percent as in thesis Table 5.4 -> (0.3, 0.4). BadInput if it is no range."""
    low, _, high = text.partition("-")
    if low.isdecimal() and high.isdecimal() and int(low) < int(high) <= 100:
        return int(low) / 100, int(high) / 100
    raise BadInput(f"weights must be 'random', 'all' or a range of percent such as '30-40', not {text!r}")


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
    folder = _folder(task, epochs, rng, stages_between)
    for i in _missing(folder, count):
        _make(task, folder, i, epochs, rng, stages_between)
    return NetworkPool(tuple(stage for i in range(count) for stage in _kept_stages(folder, i)))


def pool_preparation(task: Task, count: int, epochs: int, rng: Rng, without: Method) -> Preparation:
    """What `trained_networks` has still to train; `without` is a method that needs none."""
    folder = _folder(task, epochs, rng, stages_between=True)
    missing = _missing(folder, count)
    images = sum(task.pool.counts)
    validations = epochs + math.log2(math.ceil(images / RECIPE.batch_size) + 1)
    work = images * (epochs * (1 - 1 / _VALIDATION) + FORWARD * validations / _VALIDATION)
    return Preparation(
        piece="network",
        missing=tuple(str(folder / f"{i:05}.npy") for i in missing),
        work=work,
        make=lambda k: _make(task, folder, missing[k], epochs, rng, stages_between=True),
        without=without,
    )


# ---- files


def _folder(task: Task, epochs: int, rng: Rng, stages_between: bool) -> Path:
    """Where the pool is kept."""
    require_keepable(task.network)
    network, stages = task.network.kept_as, "stages" if stages_between else "ends"
    key = (task.pool.fingerprint(), network, str(epochs), str(rng.entropy), task.device.type, stages)
    return Cache().folder / "networks" / digest("networks", *key)


def _missing(folder: Path, count: int) -> list[int]:
    """Numbers of the networks that are not there as a whole."""
    return [i for i in range(count) if _accuracies(folder, i) is None]


def _make(task: Task, folder: Path, i: int, epochs: int, rng: Rng, stages_between: bool) -> None:
    """Train network `i` and keep it."""
    states, accuracies = _train(task, epochs, rng.fork(i), stages_between)
    Cache().save_array(folder / f"{i:05}.npy", states)
    Cache().save_array(folder / f"{i:05}.accuracies.npy", accuracies)


def _kept_stages(folder: Path, i: int) -> list[Stage]:
    accuracies, file = _accuracies(folder, i), folder / f"{i:05}.npy"
    if accuracies is None:
        raise BadInput(f"{file} was removed while it was needed: try again")
    return [Stage(file, row, float(value)) for row, value in enumerate(accuracies)]


def _accuracies(folder: Path, i: int) -> np.ndarray | None:
    """Those of network `i`; None if it is not there as a whole."""
    if not (folder / f"{i:05}.npy").exists():
        return None
    try:
        return np.load(folder / f"{i:05}.accuracies.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


# ---- training


def _train(task: Task, epochs: int, rng: Rng, stages_between: bool) -> tuple[np.ndarray, np.ndarray]:
    """One network: its states float32 (stages, numbers) and their validation accuracies (stages,)."""
    training, validation = _split(task, rng.fork("validation"))
    network = task.new_network(rng.fork("network"))
    states, accuracies = [], []
    with rng.fork("layers").seeded(task.device):  # for networks with layers that draw, such as dropout
        last = epochs * math.ceil(len(training) / RECIPE.batch_size)
        for done in _stages(task, network, training, epochs, rng):
            if stages_between or done in (0, last):
                states.append(flat_weights(network))
                parts = torch.arange(len(validation)).split(_BATCH)
                accuracies.append(accuracy(network, map(validation.batch, parts), task.chunk))
                network.train()
    return np.stack(states), np.array(accuracies)


def _stages(task: Task, network: nn.Module, images: Images, epochs: int, rng: Rng) -> Iterator[int]:
    """Train `network` in place; yields where its state is kept: after 0, 1, 2, 4, ... updates and every epoch."""
    optimizer = RECIPE.make_optimizer(network, RECIPE.lr)
    done = 0
    yield done
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=rng.fork("order", epoch).torch())
        parts = order.split(RECIPE.batch_size)
        for i, part in enumerate(parts):
            train_step(network, optimizer, *images.batch(part), task.chunk)
            done += 1
            in_first_epoch = epoch == 0 and done & (done - 1) == 0  # a power of two
            if in_first_epoch or i + 1 == len(parts):
                yield done


def _split(task: Task, rng: Rng) -> tuple[PoolImages, PoolImages]:
    """The training and the validation images: the latter are a random tenth of each class, at least one."""
    training, validation = [], []
    for c in task.classes:
        members = task.pool.sample_indices(c, task.pool.counts[c], rng.fork(c))
        held = max(1, len(members) // _VALIDATION)
        if held == len(members):
            raise BadInput(
                f"class {task.spec.class_names[c]!r} has a single image, which cannot both train and validate a "
                "network: use --weights random"
            )
        validation.append(members[:held])
        training.append(members[held:])
    return PoolImages(task.pool, np.concatenate(training)), PoolImages(task.pool, np.concatenate(validation))
