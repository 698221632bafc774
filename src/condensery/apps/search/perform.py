"""One job of a search: make a proxy set, or train one network on a proxy or on the whole training part."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from condensery import artifact
from condensery.apps.training import batches_of, train_steps
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data import ClassPool, PoolImages
from condensery.jobs.images import recalled
from condensery.jobs.job import Done, Job, Result, perform_by
from condensery.jobs.work import SET
from condensery.methods import METHODS
from condensery.models.registry import resolve
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, LabeledImages
from condensery.rng import Rng
from condensery.runner import condense
from condensery.selection import select
from condensery.synthetic.stored import with_pixels
from condensery.text import percent
from condensery.training import Images, TensorImages, accuracy_on_test, train_network
from condensery.training_recipe import Recipe

MAKE, TRAIN, WHOLE = "make", "train", "whole"


def perform(job: Job) -> Result:
    """Do a job."""
    return perform_by(_KINDS[job.kind], job)


def divided(images: ImageData, share: float, seed: int) -> tuple[ImageData, ImageData]:
    """The training part without a share of each class; and with that share, for validation, as its test part.

    The test images stay with the first.
    """
    rng, labels = Rng(seed).fork("validation"), images.train.labels
    held = [
        members[rng.fork(c).numpy().permutation(len(members))[: round(share * len(members))]]
        for c in range(images.spec.num_classes)
        for members in [np.flatnonzero(labels == c)]
    ]
    is_held = np.zeros(len(labels), dtype=bool)
    is_held[np.concatenate(held)] = True

    def of(chosen: np.ndarray) -> LabeledImages:
        return LabeledImages(np.asarray(images.train.pixels[chosen]), labels[chosen])

    words = f"{images.fingerprint} without {share} drawn by {seed}"
    fingerprint = hashlib.sha256(words.encode()).hexdigest()
    train = replace(images, train=of(~is_held), fingerprint=fingerprint, found=None, options={})
    return train, replace(train, test=of(is_held))


def parts(record: dict[str, Any]) -> tuple[ImageData, ImageData]:
    """See `divided`; those of the last record are kept."""
    return _parts(json.dumps(record["data"]), record["validation"], record["seed"])


@lru_cache(maxsize=1)
def _parts(data: str, share: float, seed: int) -> tuple[ImageData, ImageData]:
    return divided(recalled(json.loads(data)), share, seed)


def _make(job: Job) -> Done:
    """The set of a proxy."""
    record, entry, folder = job.record, job.record["proxy"], Path(job.folder)
    images, _ = parts(record)
    settings = {
        "ipc": record["ipc"],
        "seed": record["seed"],
        "device": job.device,
        "out": folder,
        **entry["fields"],
    }
    settings["network"] = record["network"]
    if entry["method"] in METHODS:
        made = condense(images, entry["method"], steps=entry["steps"], resume=True, **settings)
    else:
        made = select(images, entry["method"], **settings)
    kept = made.hard() if entry["method"] in METHODS else with_pixels(made)  # real images are 8-bit pixels
    size = {"images": kept.stored_images, "bytes": kept.bytes}
    document = {**size, "made_in": made.record.get("seconds", 0.0), "line": f"{len(made)} images"}
    return document, {SET: (folder / SET).read_bytes()}


def _train(job: Job) -> Done:
    """Validation accuracies of a network trained on a proxy, or stopped early on the whole training part."""
    record, device = job.record, pick_device(job.device)
    images, validation = parts(record)
    factory, recipe = resolve(record["candidate"]), _recipe(record, "epochs")
    proxy: Images | None = None
    if SET in job.files:
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / SET).write_bytes(job.files[SET])
            made = artifact.load(Path(place) / SET)
        proxy = TensorImages(made.images.to(device).contiguous(), made.labels.to(device))
    pool = ClassPool(images.train, images.spec, device)
    augment = SiameseAugmentation(resolve_strategy(record["augmentation"], images.spec.flip))
    found = []
    for k in range(record["repeats"]):
        rng = Rng(record["seed"]).fork("network", k)
        if proxy is not None:
            network = train_network(factory, images.spec, proxy, recipe, rng, augment=augment, device=device)
        else:
            network = factory.build(images.spec, rng.fork("network")).to(device)
            batches = batches_of(PoolImages(pool), recipe, record["steps"], rng)
            train_steps(network, batches, recipe, rng, _loss, augment=augment, device=device)
        found.append(accuracy_on_test(network, factory, validation, device))
    return {"validation": found, "line": f"{percent(float(np.mean(found)))} %"}, {}


def _whole(job: Job) -> Done:
    """Validation and test accuracies of a network trained on the whole training part."""
    record, device = job.record, pick_device(job.device)
    images, validation = parts(record)
    factory, recipe = resolve(record["candidate"]), _recipe(record, "whole_epochs")
    pool = ClassPool(images.train, images.spec, device)
    augment = SiameseAugmentation(resolve_strategy(record["augmentation"], images.spec.flip))
    found, tested = [], []
    for k in range(record["repeats"]):
        rng = Rng(record["seed"]).fork("whole", k)
        network = train_network(
            factory, images.spec, PoolImages(pool), recipe, rng, augment=augment, device=device
        )
        found.append(accuracy_on_test(network, factory, validation, device))
        tested.append(accuracy_on_test(network, factory, images, device))
    line = f"{percent(float(np.mean(found)))} %"
    return {"validation": found, "test": tested, "line": line, **environment(device)}, {}


def _recipe(record: dict[str, Any], epochs: str) -> Recipe:
    """Learning rate .01, a tenth of it in the second half."""
    number = record[epochs]
    return Recipe(number, batch_size=record["batch_size"], decay_after=(math.ceil(number / 2),))


def _loss(images: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, labels, reduction="sum")


_KINDS: dict[str, Callable[[Job], Done]] = {MAKE: _make, TRAIN: _train, WHOLE: _whole}
