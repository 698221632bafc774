"""Fixtures that every test may use: small real data, a small network, tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import condensery
from condensery import ImageData, Method, Task
from condensery.budgets import Counts, in_record
from condensery.data import ClassPool
from condensery.memory import keep_freed_memory
from condensery.models.registry import resolve

keep_freed_memory()  # as the command does
torch.set_num_threads(1)  # tensors are small here, and threads that share them wait for each other
os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("benchmarks", "examples")]

SMALL_NETWORK = "convnet+width=8+depth=2"
TINY_CLASSES, TINY_TRAIN, TINY_TEST = 3, 12, 8  # classes; images of each
QUICK_FIELDS = {"real_batch": 8, "outer_loop": 3, "inner_loop": 2, "iterations": 4}
QUICK_FIELDS |= {"experts": 1, "max_start_epoch": 1, "syn_steps": 3}  # of methods that match trajectories
QUICK_FIELDS |= {"gan_steps": 3, "generator_width": 8, "code_length": 8, "network_updates": 3}
QUICK_FIELDS |= {"condition": "one-hot", "training_steps": 3, "training_batch": 16}

TaskMaker = Callable[..., Task]


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test, in which no network is kept that another test has trained."""
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of this test session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDENSERY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def digits(_own_cache: None) -> ImageData:
    """Scikit-learn's 1,797 digits of 8x8 pixels."""
    return condensery.load_images("digits")


@pytest.fixture(scope="session")
def tiny_file(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of a few real digits: 3 classes, 12 training and 8 test images of each."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
    arrays = {}
    for part, images, count in (("train", digits.train, TINY_TRAIN), ("test", digits.test, TINY_TEST)):
        keep = np.concatenate([np.flatnonzero(images.labels == c)[:count] for c in range(TINY_CLASSES)])
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images.pixels[keep], images.labels[keep]
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_file: Path) -> ImageData:
    """The images of `tiny_file`."""
    return condensery.load_images(tiny_file)


@pytest.fixture(scope="session")
def make_task(tiny: ImageData) -> TaskMaker:
    """make_task(network=, ipc=, chunk=, data=) -> Task on the CPU."""

    def make(
        network: str = SMALL_NETWORK,
        ipc: int | Counts = 2,
        chunk: int | None = 4,
        data: ImageData = tiny,
    ) -> Task:
        device, counts = torch.device("cpu"), in_record(ipc, data.spec.num_classes)
        return Task(ClassPool(data.train, data.spec, device), resolve(network), counts, device, chunk)

    return make


@pytest.fixture(scope="session")
def quick_fields() -> Callable[..., dict[str, Any]]:
    """quick_fields(method, field=value, ...): settings that make a method fast, as far as it has such fields."""

    def pick(name: str, **more: Any) -> dict[str, Any]:
        known = {f.name for f in fields(condensery.METHODS[name])}  # type: ignore[arg-type]
        return {key: value for key, value in {**QUICK_FIELDS, **more}.items() if key in known}

    return pick


@pytest.fixture(scope="session")
def quick_method(quick_fields: Callable[..., dict[str, Any]]) -> Callable[..., Method]:
    """quick_method(name, field=value, ...): a fast instance; fields that the method lacks are left out."""

    def make(name: str, **more: Any) -> Method:
        return condensery.get_method(name, **quick_fields(name, **more))

    return make
