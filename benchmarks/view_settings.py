"""Which temperature, crops and patches suit labels of views, measured on held-out training images alone.

    python benchmarks/view_settings.py --data mnist --ipc 10 --epochs 100

Random images of each class get 30 views each, labelled by the default teacher, which sees neither the held-out images
nor the test images. A narrow ConvNet is trained on the views by their own recipe, and tested on the held-out images.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import condensery
from condensery import ImageData, LabeledImages, LabelSettings, Rng, TeacherSettings, ViewSampling
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.models.registry import resolve
from condensery.teaching import get_teacher, label_images
from condensery.training import ViewImages, accuracy_on_test, train_network
from condensery.training_recipe import own_recipe
from condensery.views import Views

HELD_OUT = 5000
TRIED = "defaults,temperature=1,temperature=4,smallest=0.8,smallest=0.25,patches=0,patches=0.5,batch_size=10"
CPU = torch.device("cpu")


def without_test(data: ImageData) -> ImageData:
    """The training images alone, some of them held out in place of the test images."""
    order = Rng(0).fork("held out").numpy().permutation(len(data.train))
    held_out = min(HELD_OUT, len(order) // 5)
    parts = [np.sort(part) for part in (order[held_out:], order[:held_out])]
    train, test = (LabeledImages(data.train.pixels[part], data.train.labels[part]) for part in parts)
    return replace(data, train=train, test=test)


def main() -> None:
    parser = argparse.ArgumentParser(description="Settings of views, tried on held-out training images")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--network", default="convnet+width=32")
    parser.add_argument(
        "--tried", default=TRIED, help="settings, joined by commas; each changes some fields, with +"
    )
    options = parser.parse_args()
    data, factory = without_test(condensery.load_images(options.data)), resolve(options.network)
    teacher = get_teacher(data, TeacherSettings(), CPU)
    print(
        f"teacher {teacher.name}: {teacher.accuracy:.4f} of {len(data.test)} held-out images, {teacher.seconds:.0f} s"
    )
    pool = ClassPool(data.train, data.spec, CPU)
    usual = ViewSampling()
    for name in options.tried.split(","):
        changes = {
            key: float(value) for key, _, value in (c.partition("=") for c in name.split("+")) if value
        }
        views = {key: changes.pop(key) for key in ("smallest", "patches") if key in changes}
        settings = LabelSettings(replace(usual, **views), temperature=changes.pop("temperature", None))
        recipe_changes = {k: int(v) if k == "batch_size" else v for k, v in changes.items()}
        found, started = [], time.process_time()
        for k in range(options.repeats):
            rng = Rng(k).fork("view settings")
            chosen = random_selection(pool, options.ipc, rng.fork("images"))
            made = label_images(chosen, teacher, replace(settings, seed=k))
            assert isinstance(made.targets, Views)
            recipe = replace(own_recipe(made.training)[0], epochs=options.epochs, **recipe_changes)
            images = ViewImages(made.images, made.targets, recipe.temperature)
            network = train_network(factory, data.spec, images, recipe, rng, augment=None, device=CPU)
            found.append(accuracy_on_test(network, factory, data, CPU))
        mean, spread = np.mean(found), np.std(found)
        seconds = time.process_time() - started
        print(
            f"{name:32} {100 * mean:.2f} ± {100 * spread:.2f} (n = {len(found)}), {seconds:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()
