"""The only place that makes randomness.

Every random draw is named: `rng.fork("real batch", step, c)` depends on the seed and on the names along
its path, never on what was drawn before. A resumed run therefore draws what an uninterrupted one draws,
no generator state has to be saved, and two parts of the code cannot disturb each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Rng:
    """A named source of randomness, immutable and cheap to copy.

    Attributes:
        seed: any integer.
        path: the names under which this source was forked, as one string.
    """

    seed: int
    path: str = ""

    def fork(self, *names: str | int) -> Rng:
        """The source below this one that is called `names`; the same names give the same source."""
        return Rng(self.seed, self.path + "".join(f"/{type(n).__name__[0]}:{n}" for n in names))

    @property
    def entropy(self) -> int:
        """A 63-bit number that depends on the seed and the whole path (SHA-256)."""
        digest = hashlib.sha256(f"{self.seed}{self.path}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1

    def torch(self) -> torch.Generator:
        """A fresh CPU generator; drawing on the CPU gives the same numbers whatever the device."""
        return torch.Generator().manual_seed(self.entropy)

    def numpy(self) -> np.random.Generator:
        """A fresh numpy generator."""
        return np.random.default_rng(self.entropy)

    @contextmanager
    def seeded(self, device: torch.device | None = None) -> Iterator[None]:
        """Run code that can only draw from torch's global generators, such as initialisers and dropout.

        The generators, the CPU's and that of `device` if it is a GPU, are put back when the block ends.
        """
        gpus = [device] if device is not None and device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            torch.default_generator.manual_seed(self.entropy)
            for gpu in gpus:
                with torch.cuda.device(gpu):
                    torch.cuda.manual_seed(self.entropy)
            yield
