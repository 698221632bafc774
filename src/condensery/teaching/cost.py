"""What a teacher costs, measured on one training step of a throw-away one."""

from __future__ import annotations

import time

import numpy as np
import torch

from condensery.data import ClassPool
from condensery.rng import Rng
from condensery.teaching.epochs import teacher_recipe
from condensery.teaching.own import Smaller
from condensery.teaching.settings import TeacherSettings
from condensery.training import train_step

_BATCH = 32


def seconds_per_image(pool: ClassPool, settings: TeacherSettings, device: torch.device) -> float:
    """Seconds of training for an image; a first step warms up."""
    network = settings.build(pool.spec, Rng(0)).to(device).train()
    optimizer = teacher_recipe(len(pool.labels), pool.spec).make_optimizer(network, 0.01)
    chosen = np.sort(Rng(0).fork("teacher cost").numpy().permutation(len(pool.labels))[:_BATCH])
    labels, began = torch.tensor(pool.labels[chosen], device=device), 0.0
    with Rng(0).seeded(device):
        for _ in range(2):
            began = time.perf_counter()
            images = pool.images_at(chosen)
            images = network.seen(images) if isinstance(network, Smaller) else images
            train_step(network, optimizer, images, labels, None)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / len(chosen)
