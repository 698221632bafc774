"""The storage policy in the real library; skipped where it is not installed."""

from __future__ import annotations

import warnings

import pytest
import torch

from condensery import BadInput, ImageData

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("avalanche")
    from avalanche_replay import benchmark, main, shifted

    from condensery.apps.avalanche_memory import CondensedBuffer

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own


def memory(data: ImageData, size: int = 8, **settings) -> CondensedBuffer:
    asked = {"num_classes": 4, "mean": data.spec.mean, "std": data.spec.std, "flip": False, **settings}
    return CondensedBuffer(size, network="convnet+width=4+depth=1", **asked)


def test_real_images_come_back_bit_for_bit_and_condensed_ones_unclipped(four: ImageData) -> None:
    stream = benchmark(four, 2, seed=0).train_stream
    kept = memory(four, method="random")
    for experience in stream:
        kept.post_adapt(None, experience)
    assert len(kept.buffer) == 8 and sorted(kept.buffer.targets) == [0, 0, 1, 1, 2, 2, 3, 3]
    known = {tuple(image.flatten()) for image in four.train.pixels}
    for image, label, *_ in kept.buffer.eval():
        pixels = (four.spec.denormalise(image[None])[0] * 255).round()
        assert tuple(pixels.permute(1, 2, 0).flatten().to(torch.uint8).tolist()) in known
        assert isinstance(label, int)
    condensed = memory(four, method="dm", steps=3, real_batch=4, image_lr=50.0)
    condensed.post_adapt(None, stream[0])
    pixels = torch.cat([four.spec.denormalise(image[None]) for image, *_ in condensed.buffer.eval()])
    made = condensed.sets[0]
    torch.testing.assert_close(pixels, made.spec.denormalise(made.images))
    assert float(pixels.min()) < 0 or float(pixels.max()) > 1


def test_replayed_images_are_augmented_for_training_alone(four: ImageData) -> None:
    kept = memory(four, method="random", augment=shifted)
    kept.post_adapt(None, benchmark(four, 2, seed=0).train_stream[0])
    torch.manual_seed(0)
    drawn = [torch.stack([image for image, *_ in kept.buffer.train()]) for _ in range(2)]
    plain = [torch.stack([image for image, *_ in kept.buffer.eval()]) for _ in range(2)]
    assert not torch.equal(*drawn) and torch.equal(*plain)


def test_a_smaller_memory_keeps_the_first_of_each_class(four: ImageData) -> None:
    kept = memory(four, method="random")
    kept.post_adapt(None, benchmark(four, 2, seed=0).train_stream[0])
    before = [image for image, *_ in kept.buffer.eval()]
    kept.resize(None, 4)
    assert kept.max_size == 4
    after = [image for image, *_ in kept.buffer.eval()]
    assert [any(torch.equal(a, b) for a in after) for b in before] == [True, False, True, False]


def test_what_cannot_be_kept_is_refused(four: ImageData) -> None:
    with pytest.raises(BadInput, match="a memory of 3 images has no place for 4 classes"):
        memory(four, size=3)
    with pytest.raises(BadInput, match=r"the class \d alone cannot be condensed"):
        memory(four).post_adapt(None, benchmark(four, 4, seed=0).train_stream[0])


def test_the_example_learns_with_both_memories() -> None:
    words = (
        "--data digits --experiences 2 --memory 20 --methods random,dm --steps 2 "
        "--network convnet+width=4+depth=1 --batch 256 --seeds 0,1"
    )
    found = main(words.split())
    assert list(found) == ["reservoir", "random", "dm"]
    assert all(len(values) == 2 and 0 <= min(values) <= max(values) <= 1 for values in found.values())
