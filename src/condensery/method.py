"""The contract that every condensation method keeps.

A method is a frozen dataclass whose fields are its hyper-parameters. It owns no loop: the driver calls
`terms`, backpropagates each term as it arrives, steps the optimiser once and calls `advance`. All that changes
lives in `State`, so checkpoint, resume, time limit and progress exist once, in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, augment_pair
from condensery.data.pool import ClassPool
from condensery.errors import BadFile, BadInput
from condensery.models.batch_norm import mixes_samples
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.synthetic import Pixels
from condensery.training import forward_layout


@dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
        pool: the real training images by class, on `device`.
        network: makes randomly initialised networks.
        ipc: synthetic images per class.
        device: where images and networks live.
        chunk: images per pass through a network where passes can be split, None for whole batches.
        only: the classes whose images are learned, None for all. The images of the others stay as they began.
    """

    pool: ClassPool
    network: NetworkFactory
    ipc: int
    device: torch.device
    chunk: int | None = None
    only: tuple[int, ...] | None = None

    @property
    def spec(self) -> ImageSpec:
        return self.pool.spec

    @property
    def classes(self) -> Sequence[int]:
        """The classes to learn, ascending."""
        return range(self.spec.num_classes) if self.only is None else self.only

    def forward_only(self, images: Tensor) -> Tensor:
        """`images` in the layout in which the task's network is fastest without a backward pass."""
        return forward_layout(images) if self.network.any_layout else images

    def labels(self, c: int, count: int) -> Tensor:
        """int64 (count,), all `c`, on the device."""
        return torch.full((count,), c, dtype=torch.long, device=self.device)

    def pair(
        self,
        synthetic: Pixels,
        c: int,
        real_batch: int,
        augmentation: SiameseAugmentation,
        rng: Rng,
        scheme: str = "siamese",
    ) -> tuple[Tensor, Tensor]:
        """Real (up to `real_batch`, C, H, W) and all synthetic images (ipc, C, H, W) of class `c`, transformed.

        `scheme` says which of them are, see `augment_pair`. `rng` is that of the step.
        """
        real = self.pool.sample(c, real_batch, rng.fork("real batch", c))
        return augment_pair(augmentation, real, synthetic.of_class(c), rng.fork("augmentation", c), scheme)

    def new_network(self, rng: Rng) -> nn.Module:
        """A network with random weights, in training mode, on the device."""
        return self.network.build(self.spec, rng).to(self.device).train()


@dataclass(frozen=True)
class State:
    """Everything that changes while a method runs, and therefore everything a checkpoint holds.

    Attributes:
        synthetic: what is learned.
        optimizer: steps `synthetic.learnable()`.
        network: the network of the current step.
        step: updates of the synthetic set made so far.
        given: what `start` made beside these and no step changes, such as a pool of trained networks. It is in no
            checkpoint: `start` makes it again when a run is resumed.
    """

    synthetic: Pixels
    optimizer: torch.optim.Optimizer
    network: nn.Module
    step: int = 0
    given: Any = None

    def next(self, network: nn.Module) -> State:
        """The state after one more step, to be continued with `network`."""
        return replace(self, network=network, step=self.step + 1)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, sharing memory with it."""
        tensors = {f"synthetic.{i}": t.detach() for i, t in enumerate(self.synthetic.learnable())}
        for i, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": t for name, t in slots.items() if isinstance(t, Tensor)}
        return tensors | {f"network.{name}": t for name, t in self.network.state_dict().items()}

    def restored(self, tensors: dict[str, Tensor], step: int) -> State:
        """This state (a fresh one of the same run) with its tensors replaced by those of a checkpoint.

        Raises:
            BadFile: names or shapes are not those of this run.
        """
        groups: dict[str, dict[str, Tensor]] = {"synthetic": {}, "optimizer": {}, "network": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            if group not in groups:
                raise BadFile(f"the checkpoint holds {name!r}, which is not part of a run's state")
            groups[group][rest] = tensor
        try:
            with torch.no_grad():
                for i, learnable in enumerate(self.synthetic.learnable()):
                    learnable.copy_(groups["synthetic"][str(i)])
            self.network.load_state_dict(groups["network"])
            self._restore_optimizer(groups["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise BadFile("the checkpoint belongs to another run: its tensors do not fit this one") from error
        return replace(self, step=step)

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})


@dataclass(frozen=True)
class Preparation:
    """What `Method.start` needs and the cache lacks: made piece by piece before it, and shared by runs.

    Attributes:
        piece: what a piece is called, such as "network".
        missing: a name for each that is missing, the same in all runs that share it.
        work: of one piece, in images that go through one training step.
        make: makes the piece of that number in `missing`, and keeps it.
        without: a method whose steps cost the same and need none of this, for estimates.
    """

    piece: str
    missing: tuple[str, ...]
    work: float
    make: Callable[[int], None]
    without: Method


class Method(Protocol):
    """The contract. See `condensery.methods.dm` for the shortest example.

    Attributes:
        name: what the command line calls it.
        summary: one line with the citation, for `condense methods`.

    A method whose classes share nothing but networks that it never trains says so with a class variable
    `separable = True`: its classes can then be learned apart, each to the same result (`require_separable`).

    One whose `start` needs long work that runs share has a method `preparation(task, rng) -> Preparation | None`, where
    `rng` is that of `start`. It is done before, where it can be seen, estimated and interrupted.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def steps(self, ipc: int) -> int:
        """How many updates of the synthetic set the publication makes."""
        ...

    def check(self, task: Task) -> list[str]:
        """What a user should know about these settings on this task, a line each (interpolated values, say).

        Raises:
            BadInput: the method cannot work on this task.
        """
        ...

    def start(self, task: Task, rng: Rng) -> State:
        """The learnables, their optimiser and the first network."""
        ...

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        """The terms of the objective at this step; their sum is minimised with respect to the learnables."""
        ...

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        """Train the network on the synthetic set or draw the next one; count the step."""
        ...


def require_separable(method: Method, task: Task) -> None:
    """Refuse to learn some classes without the others where that would change the result.

    Raises:
        BadInput: the method's classes depend on each other, or the network mixes them.
    """
    if not getattr(method, "separable", False):
        raise BadInput(
            f"the classes of {method.name} cannot be learned apart, since its networks are trained on all of them: "
            "leave out --shards, or choose dm"
        )
    if mixes_samples(task.new_network(Rng(0))):
        raise BadInput(
            f"batch norm in {task.network.name} mixes the classes, so they cannot be learned apart: "
            "leave out --shards, or choose another norm, such as norm=instance"
        )
