"""IT-GAN: the codes of a generator that stays as it was pretrained are learned, a baseline.

Bo Zhao and Hakan Bilen, "Synthesizing Informative Training Samples with GAN", arXiv 2204.07513, as Zhang et al. (arXiv
2309.07698, section 4.5) take it for their comparison: a code for each image, no relations between images.

Differences from the paper:

1. Their generator knows no classes; ours gets what stands for them.
2. The first codes are drawn. Theirs are found by inverting the generator on real images, as --inversion-steps does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from condensery.methods.generative import Generative


@dataclass(frozen=True)
class ITGAN(Generative):
    """Learn a code for each image of a fixed generator."""

    name: ClassVar[str] = "it-gan"
    summary: ClassVar[str] = "codes of a fixed generator are learned (Zhao & Bilen, 2022): a baseline"

    codebook: str = "own"
    """"own": a code for each image, or "shared" by all classes"""
    generator: str = "fixed"
    """"fixed" after its pretraining, or "learned" with the codes"""
    intra_weight: float = 0.0
    """of the diversity within classes"""
    inter_weight: float = 0.0
    """of the margin between classes"""
