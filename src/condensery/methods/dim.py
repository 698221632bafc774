"""DiM: a generator is learned whose images are drawn anew at each step, a baseline.

Kai Wang, Jianyang Gu, Daquan Zhou, Zheng Zhu, Wei Jiang and Yang You, "DiM: Distilling Dataset into Generative Model",
arXiv 2303.04707: a conditional GAN first, then logits of images from random noise are matched with those of real ones
by networks of a pool.

Differences from the paper:

1. Their networks are trained on new draws in every epoch. Here a set holds one draw, so that its number of images is
   what it says; `condense draw` makes others.
2. There is no pool of trained networks: the feature network is that of `generative`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from condensery.methods.generative import Generative


@dataclass(frozen=True)
class DiM(Generative):
    """Match logits of images that a generator makes of random codes, drawn anew at each step."""

    name: ClassVar[str] = "dim"
    summary: ClassVar[str] = (
        "logits of images drawn from a generator are matched (Wang et al., 2023): a baseline"
    )

    codes: str = "gaussian"
    """"gaussian" or "truncated" at 0.7: codes drawn anew at each step; or a "learned" codebook"""
    condition: str = "one-hot"
    """what stands for a class: "one-hot", "class" (a teacher's mean features) or "online" (the feature network's)"""
    codebook: str = "own"
    """"own": a code for each image of the set, or "shared" by all classes"""
    matched: str = "logits"
    """what is matched with the means of real images: "logits", or "layers": the features of each layer"""
    judged: str = "pixels"
    """what the discriminator sees: "pixels" or "features" """
    match_weight: float = 1.0
    """of matching"""
    intra_weight: float = 0.0
    """of the diversity within classes"""
    inter_weight: float = 0.0
    """of the margin between classes"""
