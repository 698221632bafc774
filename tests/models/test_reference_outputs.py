"""At the authors' image sizes our networks are theirs: parameter shapes in order, counts, and outputs.

`reference.json` holds counts and logits of the authors' own networks; its "origin" says which code, at which
commit, on which torch. Weights and inputs come from formulas, so it needs no generator and no large file.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condensery.models import resolve
from condensery.records import ImageSpec
from condensery.rng import Rng

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
CASES = [pytest.param(case, id=f"{case['name']}-{case['channels']}") for case in REFERENCE["networks"]]


def wave(*shape: int, shift: int = 0) -> Tensor:
    """Numbers in -1..1 that anyone can make again: no generator involved."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin((k * k % 997) * 0.37 + shift).view(shape)


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """Give the i-th parameter a wave: matrices in He's scale, vectors around 1."""
    for i, parameter in enumerate(network.parameters()):
        values = wave(*parameter.shape, shift=i)
        fan_in = parameter[0].numel()
        parameter.copy_(values * math.sqrt(2 / fan_in) if parameter.ndim in (2, 4) else 1 + 0.3 * values)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_network(case: dict[str, Any]) -> None:
    channels, side = case["channels"], case["side"]
    names = tuple("0123456789")
    spec = ImageSpec(channels, side, side, names, (0.0,) * channels, (1.0,) * channels)
    factory = resolve(case["name"])
    assert factory.parameter_count(spec) == case["parameters"]
    if case["logits"] is None:
        return
    network = factory.build(spec, Rng(0)).double()
    fill(network)
    with torch.no_grad():
        logits = network(wave(2, channels, side, side))
    torch.testing.assert_close(
        logits, torch.tensor(case["logits"], dtype=torch.float64), atol=1e-5, rtol=1e-5
    )


def test_alexcifarnet_has_the_parameters_of_its_paper() -> None:
    """64 filters of 5x5 twice, then 4096-384-192-10, each with biases; counted by hand."""
    spec = ImageSpec(3, 32, 32, tuple("0123456789"), (0.0,) * 3, (1.0,) * 3)
    by_hand = (75 + 1) * 64 + (1600 + 1) * 64 + (4096 + 1) * 384 + (384 + 1) * 192 + (192 + 1) * 10
    assert resolve("alexcifarnet").parameter_count(spec) == by_hand == 1_756_426
