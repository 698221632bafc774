"""What every kind of learned thing keeps: `Learned`, its file, and its place in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import condensery
from condensery import ImageSpec, Rng, SyntheticSet
from condensery.method import State
from condensery.synthetic import Generated, GeneratorNetwork, Learned, Pixels, Tiles, decoded

SPEC = ImageSpec(1, 12, 12, ("a", "b", "c"), (0.5,), (0.25,))
COUNTS = (2, 3, 1)


def leaf(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=Rng(seed).torch()).requires_grad_()


def pixels() -> Pixels:
    return Pixels(leaf(6, 1, 12, 12), COUNTS)


def tiles() -> Tiles:
    return Tiles(leaf(6, 1, 12, 12), COUNTS, 2)


def generated() -> Generated:
    with Rng(0).seeded():
        weights = GeneratorNetwork(5, 6, 4, 2, (1, 12, 12)).eval().folded()
    learned = {name: tensor.detach().clone().requires_grad_() for name, tensor in weights.items()}
    embeddings = nn.Embedding.from_pretrained(leaf(3, 6, seed=2).detach())
    return Generated(leaf(3, 5), learned, embeddings, COUNTS, (12, 12), frozenset({"codes", *learned}))


KINDS: dict[str, Callable[[], Learned]] = {
    "pixels": pixels,
    "pixels and labels": lambda: replace(pixels(), targets=leaf(6, 3)),
    "pixels, labels and rates": lambda: replace(pixels(), targets=leaf(6, 3), rates=leaf(2)),
    "labels of images that stay": lambda: Pixels(leaf(6, 1, 12, 12).detach(), COUNTS, leaf(6, 3)),
    "tiles": tiles,
    "tiles and labels": lambda: replace(tiles(), targets=leaf(24, 3), training={"epochs": 2, "loss": "mse"}),
    "generator": generated,
}

pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_images_are_class_major_and_those_of_their_classes(kind: str) -> None:
    learned = KINDS[kind]()
    images, labels = learned.images, learned.labels
    assert images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.shape == (len(labels), *SPEC.shape)
    assert labels.tolist() == sorted(labels.tolist())
    for c, count in enumerate(COUNTS):
        torch.testing.assert_close(learned.of_class(c), images[labels == c])
        assert len(learned.of_class(c)) == count * len(labels) // sum(COUNTS)


def test_leaves_are_learned_and_reached(kind: str) -> None:
    learned = KINDS[kind]()
    leaves = learned.leaves()
    assert leaves and all(tensor.is_leaf and tensor.requires_grad for tensor in leaves.values())
    if learned.images.requires_grad:
        learned.images.square().sum().backward()
    for name, tensor in leaves.items():
        assert name in ("targets", "rates") or (tensor.grad is not None and bool(tensor.grad.any())), name


def test_a_class_has_no_gradient_in_what_only_others_have(kind: str) -> None:
    learned = KINDS[kind]()
    own = [tensor for name, tensor in learned.leaves().items() if name in ("images", "tiles")]
    if not own:
        pytest.skip("classes share what is learned, or images stay")
    learned.of_class(1).square().sum().backward()
    (stored,) = own
    assert stored.grad is not None
    others = torch.tensor([True, True, False, False, False, True])
    assert not stored.grad[others].any() and bool(stored.grad[~others].flatten(1).any(1).all())


def test_content_is_detached_and_makes_the_images_again(kind: str) -> None:
    learned = KINDS[kind]()
    content = learned.content()
    held = [content.images, content.labels, *content.stored.values()]
    held += [] if content.targets is None else [content.targets]
    assert not any(tensor.requires_grad for tensor in held)
    assert torch.equal(content.images, learned.images.detach())
    assert torch.equal(content.labels, learned.labels)
    if content.stored:
        assert torch.equal(decoded(content.stored, SPEC), content.images)
    before = content.images.clone()
    with torch.no_grad():
        for tensor in learned.leaves().values():
            tensor += 1
    assert torch.equal(content.images, before)


def test_its_file_holds_it_bit_for_bit(kind: str, tmp_path: Path) -> None:
    content = KINDS[kind]().content()
    training = content.training or ({} if content.targets is None else {"epochs": 2, "loss": "mse"})
    made = SyntheticSet(
        content.images, content.labels, SPEC, {}, content.targets, content.stored, training=training
    )
    condensery.save(made, tmp_path / "set.safetensors")
    again = condensery.load(tmp_path / "set.safetensors")
    assert torch.equal(again.images, content.images) and torch.equal(again.labels, content.labels)
    assert again.stored.keys() == content.stored.keys() and again.training == training
    assert content.targets is None or torch.equal(again.targets, content.targets)


def test_a_checkpoint_brings_back_leaves_and_momentum(kind: str) -> None:
    def begun() -> State:
        learned = KINDS[kind]()
        optimizer = torch.optim.SGD(learned.leaves().values(), lr=0.1, momentum=0.9)
        return State.of(learned, optimizer, nn.Linear(2, 2))

    def step(state: State) -> None:
        optimizer = state.optimizers["synthetic"]
        optimizer.zero_grad()
        sum(tensor.square().sum() for tensor in state.leaves()).backward()  # type: ignore[union-attr]
        optimizer.step()

    whole = begun()
    step(whole)
    kept = {name: tensor.clone() for name, tensor in whole.tensors().items()}
    step(whole)
    again = begun().restored(kept, 1)
    step(again)
    for name, tensor in whole.synthetic.leaves().items():
        assert torch.equal(tensor, again.synthetic.leaves()[name]), name
