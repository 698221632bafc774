"""Which networks are searched: every combination of some options of one network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from condensery.errors import BadInput
from condensery.models.registry import resolve
from condensery.records import ImageSpec
from condensery.rng import Rng

Grid = Mapping[str, Sequence[str | int]]

PAPER: Grid = {
    "width": (32, 64, 128, 256),
    "depth": (1, 2, 3, 4),
    "norm": ("none", "batch", "layer", "instance", "group"),
    "activation": ("sigmoid", "relu", "leakyrelu"),
    "pooling": ("none", "max", "avg"),
}
"""The 720 ConvNets of Zhao, Mopuri & Bilen, ICLR 2021, appendix."""


def candidates(
    network: str, grid: Grid, sample: int | None, seed: int, spec: ImageSpec
) -> tuple[list[str], dict[str, str]]:
    """Names of the networks of a grid, each once, and why others cannot be built for such images.

    Args:
        network: the name that options are added to.
        sample: draw so many of those that can be built; None takes all.

    Raises:
        BadInput: an option or a value that the network does not have, or no network can be built.
    """
    for option, values in grid.items():
        if not values:
            raise BadInput(f"the grid has no value for {option}: write {option}=A,B")
    found: list[str] = []
    left_out: dict[str, str] = {}
    for values in itertools.product(*grid.values()):
        name = network + "".join(f"+{option}={value}" for option, value in zip(grid, values, strict=True))
        factory = resolve(name)
        try:
            factory.parameter_count(spec)
            found.append(factory.canonical)
        except BadInput as error:
            left_out[name] = str(error)
    if not found:
        name, reason = next(iter(left_out.items()))
        raise BadInput(f"none of the {len(left_out)} networks of the grid can be built; {name}: {reason}")
    found = list(dict.fromkeys(found))
    if sample is not None:
        if len(found) == 1:
            raise BadInput(
                f"--sample {sample} of one network: give the grid more values, or leave --sample out"
            )
        if not 2 <= sample <= len(found):
            raise BadInput(f"--sample must be from 2 to the {len(found)} networks of the grid, not {sample}")
        chosen = sorted(Rng(seed).fork("sample").numpy().permutation(len(found))[:sample])
        found = [found[i] for i in chosen]
    return found, left_out
