"""Small real images for applications: four classes of digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from condensery import ImageData, LabeledImages

CLASSES, TRAIN, TEST = 4, 10, 6


@pytest.fixture(scope="session")
def four(digits: ImageData) -> ImageData:
    """Digits 0 to 3: 10 training and 6 test images of each."""

    def few(part: LabeledImages, count: int) -> LabeledImages:
        keep = np.concatenate([np.flatnonzero(part.labels == c)[:count] for c in range(CLASSES)])
        return LabeledImages(part.pixels[keep], part.labels[keep])

    spec = replace(digits.spec, class_names=digits.spec.class_names[:CLASSES])
    train, test = few(digits.train, TRAIN), few(digits.test, TEST)
    return ImageData(spec, train, test, "four digits", "f" * 64)


@pytest.fixture(scope="session")
def inverted(four: ImageData) -> ImageData:
    """The same, black on white."""

    def negative(part: LabeledImages) -> LabeledImages:
        return replace(part, pixels=255 - part.pixels)

    return replace(
        four, train=negative(four.train), test=negative(four.test), source="negatives", fingerprint="e" * 64
    )
