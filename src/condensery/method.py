"""The contract that every condensation method keeps.

A method is a frozen dataclass whose fields are its hyper-parameters. It owns no loop: the driver calls
`terms`, backpropagates each term as it arrives, steps the optimiser once and calls `advance`. All that changes
lives in `State`, so checkpoint, resume, time limit and progress exist once, in the driver.

More than pixels:

* Other things to learn: a class with `images`, `labels`, `of_class(c)`, `leaves()` and `content()`, which is saved
  (`synthetic/learned.py`); `Pixels` has learned labels too (`targets`), `Tiles` stores tiles.
* Several networks, optimisers, counters: `State(synthetic, optimizers, networks, memory)` takes each by name, and a
  checkpoint has all. The driver steps `optimizers["synthetic"]`, the method its own.
* Long work before the first step that runs share: `preparation`. It is announced, estimated, interruptible and cached.
* An own recipe: `Content.training`, a `Recipe` as JSON, with rates for each step and an order of the images if asked.
  Where it is learned (`methods/dd.py`, `ld.py`, `mtt.py`), `training(task, state)` gives it.
* Differentiated training: `matching/unrolling.py` takes any number of steps with the graph of one in memory.
* Networks along their training: `pretraining.trained_experts` keeps them at every epoch.
* Nothing to minimise (`methods/patches.py`): `terms` yields nothing, and `advance` does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, augment_pair
from condensery.budgets import Counts, average
from condensery.data.pool import ClassPool
from condensery.errors import BadFile, BadInput
from condensery.models.precision import FLOAT32
from condensery.models.registry import NetworkFactory, resolve
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.synthetic import Learned, Pixels, Start, Tiles, start_images, start_notes
from condensery.team import ALONE, Team
from condensery.training import default_chunk, forward_layout


@dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
        pool: the real training images by class, on `device`.
        network: makes randomly initialised networks.
        counts: synthetic images of each class.
        device: where images and networks live.
        chunk: images per pass through a network where passes can be split, None for whole batches.
        steps: updates that the run makes in all, for schedules; None for as many as the publication.
        start: another set that the images start from; None where they start as the method says.
        team: the processes that share each step.
    """

    pool: ClassPool
    network: NetworkFactory
    counts: Counts
    device: torch.device
    chunk: int | None = None
    steps: int | None = None
    start: Start | None = None
    team: Team = ALONE

    @staticmethod
    def on(
        images: ImageData,
        network: str,
        counts: Counts,
        device: torch.device,
        precision: str = FLOAT32,
        steps: int | None = None,
        start: Start | None = None,
    ) -> Task:
        """A task on loaded images. Raises BadInput if there is no such network or precision."""
        pool, factory = ClassPool(images.train, images.spec, device), resolve(network).computing_in(precision)
        return Task(pool, factory, counts, device, default_chunk(device, precision), steps, start)

    @property
    def spec(self) -> ImageSpec:
        return self.pool.spec

    @property
    def classes(self) -> range:
        """0, 1, ..., the number of classes - 1."""
        return range(self.spec.num_classes)

    @property
    def ipc(self) -> int:
        """Images per class where all have equally many, otherwise the mean, rounded: what published settings go by."""
        return average(self.counts)

    def start_images(self, init: str, factor: int, rng: Rng) -> Pixels | Tiles:
        """What is learned, as it begins; see `condensery.synthetic.start_images`."""
        return start_images(self.pool, self.counts, init, factor, rng, self.start)

    def start_notes(self, init: str, factor: int, learns_labels: bool = False) -> list[str]:
        """Lines on how the images begin, for `check`. Raises BadInput where they cannot."""
        return start_notes(self.pool, self.counts, init, factor, self.start, learns_labels)

    def forward_only(self, images: Tensor) -> Tensor:
        """`images` in the layout in which the task's network is fastest without a backward pass."""
        return forward_layout(images) if self.network.any_layout else images

    def labels(self, c: int, count: int) -> Tensor:
        """int64 (count,), all `c`, on the device."""
        return torch.full((count,), c, dtype=torch.long, device=self.device)

    def real_batch(self, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Real images of all classes, drawn without replacement, and their classes: (B, C, H, W), int64 (B,).

        At most `count`. `rng` is that of the step.
        """
        total = len(self.pool.labels)
        drawn = rng.fork("real batch").numpy().choice(total, min(count, total), replace=False)
        return self.pool.images_at(drawn), torch.from_numpy(self.pool.labels[drawn]).to(
            self.device, non_blocking=True
        )

    def even_batch(self, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Real images, equally many of each class where it has them, and their classes: (B, C, H, W), int64 (B,).

        `count` in all, rounded down, but one of each at least. `rng` is that of the step.
        """
        each = max(1, count // self.spec.num_classes)
        drawn = [self.pool.sample(c, each, rng.fork("real batch", c)) for c in self.classes]
        labels = [self.labels(c, len(images)) for c, images in zip(self.classes, drawn, strict=True)]
        return torch.cat(drawn), torch.cat(labels)

    def pair(
        self,
        synthetic: Learned,
        c: int,
        real_batch: int,
        augmentation: SiameseAugmentation,
        rng: Rng,
        scheme: str = "siamese",
        smaller: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Real (up to `real_batch`, C, H, W) and all synthetic images (counts[c], C, H, W) of class `c`, transformed.

        `scheme` says which of them are, see `augment_pair`; before that, averaging makes both `smaller` times smaller
        along each side. `rng` is that of the step.
        """
        real, ours = self.pool.sample(c, real_batch, rng.fork("real batch", c)), synthetic.of_class(c)
        if smaller > 1:
            real, ours = F.avg_pool2d(real, smaller), F.avg_pool2d(ours, smaller)
        return augment_pair(augmentation, real, ours, rng.fork("augmentation", c), scheme)

    def networks(self, others: str) -> list[NetworkFactory]:
        """The task's network, and `others` for methods that want several: names joined by commas, in its precision.

        Raises:
            BadInput: an unknown name, or a network of the user's own: its code would run because a file names it.
        """
        names = [name.strip() for name in others.split(",")] if others else []
        if own := [name for name in names if ":" in name]:
            raise BadInput(
                f"{own[0]!r} is a network of your own: name it with --network, one for all updates"
            )
        return [self.network, *(resolve(name).computing_in(self.network.precision) for name in names)]

    def new_network(self, rng: Rng, network: NetworkFactory | None = None) -> nn.Module:
        """A network with random weights, in training mode, on the device; the task's unless another is given."""
        built = (network or self.network).build(self.spec, rng)
        return built.to(self.device, non_blocking=True).train()


@dataclass(frozen=True)
class State:
    """Everything that changes while a method runs. A checkpoint holds all of it but `prepared`.

    Attributes:
        synthetic: what is learned.
        optimizers: by name. The driver steps "synthetic", which steps the leaves of `synthetic`; a method steps others,
            such as those of networks that it trains along the way.
        networks: by name. Most methods have one, called "network".
        memory: other tensors by name, such as counters and running means.
        step: updates of the synthetic set made so far.
        prepared: what `start` found beside these and no step changes, such as a pool of trained networks: `start` finds
            it again when a run is resumed.
    """

    synthetic: Learned
    optimizers: Mapping[str, torch.optim.Optimizer]
    networks: Mapping[str, nn.Module]
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = 0
    prepared: Any = None

    @staticmethod
    def of(
        synthetic: Learned, optimizer: torch.optim.Optimizer, network: nn.Module, prepared: Any = None
    ) -> State:
        """The first state of a method with one optimiser and one network."""
        return State(synthetic, {"synthetic": optimizer}, {"network": network}, prepared=prepared)

    @property
    def network(self) -> nn.Module:
        """The one network of a method that has one."""
        return self.networks["network"]

    def leaves(self) -> list[Tensor]:
        """What the driver's optimiser steps."""
        return list(self.synthetic.leaves().values())

    def next(self, network: nn.Module | None = None, memory: Mapping[str, Tensor] | None = None) -> State:
        """The state after one more step, to be continued with another network or memory if they are given."""
        return replace(
            self,
            networks=self.networks if network is None else {**self.networks, "network": network},
            memory=self.memory if memory is None else {**self.memory, **memory},
            step=self.step + 1,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name, sharing memory with it."""
        tensors = {f"synthetic.{name}": leaf.detach() for name, leaf in self.synthetic.leaves().items()}
        for name, optimizer in self.optimizers.items():
            for i, slots in optimizer.state_dict()["state"].items():
                kept = {slot: t for slot, t in slots.items() if isinstance(t, Tensor)}
                tensors |= {f"optimizers.{name}.{i}.{slot}": t for slot, t in kept.items()}
        for name, network in self.networks.items():
            tensors |= {f"networks.{name}.{key}": t for key, t in network.state_dict().items()}
        return tensors | {f"memory.{name}": t for name, t in self.memory.items()}

    def restored(self, tensors: Mapping[str, Tensor], step: int) -> State:
        """This state (a fresh one of the same run) with its tensors replaced by those of a checkpoint.

        Raises:
            BadFile: names or shapes are not those of this run, or a value is not finite.
        """
        tensors = {_present_name(name): tensor for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise BadFile(
                    f"the checkpoint holds values of {name} that are not finite: it was damaged, or the training of a "
                    "network diverged; start a new run with another --out"
                )
        try:
            with torch.no_grad():
                for name, leaf in self.synthetic.leaves().items():
                    leaf.copy_(tensors.pop(f"synthetic.{name}"))
            for name, network in self.networks.items():
                network.load_state_dict(_take(tensors, f"networks.{name}."))
            for name, optimizer in self.optimizers.items():
                _restore_optimizer(optimizer, _take(tensors, f"optimizers.{name}."))
            memory = {name: tensors.pop(f"memory.{name}").to(old.device) for name, old in self.memory.items()}
        except (KeyError, RuntimeError, ValueError) as error:
            raise BadFile("the checkpoint belongs to another run: its tensors do not fit this one") from error
        if tensors:
            raise BadFile(f"the checkpoint holds {min(tensors)!r}, which is not part of a run's state")
        return replace(self, memory=memory, step=step)


def _present_name(name: str) -> str:
    """The name of a tensor in a checkpoint of version 0.1, which had one leaf, one optimiser and one network."""
    for old, new in (
        ("synthetic.0", "synthetic.images"),
        ("optimizer.", "optimizers.synthetic."),
        ("network.", "networks.network."),
    ):
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _take(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove the tensors whose names begin with `prefix`, and give them without it."""
    found = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in found}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, slot = name.partition(".")
        slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})


@dataclass(frozen=True)
class Preparation:
    """What `Method.start` needs and the cache lacks: made piece by piece before it, and shared by runs.

    Attributes:
        piece: what a piece is called, such as "network".
        missing: a name for each that is missing, the same in all runs that share it.
        work: of one piece, in images that go through one training step of `network`.
        make: makes the piece of that number in `missing`, and keeps it.
        without: for estimates, a method whose steps cost the same and need none of this; None where the steps take no
            time beside it.
        network: by name; "" for the task's.
        joined: the preparations that this one consists of, if several; then their work and networks count.
    """

    piece: str
    missing: tuple[str, ...]
    work: float
    make: Callable[[int], object]
    without: Method | None
    network: str = ""
    joined: tuple[Preparation, ...] = ()

    @property
    def parts(self) -> tuple[Preparation, ...]:
        """Those that this one consists of, or itself alone."""
        return self.joined or (self,)


def images_per_class(fields: Mapping[str, Any], ipc: int) -> int:
    """Images that networks are trained on where `ipc` are stored: a method's field `factor` makes tiles of each."""
    return ipc * fields.get("factor", 1) ** 2


class Method(Protocol):
    """The contract. See `condensery.methods.dm` for the shortest example.

    Attributes:
        name: what the command line calls it.
        summary: one line with the citation, for `condense methods`.

    Fields that a method got after it was published here stand in a class variable `later_fields`: while they are at
    their defaults, they change no key of a comparison that was begun before.

    One whose steps depend on how many there are in all (`Task.steps`), such as by a learning rate that falls until the
    last one, says so in a class variable `scheduled = True`: a run of it is resumed with the same number only.

    One that several processes can share says in a class variable `splits` how. "terms": each yields the terms of its
    `task.team.share(...)` alone, and their gradients are added up. "passes": networks are asked through
    `task.team.features(...)`, which gives all processes the same.

    One whose `start` needs long work that runs share has a method `preparation(task, rng) -> Preparation | None`, where
    `rng` is that of `start`. It is done before, where it can be seen, estimated and interrupted.

    One whose set wants to be trained in a way that is learned, such as with learned rates, has a method
    `training(task, state) -> dict`, which takes the place of the set's own, see `Content.training`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def steps(self, ipc: int) -> int:
        """How many updates of the synthetic set the publication makes for `ipc` images per class."""
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
