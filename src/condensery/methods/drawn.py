"""Baselines that train a generative model on the real images and draw a few images from it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.method import Preparation, State, Task
from condensery.pretraining import GenerativeModel, GeneratorTraining
from condensery.pretraining.plain_generator import PlainGenerator
from condensery.rng import Rng
from condensery.synthetic import Pixels
from condensery.synthetic.pixels import class_labels

_SMALLEST = 4  # pixels, doubled twice from one


@dataclass(frozen=True)
class DrawnImages:
    """Draw images from a conditional generative model, as the thesis does for its comparisons.

    Classes are given as one-hot vectors. Abstract: a method adds `model`, `codes` and `cost`, and overrides nothing.
    """

    cost: ClassVar[float]
    """of a training step of the model, see `GeneratorTraining`"""

    training_steps: int = 10_000
    """updates of the generative model; kept in the cache"""
    training_batch: int = 128
    """real images of all classes in an update"""
    code_length: int = 100
    """random numbers that an image is made of, beside its class"""
    generator_width: int = 64
    """channels of the generator's layers, and filters of the first block of what is trained with it"""

    def steps(self, ipc: int) -> int:
        return 1

    def check(self, task: Task) -> list[str]:
        height, width = task.spec.shape[1:]
        if min(height, width) < _SMALLEST:
            raise BadInput(
                f"the generator doubles its sides twice and the images have {height}x{width}: they need {_SMALLEST} "
                "pixels"
            )
        return [
            f"a generative model is first trained for {self.training_steps:,} steps, unless the cache has it"
        ]

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        return self._training(task, rng).preparation(without=None)

    def start(self, task: Task, rng: Rng) -> State:
        networks = self._training(task, rng).trained().networks
        generator = networks.get("average", networks["generator"]).eval()
        labels = class_labels(task.counts, task.device)
        codes = self.codes(len(labels), rng.fork("images")).to(task.device)
        with torch.no_grad():
            parts = zip(codes.split(_PASS), _one_hot(task)[labels].split(_PASS), strict=True)
            images = torch.cat([generator(*part) for part in parts])
        return State(Pixels(images.requires_grad_(), task.counts), {}, {})

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return iter(())  # nothing is minimised

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next()

    @abstractmethod
    def model(self, task: Task, generator: nn.Module, classes: Tensor, rng: Rng) -> GenerativeModel:
        """A new model around `generator`; `classes` (classes, classes) are the one-hot vectors."""

    @abstractmethod
    def codes(self, count: int, rng: Rng) -> Tensor:
        """Codes that images are made of, (count, code_length), on the CPU."""

    def _training(self, task: Task, rng: Rng) -> GeneratorTraining:
        rng = rng.fork("generative model")

        def make() -> GenerativeModel:
            classes = _one_hot(task)
            with rng.fork("generator").seeded():
                generator = PlainGenerator(
                    self.code_length, len(classes), self.generator_width, task.spec.shape
                )
            return self.model(task, generator.to(task.device), classes, rng)

        words = (type(self).__name__, json.dumps(asdict(self)))
        return GeneratorTraining(
            task,
            make,
            steps=self.training_steps,
            batch=self.training_batch,
            words=words,
            rng=rng,
            width=self.generator_width,
            cost=self.cost,
        )


_PASS = 64


def _one_hot(task: Task) -> Tensor:
    return torch.eye(task.spec.num_classes, device=task.device)
