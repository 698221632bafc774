"""Which images of a pair are transformed while condensing, and whether alike: the schemes of DSA's ablation.

Source: thesis Table 4.4 (Zhao & Bilen, ICML 2021, Table 4). In its letters, A_w is a transformation that real and
synthetic images share, A one that is not shared and that each image draws for itself:

    row     real  synthetic  here
    Ours    A_w   A_w        "siamese"
    A, B    -     -          no augmentation at all
    C       A     -          "real"
    D       -     A          "synthetic"
    E       A_w   A_w        "siamese"
    F       A     A          "independent"

The rows B to F and Ours differ further in what the evaluation does, which no method decides: A and E are evaluated
without a transformation, the others with A.
"""

from __future__ import annotations

from torch import Tensor

from condensery.augment.siamese import SiameseAugmentation
from condensery.errors import BadInput, did_you_mean
from condensery.rng import Rng

SCHEMES = ("siamese", "independent", "real", "synthetic")


def require_scheme(name: str) -> None:
    """Raises BadInput unless `name` is one of `SCHEMES`."""
    if name not in SCHEMES:
        raise BadInput(
            f"unknown augmentation scheme {name!r}; choose one of {', '.join(SCHEMES)}{did_you_mean(name, SCHEMES)}"
        )


def augment_pair(
    augmentation: SiameseAugmentation, real: Tensor, synthetic: Tensor, rng: Rng, scheme: str = "siamese"
) -> tuple[Tensor, Tensor]:
    """Real (N, C, H, W) and synthetic images (M, C, H, W) of a class, transformed by a scheme.

    "siamese" draws one group with one parameter and applies it to all images of both. "independent" draws a group
    for each side and a parameter for each image; "real" and "synthetic" do so for that side and leave the other.
    """
    if scheme == "siamese":
        parameters = augmentation.sample(rng, (real.shape[2], real.shape[3]))
        return augmentation.apply(real, parameters), augmentation.apply(synthetic, parameters)
    if scheme in ("independent", "real"):
        real = augmentation(real, rng.fork("real"))
    if scheme in ("independent", "synthetic"):
        synthetic = augmentation(synthetic, rng.fork("synthetic"))
    return real, synthetic
