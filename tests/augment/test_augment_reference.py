"""The operations give what the authors' functions give with the same parameters.

`reference.json` holds the outputs of the authors' own code, run once with its random draws recorded; its
"origin" says which code, at which commit, and on which torch.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from condensery.augment import ops, per_image

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
CASES = [pytest.param(case, id=f"{case['op']}-{case['shape'][-1]}") for case in REFERENCE["cases"]]
OPERATIONS = {
    "brightness": ops.brightness,
    "saturation": ops.saturation,
    "contrast": ops.contrast,
    "crop": ops.crop,
    "cutout": lambda x, rows, columns: ops.cutout(x, rows, columns, _half(x)),
    "flip": ops.flip,
    "scale": lambda images, **p: ops.scale(images, **p, align_corners=False),
    "rotate": lambda images, **p: ops.rotate(images, **p, align_corners=False),
    "dc_crop": lambda x, rows, columns: per_image.shift(x, rows, columns, x.mean(dim=(0, 2, 3))),
    "dc_scale": per_image.stretch,
    "dc_rotate": lambda x, degrees: per_image.turn(x, degrees, float(x.mean(dim=(0, 2, 3)).mean())),
}


def wave(*shape: int) -> Tensor:
    """Images that anyone can make again: no generator involved."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin((k * k % 997) * 0.37).view(shape).float()


def _half(images: Tensor) -> tuple[int, int]:
    return int(images.shape[2] * 0.5 + 0.5), int(images.shape[3] * 0.5 + 0.5)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_code(case: dict[str, Any]) -> None:
    parameters = {name: torch.tensor(values) for name, values in case["parameters"].items()}
    result = OPERATIONS[case["op"]](wave(*case["shape"]), **parameters)
    expected = torch.tensor(case["expected"]).view(case["shape"])
    torch.testing.assert_close(result, expected, atol=2e-5, rtol=0)


def test_every_operation_has_a_reference() -> None:
    assert {case["op"] for case in REFERENCE["cases"]} == set(OPERATIONS)
