"""The bundled digits: 1,797 images of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from condensery.data.listing import Item, Origin, Part, Reading


def digits_origin() -> Origin:
    """They have ten classes and no test part."""

    def read() -> Reading:
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), values were 0..16
        labels = bunch.target.astype(np.int64)
        part = Part(
            "", labels, len(labels), lambda: (Item(f"digit {i}", image) for i, image in enumerate(pixels)),
            tuple(str(name) for name in range(10)),
        )  # fmt: skip
        return Reading("scikit-learn's digits", (part,), stamp="digits", values="0 to 16")

    return Origin(("digits",), read)
