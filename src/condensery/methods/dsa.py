"""DSA: dataset condensation with differentiable Siamese augmentation.

Bo Zhao and Hakan Bilen, ICML 2021, arXiv 2102.08259; thesis chapter 4, Algorithm 2, equation 4.3. DSA is DC in which
real and synthetic images of a class go through the same random transformation before their gradients are matched, and
the network is trained on transformed images. Authors' code: VICO-UoE/DatasetCondensation, 53f63a6.

Fields: as in DC, but augmentation from thesis section 4.4.4 and scheme from Table 4.4.

Differences from the paper and from the authors' code:

1. Parameters. They seed the global generator from the clock for every class, equally for both calls, and overwrite a
   vector with its first element, which newer PyTorch refuses. We draw once, on the CPU, and apply twice.
2. Grid of `scale` and `rotate`. `align_corners` is true, as in DM (condense methods dm).
3. Saturation and contrast of `SiameseAugmentation` are the width and half the width of an interval around 1, theirs a
   factor and a term of a uniform number. At the defaults the distributions are equal. Strengths are no fields.
4. Images that are not square. Their rotation shears them; ours keeps the aspect ratio.
5. CIFAR-100 at 50 images per class. The published 42.8 has loops of 10 and 10 (appendix B.1): the preset `paper` sets
   them. The default is (50, 10).
6. Not the augmentation of later papers. IDC and its relatives always apply flip, color and cutout, and one of the
   others.
7. Schemes. Their code has the Siamese one only. Ours for the rest: the network trains on transformed images in all
   schemes but `real`; with several groups, `independent` draws one for each side; rows (A) and (E) of Table 4.4 train
   for the 301 epochs of plain images.
8. Batch norm. The real images that set the statistics are not transformed.
9. All of DC hold too (condense methods dc).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from condensery.method import State, Task
from condensery.methods.dc import PUBLISHED_LOOPS
from condensery.methods.gradient_matching import GradientMatching
from condensery.rng import Rng


@dataclass(frozen=True)
class DSA(GradientMatching):
    """Match gradients under the same random transformation of real and synthetic images."""

    name: ClassVar[str] = "dsa"
    summary: ClassVar[str] = "DC with Siamese augmentation (Zhao & Bilen, 2021)"
    published_loops: ClassVar = PUBLISHED_LOOPS

    augmentation: str = "auto"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""

    def check(self, task: Task) -> list[str]:
        return self.notes(task)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return self.distance_of_each_class(task, state, rng)
