"""Which temperature, crops and patches suit labels of views, measured on held-out training images alone.

    python benchmarks/view_settings.py --data mnist --ipc 10 --epochs 100
    python benchmarks/view_settings.py --data mnist --ipc 1 --epochs 1000 --repeats 1 --tried batch_size=2+count=160

Random images of each class, or those of --set, get 30 views each, labelled by the default teacher, which sees neither
the held-out images nor the test images. A narrow ConvNet is trained on the views by their own recipe, and tested on the
held-out images. Settings are fields of the views, of their labels and of their recipe; stage=N takes the teacher after
its epoch N of teacher_epochs=M, and count=0+classes=X gives each image one label, X of it the class's, on which the
protocol quick trains.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import condensery
from condensery import (
    PROTOCOLS,
    ImageData,
    LabeledImages,
    LabelSettings,
    Rng,
    SyntheticSet,
    TeacherSettings,
    ViewSampling,
)
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.evaluation.protocols import SiameseGroups
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.teaching import Teacher, get_teacher, label_images
from condensery.training import TensorImages, ViewImages, accuracy_on_test, train_network
from condensery.training_recipe import own_recipe
from condensery.views import Views

HELD_OUT = 5000
TRIED = "defaults,temperature=1,temperature=8,smallest=0.8,smallest=0.5,patches=0,patches=0.5,batch_size=10"


def without_test(data: ImageData) -> ImageData:
    """The training images alone, some of them held out in place of the test images."""
    order = Rng(0).fork("held out").numpy().permutation(len(data.train))
    held_out = min(HELD_OUT, len(order) // 5)
    parts = [np.sort(part) for part in (order[held_out:], order[:held_out])]
    train, test = (LabeledImages(data.train.pixels[part], data.train.labels[part]) for part in parts)
    return replace(data, train=train, test=test)


def accuracy(
    chosen: SyntheticSet, data: ImageData, teacher: Teacher, tried: dict[str, str], k: int, asked: Any
) -> float:
    """Of one network on the held-out images, after training on `chosen` with the teacher's labels."""
    moved = tried.get("augmentation")
    changes = {name: float(value) for name, value in tried.items() if name != "augmentation"}
    rng, network = Rng(k).fork("view settings"), resolve(asked.network)
    device = pick_device(asked.device)
    view_fields = {name: changes.pop(name) for name in ("smallest", "patches") if name in changes}
    count, of_class = int(changes.pop("count", 30)), changes.pop("classes", 0.0)
    views = ViewSampling(count, **view_fields) if count else None
    settings = LabelSettings(views, temperature=changes.pop("temperature", None), augmentation=moved, seed=k)
    made = label_images(chosen, teacher, settings)
    if isinstance(made.targets, Tensor):
        protocol, classes = PROTOCOLS["quick"], F.one_hot(made.labels, data.spec.num_classes)
        labels = of_class * classes + (1 - of_class) * made.targets
        images = TensorImages(made.images.to(device), labels.to(device))
        recipe, augment = protocol.recipe(data.spec, network), protocol.augment(data.spec, network)
    else:
        assert isinstance(made.targets, Views)
        given = {name: int(v) if name == "batch_size" else v for name, v in changes.items()}
        own, groups = own_recipe(made.training)
        recipe = replace(own, epochs=asked.epochs, **given)
        images = ViewImages(made.images.to(device), made.targets.to(device), recipe.temperature)
        augment = SiameseGroups(groups)(data.spec, network)
    trained = train_network(network, data.spec, images, recipe, rng, augment=augment, device=device)
    return accuracy_on_test(trained, network, data, device)


def main() -> None:
    parser = argparse.ArgumentParser(description="Settings of views, tried on held-out training images")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--set", help="a set in place of random images")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--network", default="convnet+width=32")
    parser.add_argument("--teacher", help="its architecture, in place of the default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--tried", default=TRIED, help="settings, joined by commas; each changes some fields, with +"
    )
    asked = parser.parse_args()
    data = without_test(condensery.load_images(asked.data))
    pool = ClassPool(data.train, data.spec, torch.device("cpu"))
    for name in asked.tried.split(","):
        changes = {key: value for key, _, value in (c.partition("=") for c in name.split("+")) if value}
        epochs, stage = (changes.pop(field, None) for field in ("teacher_epochs", "stage"))
        settings = TeacherSettings(
            asked.teacher, None if epochs is None else int(epochs), None if stage is None else int(stage)
        )
        teacher = get_teacher(data, settings, pick_device(asked.device))
        found, started = [], time.process_time()
        for k in range(asked.repeats):
            drawn = Rng(k).fork("view settings").fork("images")
            chosen = condensery.load(asked.set) if asked.set else random_selection(pool, asked.ipc, drawn)
            found.append(accuracy(chosen, data, teacher, changes, k, asked))
        print(
            f"{name:32} {100 * np.mean(found):.2f} ± {100 * np.std(found):.2f} (n = {len(found)}), "
            f"{time.process_time() - started:.0f} s; teacher {100 * teacher.accuracy:.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
