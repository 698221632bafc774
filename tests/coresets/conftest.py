"""Selectors in sizes that take a moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from condensery import SELECTORS, ImageData, SelectionTask, Selector, get_selector
from condensery.budgets import Counts, in_record
from condensery.data import ClassPool
from condensery.models.registry import resolve

NETWORK = "convnet+width=8+depth=1"
QUICK = {"epochs": 2, "networks": 2, "selections": 3}

SelectionTaskMaker = Callable[..., SelectionTask]


def quick_settings(name: str, **more: Any) -> dict[str, Any]:
    """Settings that make a selector fast, as far as it has such fields."""
    known = {f.name for f in fields(SELECTORS[name])}  # type: ignore[arg-type]
    return {key: value for key, value in {**QUICK, **more}.items() if key in known}


@pytest.fixture(scope="session")
def quick() -> Callable[..., Selector]:
    """quick(name, field=value, ...): a fast selector; fields that it lacks are left out."""

    def make(name: str, **more: Any) -> Selector:
        return get_selector(name, **quick_settings(name, **more))

    return make


@pytest.fixture(scope="session")
def make_selection(tiny: ImageData) -> SelectionTaskMaker:
    """make_selection(ipc=, data=, network=, worked=) -> SelectionTask on the CPU."""

    def make(
        ipc: int | Counts = 4, data: ImageData = tiny, network: str = NETWORK, **more: Any
    ) -> SelectionTask:
        device, counts = torch.device("cpu"), in_record(ipc, data.spec.num_classes)
        pool = ClassPool(data.train, data.spec, device)
        return SelectionTask(pool, resolve(network), counts, device, 16, **more)

    return make


@pytest.fixture
def real_mnist() -> Path:
    """Real MNIST, where it is at hand."""
    folder = Path(os.environ.get("CONDENSERY_DATA", "/nowhere")) / "mnist"
    if not folder.is_dir():
        pytest.skip("CONDENSERY_DATA names no folder with mnist in it")
    return folder
