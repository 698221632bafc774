"""One job of a study of continual learning: one memory and one order, step by step, with every learner."""

from __future__ import annotations

import copy
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from condensery import artifact
from condensery.apps.continual import memories
from condensery.apps.continual.learners import LEARNERS, Learner, Lesson
from condensery.apps.continual.memories import Memory
from condensery.apps.continual.streams import Step, Stream, stream_of
from condensery.apps.study import say
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data import ClassPool, PoolImages, batches
from condensery.jobs.job import Done, Job, Result, perform_by
from condensery.models.registry import resolve
from condensery.provenance import environment, pick_device
from condensery.records import LabeledImages
from condensery.rng import Rng
from condensery.text import percent
from condensery.training import Augment, default_chunk, logits_of

_STATE = "state.safetensors"
_PASS = 256  # test images at a time


@dataclass
class Progress:
    """What a job has so far; a file holds it after every step.

    Attributes:
        networks: of learners that go on with theirs, by name.
        accuracies: by learner, a row for each step with a fraction for each task so far.
        seconds: by learner, of learning each step.
        memory: images, bytes and seconds of each step's memory.
    """

    networks: dict[str, nn.Module]
    accuracies: dict[str, list[list[float]]]
    seconds: dict[str, list[float]]
    memory: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        tensors = {
            f"{name}.{key}": tensor.cpu()
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }
        artifact.write_tensors(path, tensors or {"none": torch.zeros(1)}, self.document)

    @property
    def document(self) -> dict[str, Any]:
        return {"accuracies": self.accuracies, "seconds_of": self.seconds, "memory": self.memory}

    @property
    def line(self) -> str:
        """The mean accuracy of each learner after the last step, for people."""
        last = {label: float(np.mean(rows[-1])) for label, rows in self.accuracies.items()}
        return ", ".join(f"{label} {percent(mean)} %" for label, mean in last.items())

    def restore(self, path: Path, fresh: nn.Module, device: torch.device) -> None:
        """Take up what `save` wrote; `fresh` is a network of the kind that is kept."""
        tensors, header = artifact.read_tensors(path)
        for name in header["accuracies"]:
            its = {k.partition(".")[2]: t for k, t in tensors.items() if k.partition(".")[0] == name}
            if its:
                fresh.load_state_dict(its)
                self.networks[name] = copy.deepcopy(fresh).to(device)
        self.accuracies, self.seconds, self.memory = (
            header[k] for k in ("accuracies", "seconds_of", "memory")
        )


def perform(job: Job) -> Result:
    """Do a job. Whatever is asked in vain is said in the result."""
    return perform_by(_learn, job)


def _learn(job: Job) -> Done:
    record, device = job.record, pick_device(job.device)
    how = (record["scenario"], record["tasks"], record["order"], record["shuffled"], record["seed"])
    stream, folder = stream_of(record["data"], *how), Path(job.folder)
    students = {label: LEARNERS[kind](**settings) for label, (kind, settings) in record["learners"].items()}
    rng, factory = Rng(record["seed"]), resolve(record["network"])
    progress = Progress({}, {label: [] for label in students}, {label: [] for label in students})
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _STATE).exists():
        progress.restore(folder / _STATE, factory.build(stream.spec, rng), device)
    held: list[Memory] = []
    for t, step in enumerate(stream.steps):
        draws = rng.fork("step", t)
        place = folder / f"memory{t + 1}"
        kept = memories.make(record, step, device, place, draws)
        if t >= len(progress.memory):
            lesson = _lesson(stream, t, held, kept, record, device, draws)
            _take(lesson, students, stream, t, progress, record, draws)
            progress.memory.append({"images": kept.stored, "bytes": kept.bytes, "seconds": kept.seconds})
            progress.save(folder / _STATE)
            say(f"{job.label}: step {t + 1} of {len(stream.steps)} ({step.name}): {progress.line}")
        held.append(kept)
    (folder / _STATE).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        shutil.rmtree(folder)
    names = [step.name for step in stream.steps]
    return {**progress.document, "steps": names, "line": progress.line, **environment(device)}, {}


def _lesson(
    stream: Stream,
    t: int,
    held: list[Memory],
    kept: Memory,
    record: dict[str, Any],
    device: torch.device,
    rng: Rng,
) -> Lesson:
    step = stream.steps[t]
    new = PoolImages(ClassPool(step.images.train, step.images.spec, device))
    new.labels = step.classes[new.labels]
    return Lesson(
        new=new,
        arrival=memories.arrival(len(step.images.train), rng),
        old=memories.joined(held),
        kept=kept.images,
        rivals=stream.rivals(t),
        heads=stream.heads(t),
        renewed=stream.scenario != "domain" and t > 0,
        network=resolve(record["network"]),
        spec=stream.spec,
        augment=augmenter(record["augmentation"], stream),
        device=device,
    )


def augmenter(strategy: str, stream: Stream) -> Augment | None:
    """Siamese groups joined by "_", "auto" or "none"; mirror images only where every set allows them."""
    found = SiameseAugmentation(resolve_strategy(strategy, stream.spec.flip))
    return found if found.groups else None


def _take(
    lesson: Lesson,
    students: dict[str, Learner],
    stream: Stream,
    t: int,
    progress: Progress,
    record: dict[str, Any],
    rng: Rng,
) -> None:
    """Every learner takes the step, and is tested on all tasks so far."""
    for label, student in students.items():
        started = time.perf_counter()
        # Draws of learners of one kind are the same, so that they differ by their settings alone.
        network = student.learn(progress.networks.get(label), lesson, rng.fork("learner", student.name))
        progress.seconds[label].append(round(time.perf_counter() - started, 2))
        if student.continues:
            progress.networks[label] = network
        rows = [
            accuracy(network, stream.steps[k], k, lesson, record["test_images"], record["seed"])
            for k in range(t + 1)
        ]
        progress.accuracies[label].append(rows)


def accuracy(
    network: nn.Module, step: Step, number: int, lesson: Lesson, limit: int | None, seed: int
) -> float:
    """The fraction of a task's test images, of `limit` drawn ones, that are told from their rivals."""
    test, rivals = step.images.test, lesson.rivals.to(lesson.device)
    if limit is not None and limit < len(test):
        chosen = np.sort(Rng(seed).fork("test images", number).numpy().permutation(len(test))[:limit])
        test = LabeledImages(np.asarray(test.pixels[chosen]), test.labels[chosen])
    correct = 0
    for images, labels in batches(test, step.images.spec, lesson.device, _PASS):
        correct += _correct(network, images, step.classes.to(labels.device)[labels], rivals)
    return correct / len(test)


def _correct(network: nn.Module, images: Tensor, labels: Tensor, rivals: Tensor) -> int:
    with torch.no_grad():
        logits = logits_of(network, images, default_chunk(images.device))
    return int((logits.masked_fill(~rivals[labels], -torch.inf).argmax(1) == labels).sum())
