"""Sampling per class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from condensery.data import ClassPool, PoolImages, batches, load
from condensery.errors import BadInput
from condensery.records import ImageSpec, LabeledImages
from condensery.rng import Rng

CPU = torch.device("cpu")
SPEC = ImageSpec(3, 8, 9, ("a", "b", "c"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


@pytest.fixture
def images() -> LabeledImages:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 8, 9, 3)).astype(np.uint8)
    pixels.flags.writeable = False
    return LabeledImages(pixels, rng.permutation(np.repeat([0, 1, 2], [5, 10, 15])))


def by_hand(pixels: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> normalised (N, C, H, W) in float64."""
    scaled = (pixels / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    return scaled.transpose(0, 3, 1, 2)


def test_counts(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    assert pool.counts == [5, 10, 15] and pool.spec is SPEC and pool.device == CPU


@pytest.mark.parametrize("channels", [1, 3])
def test_the_layout_of_pixels_changes_nothing(channels: int, images: LabeledImages) -> None:
    """Equal values laid out otherwise would be rounded otherwise by a convolution."""
    spec = ImageSpec(channels, 8, 9, ("a", "b", "c"), SPEC.mean[:channels], SPEC.std[:channels])
    pixels = np.ascontiguousarray(images.pixels[..., :channels])
    usual = ClassPool(LabeledImages(pixels, images.labels), spec, CPU).images_at(np.arange(30))
    turned = (np.asfortranarray(pixels), pixels[:, ::-1].copy()[:, ::-1], np.repeat(pixels, 2, 2)[:, :, ::2])
    for other in turned:
        assert not other.flags["C_CONTIGUOUS"]
        found = LabeledImages(other, images.labels)
        drawn = ClassPool(found, spec, CPU).images_at(np.arange(30))
        (tested, _), *_ = batches(found, spec, CPU, 30)
        for one in (drawn, tested):
            assert torch.equal(one, usual) and one.stride() == usual.stride()


def test_draw_is_unique_of_the_right_class_and_repeatable(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    for c in range(3):
        drawn = pool.sample_indices(c, 4, Rng(1).fork("real batch", c))
        assert len(set(drawn.tolist())) == 4
        assert (images.labels[drawn] == c).all()
        np.testing.assert_array_equal(drawn, pool.sample_indices(c, 4, Rng(1).fork("real batch", c)))
    draws = {tuple(pool.sample_indices(2, 4, Rng(seed))) for seed in range(20)}
    assert len(draws) > 15


def test_draw_is_a_permutation_of_the_class(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    everything = pool.sample_indices(0, 256, Rng(3))
    assert sorted(everything.tolist()) == np.flatnonzero(images.labels == 0).tolist()
    np.testing.assert_array_equal(pool.sample_indices(0, 2, Rng(3)), everything[:2])


def test_sample_is_normalised_once_and_contiguous(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    sample = pool.sample(1, 6, Rng(2))
    assert sample.shape == (6, 3, 8, 9) and sample.dtype == torch.float32 and sample.is_contiguous()
    expected = by_hand(images.pixels[pool.sample_indices(1, 6, Rng(2))])
    np.testing.assert_allclose(sample.numpy(), expected, rtol=0, atol=1e-6)
    assert torch.equal(pool.images_at(pool.sample_indices(1, 6, Rng(2))), sample)
    assert torch.equal(SPEC.denormalise(sample).mul(255).round().byte(), pool_pixels(images, pool, 6))


def pool_pixels(images: LabeledImages, pool: ClassPool, n: int) -> torch.Tensor:
    return torch.from_numpy(images.pixels[pool.sample_indices(1, n, Rng(2))].transpose(0, 3, 1, 2).copy())


def test_global_generators_are_left_alone(images: LabeledImages) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    ClassPool(images, SPEC, CPU).sample(0, 2, Rng(0))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # type: ignore[index]


def test_requests_that_cannot_be_met(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    for c, n in ((3, 1), (-1, 1), (0, 0)):
        with pytest.raises(BadInput):
            pool.sample(c, n, Rng(0))
    only_a = LabeledImages(images.pixels[images.labels == 0], images.labels[images.labels == 0])
    with pytest.raises(BadInput, match="no image of class 2"):
        ClassPool(only_a, SPEC, CPU).sample(2, 1, Rng(0))


def test_pixels_of_another_shape_are_refused(images: LabeledImages) -> None:
    other = LabeledImages(images.pixels[:, :, :8], images.labels)
    with pytest.raises(BadInput, match="pixels have shape"):
        ClassPool(other, SPEC, CPU)


def test_batches_are_everything_in_order(images: LabeledImages) -> None:
    parts = list(batches(images, SPEC, CPU, 8))
    assert [len(labels) for _, labels in parts] == [8, 8, 8, 6]
    assert torch.cat([labels for _, labels in parts]).tolist() == images.labels.tolist()
    expected = by_hand(images.pixels)
    np.testing.assert_allclose(torch.cat([x for x, _ in parts]).numpy(), expected, rtol=0, atol=1e-6)
    assert parts[0][1].dtype == torch.int64


def test_sampling_from_the_memory_map_of_a_real_set() -> None:
    data = load("digits")
    pool = ClassPool(data.train, data.spec, CPU)
    assert sum(pool.counts) == len(data.train)
    assert pool.sample(3, 10, Rng(0)).shape == (10, 1, 8, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_images(images: LabeledImages) -> None:
    here, there = ClassPool(images, SPEC, CPU), ClassPool(images, SPEC, torch.device("cuda"))
    torch.testing.assert_close(there.sample(1, 6, Rng(2)).cpu(), here.sample(1, 6, Rng(2)))


def test_pool_images_are_the_chosen_ones(images: LabeledImages) -> None:
    pool = ClassPool(images, SPEC, CPU)
    chosen = PoolImages(pool, pool.members(1))
    found, labels = chosen.batch(torch.tensor([2, 0]))
    indices = np.flatnonzero(images.labels == 1)[[2, 0]]
    assert len(chosen) == 10 and chosen.bytes == 10 * (8 * 9 * 3 + 8)
    assert torch.equal(found, pool.images_at(indices)) and labels.tolist() == [1, 1]
    everything = PoolImages(pool)
    assert everything.bytes == images.pixels.nbytes + images.labels.nbytes
    assert torch.equal(everything.batch(torch.arange(30))[1], torch.from_numpy(images.labels))
