"""Norms of gradients: by hand on a linear network of zeros, and along the training that a record tells."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condensery import BadInput, ImageData, Rng, SyntheticSet
from condensery.diagnostics import magnitudes, norm

NETWORK = "convnet+width=8+depth=1"


class ZeroLinear(nn.Module):
    """Logits are 0 for every image."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * image_size[0] * image_size[1], num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def set_of(tiny: ImageData, **fields: Any) -> SyntheticSet:
    images = torch.randn(6, 1, 8, 8, generator=Rng(2).torch())
    return SyntheticSet(
        images, torch.arange(3).repeat_interleave(2), tiny.spec, {"method": "dc", "fields": fields}
    )


def test_norm_is_that_of_one_long_vector() -> None:
    assert norm([torch.tensor([3.0, 4.0]), torch.tensor([[12.0]])]) == pytest.approx(13.0)


def test_a_linear_network_of_zeros_by_hand(tiny: ImageData, make_task) -> None:
    """Probabilities p are 1/3. For class c the weights' gradient is (p - e_c) times the mean image m, the biases' is
    p - e_c, and |p - e_c|^2 = 4/9 + 1/9 + 1/9 = 2/3: the norm is sqrt(2/3 (|m|^2 + 1))."""

    def expected(images: Tensor) -> float:
        return math.sqrt(2 / 3 * (float(images.mean(0).square().sum()) + 1))

    synthetic, pool = set_of(tiny), make_task().pool
    found = magnitudes.measure(
        tiny, [synthetic], network="test_magnitudes:ZeroLinear", device="cpu", updates=1
    )
    (table,) = found["tables"]
    assert table["synthetic"] == [
        [pytest.approx(expected(synthetic.images[2 * c : 2 * c + 2])) for c in range(3)]
    ]
    assert table["real"] == [[pytest.approx(expected(pool.sample(c, 256, Rng(0)))) for c in range(3)]]
    assert found["real"] == {
        "mean": pytest.approx(sum(table["real"][0]) / 3),
        "std": found["real"]["std"],
        "n": 3,
    }


def test_the_network_is_trained_on_the_set_between_updates(tiny: ImageData) -> None:
    """Which the network then fits, while real images stay hard; and the set stays as it is."""
    synthetic = set_of(tiny, network_lr=0.3)
    before = synthetic.images.clone()
    found = magnitudes.measure(tiny, [synthetic], network=NETWORK, device="cpu", updates=3, epochs=20)
    (table,) = found["tables"]
    assert [len(row) for side in ("real", "synthetic") for row in table[side]] == [3] * 6
    assert sum(table["synthetic"][2]) < 0.5 * sum(table["synthetic"][0])
    assert sum(table["synthetic"][2]) < sum(table["real"][2])
    assert torch.equal(synthetic.images, before)
    assert found["synthetic"]["n"] == 9
    assert json.loads(json.dumps(found)) == found


def test_what_a_record_says_holds(tiny: ImageData) -> None:
    """Its augmentation (only of the synthetic side here), its loops; without a record those of DC."""

    def tables(**fields: Any) -> dict[str, Any]:
        return magnitudes.measure(tiny, [set_of(tiny, **fields)], network=NETWORK, device="cpu")["tables"][0]

    loops = {"outer_loop": 2, "inner_loop": 1}
    plain, flipped = tables(**loops), tables(augmentation="crop", scheme="synthetic", **loops)
    assert len(plain["real"]) == 2
    assert plain["real"][0] == flipped["real"][0]
    assert plain["synthetic"][0] != flipped["synthetic"][0]
    other_method = tables(weights="random", **loops)  # a field that gradient matching has not
    assert other_method == plain


def test_seeds_decide(tiny: ImageData) -> None:
    def real(seed: int) -> Any:
        return magnitudes.measure(tiny, [set_of(tiny)], network=NETWORK, seed=seed, device="cpu", updates=1)[
            "real"
        ]

    assert real(0) == real(0) != real(1)


def test_refusals(tiny: ImageData) -> None:
    with pytest.raises(BadInput, match="updates -1 and epochs 0 must be 0 or more"):
        magnitudes.measure(tiny, [set_of(tiny)], network=NETWORK, device="cpu", updates=-1)
    with pytest.raises(BadInput, match="no set to measure: give at least one"):
        magnitudes.measure(tiny, [], network=NETWORK, device="cpu")
