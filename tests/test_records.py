"""The value types refuse what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from condensery import BadInput, ImageSpec, LabeledImages, SyntheticSet

SPEC = ImageSpec(3, 4, 5, ("a", "b"), (0.5, 0.4, 0.3), (0.1, 0.2, 0.5), name="mine", flip=False)


def refused(match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"channels": 2}, "must have 1 or 3 channels, not 2"),
        ({"mean": (0.5,)}, "one value for each of 3 channels"),
        ({"std": (0.5, 0.5)}, "one value for each of 3 channels"),
        ({"std": (0.5, 0.5, 0.0)}, "std must be positive"),
        ({"std": (0.5, 0.5, -1.0)}, "std must be positive"),
        ({"std": (0.5, 0.5, float("nan"))}, "must be finite"),
        ({"mean": (0.5, 0.5, float("inf"))}, "must be finite"),
        ({"class_names": ("only",)}, "needs at least 2 classes"),
    ],
)
def test_spec_refuses(change: dict[str, Any], match: str) -> None:
    refused(match, lambda: replace(SPEC, **change))


def test_spec_json_round_trip() -> None:
    assert ImageSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC
    assert (SPEC.shape, SPEC.num_classes) == ((3, 4, 5), 2)


def test_normalise_by_hand() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    normalised = SPEC.normalise(pixels)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised[1, :, 3, 2], torch.tensor([-5.0, -1.0, 1.4]))
    torch.testing.assert_close(SPEC.denormalise(normalised), pixels / 255)


def test_denormalise_does_not_clip() -> None:
    far = SPEC.denormalise(torch.full((1, 3, 4, 5), 100.0))
    torch.testing.assert_close(far[0, :, 0, 0], torch.tensor([10.5, 20.4, 50.3]))


def test_labeled_images_refuse() -> None:
    pixels, labels = np.zeros((3, 4, 5, 1), np.uint8), np.zeros(3, np.int64)
    assert len(LabeledImages(pixels, labels)) == 3
    refused("pixels must be uint8", lambda: LabeledImages(pixels.astype(float), labels))
    refused("pixels must be uint8", lambda: LabeledImages(pixels[0], labels))
    refused("3 images but labels of shape", lambda: LabeledImages(pixels, labels[:2]))


IMAGES, LABELS = torch.zeros(4, 3, 4, 5), torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        (IMAGES[:, :1], LABELS, "expected"),
        (IMAGES[0], LABELS, "expected"),
        (IMAGES.double(), LABELS, "must be float32"),
        (IMAGES, LABELS.int(), "labels int64"),
        (IMAGES, LABELS[:3], "4 images but labels of shape"),
        (IMAGES[:0], LABELS[:0], "holds no image"),
        (IMAGES, LABELS + 1, "labels reach from 1 to 2, but there are 2 classes"),
        (IMAGES, LABELS - 1, "labels reach from -1 to 0"),
        (IMAGES / 0, LABELS, "not finite"),
    ],
)
def test_synthetic_set_refuses(images: torch.Tensor, labels: torch.Tensor, match: str) -> None:
    refused(match, lambda: SyntheticSet(images, labels, SPEC))


def test_synthetic_set_as_a_dataset() -> None:
    synthetic = SyntheticSet(IMAGES, LABELS, SPEC)
    assert len(synthetic) == len(synthetic.dataset()) == 4
    assert synthetic.bytes == 4 * 3 * 4 * 5 * 4 + 4 * 8
    batches = list(torch.utils.data.DataLoader(synthetic.dataset(), batch_size=3))
    assert [len(labels) for _, labels in batches] == [3, 1]
    image, label = synthetic.dataset()[2]
    assert image.shape == (3, 4, 5) and label.shape == () and int(label) == 1
