"""Which layers mix the images of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from condensery.models import resolve
from condensery.models.batch_norm import batch_norms, mixes_samples
from condensery.records import ImageSpec
from condensery.rng import Rng

SPEC = ImageSpec(3, 16, 16, ("a", "b"), (0.0,) * 3, (1.0,) * 3)


class Own(nn.BatchNorm2d):
    """A user's own kind."""


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(3),
        nn.BatchNorm3d(3),
        nn.SyncBatchNorm(3),
        nn.LazyBatchNorm2d(),
        Own(3),
    ],
)
def test_batch_norm_mixes_in_training_mode_only(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Sequential(layer), nn.ReLU())
    assert batch_norms(network) == [layer] and mixes_samples(network)
    assert not mixes_samples(network.eval())


@pytest.mark.parametrize("layer", [nn.InstanceNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(3), nn.Dropout()])
def test_other_layers_do_not_mix(layer: nn.Module) -> None:
    assert batch_norms(layer) == [] and not mixes_samples(layer)


def test_a_lazy_layer_is_found_before_and_after_it_becomes_another() -> None:
    layer = nn.LazyBatchNorm2d()
    assert mixes_samples(layer)
    layer(torch.zeros(2, 3, 4, 4))
    assert type(layer) is nn.BatchNorm2d and mixes_samples(layer)


@pytest.mark.parametrize(
    ("name", "count"), [("convnet", 0), ("convnet+norm=batch", 3), ("vgg11+norm=batch", 8)]
)
def test_networks(name: str, count: int) -> None:
    assert len(batch_norms(resolve(name).build(SPEC, Rng(0)))) == count
