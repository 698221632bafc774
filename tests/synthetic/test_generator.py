"""A generator in place of images: shapes, batch norm made part of convolutions, the file, and files that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import condensery
from condensery import BadInput, ImageSpec, Rng, SyntheticSet
from condensery.synthetic import (
    Generated,
    GeneratorNetwork,
    decoded,
    default_blocks,
    drawn_anew,
    require_blocks,
)
from condensery.synthetic.generator import generate
from condensery.synthetic.low_resolution import enlarged_tiles

SPEC = ImageSpec(1, 12, 12, ("a", "b", "c"), (0.5,), (0.25,))


def trained_network(width: int = 4, blocks: int = 2, side: int = 12) -> GeneratorNetwork:
    """A generator whose batch norms have seen something."""
    with Rng(0).seeded():
        network = GeneratorNetwork(5, 6, width, blocks, (1, side, side))
        for norm in network.norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
        for _ in range(3):
            network(torch.randn(16, 5), torch.randn(16, 6))
    return network.eval()


def make(counts: tuple[int, ...] = (2, 3, 1), own: bool = False, factor: int = 1) -> Generated:
    weights = trained_network().folded()
    codes = torch.randn(sum(counts) if own else max(counts), 5, generator=Rng(1).torch())
    for tensor in (codes, *weights.values()):
        tensor.requires_grad_()
    embeddings = nn.Embedding.from_pretrained(torch.randn(3, 6, generator=Rng(2).torch()))
    return Generated(codes, weights, embeddings, counts, (12, 12), frozenset({"codes", *weights}), factor)


def as_set(synthetic: Generated) -> SyntheticSet:
    found = synthetic.content()
    return SyntheticSet(found.images, found.labels, SPEC, {"method": "generative"}, stored=found.stored)


@pytest.mark.parametrize(("side", "blocks"), [(8, 1), (16, 2), (28, 3), (32, 3), (64, 4), (96, 5)])
def test_three_blocks_for_32_pixels_and_four_for_64(side: int, blocks: int) -> None:
    assert default_blocks(side, side) == blocks


@pytest.mark.parametrize(
    ("shape", "blocks"), [((1, 28, 28), 3), ((3, 32, 32), 3), ((3, 64, 64), 4), ((3, 20, 31), 2)]
)
def test_sizes_and_layers(shape: tuple[int, int, int], blocks: int) -> None:
    network = GeneratorNetwork(5, 6, 4, blocks, shape)
    assert network(torch.zeros(2, 5), torch.zeros(2, 6)).shape == (2, *shape)
    assert len(network.convolutions) == len(network.norms) == 2 * blocks


def test_folded_weights_make_what_the_network_makes() -> None:
    network = trained_network()
    codes, classes = torch.randn(7, 5, generator=Rng(3).torch()), torch.randn(7, 6, generator=Rng(4).torch())
    weights = network.folded()
    with torch.no_grad():
        made = generate(weights, codes, network.projection(classes), (12, 12))
        torch.testing.assert_close(made, network(codes, classes), rtol=1e-4, atol=1e-5)
    assert not any(name.startswith("norms") for name in weights)


def test_gradient_check() -> None:
    weights = {name: t.double() for name, t in trained_network(width=2, blocks=1, side=3).folded().items()}
    codes, classes = (torch.randn(2, 5, dtype=torch.float64, generator=Rng(k).torch()) for k in (3, 4))

    def images(codes: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return generate({**weights, "layers.1.weight": kernel}, codes, classes, (3, 3))

    assert torch.autograd.gradcheck(
        images, (codes.requires_grad_(), weights["layers.1.weight"].requires_grad_())
    )


def test_too_many_doublings_are_refused() -> None:
    require_blocks(3, 8, 12)
    with pytest.raises(
        BadInput, match=r"4 blocks makes 16 pixels or more .* have 8x12: use --blocks 3 or fewer"
    ):
        require_blocks(4, 8, 12)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_classes_share_codes_or_have_their_own(own: bool) -> None:
    synthetic = make(own=own)
    assert synthetic.labels.tolist() == [0, 0, 1, 1, 1, 2]
    images = synthetic.images
    for c in range(3):
        torch.testing.assert_close(synthetic.of_class(c), images[synthetic.labels == c])
    codes = synthetic.codes
    used = [0, 1, 2, 3, 4, 5] if own else [0, 1, 0, 1, 2, 0]
    expected = synthetic.of_codes(codes[used], synthetic.labels)
    torch.testing.assert_close(images, expected)


def test_images_are_cut_into_tiles(tmp_path: Path) -> None:
    whole, synthetic = make(), make(factor=2)
    images = enlarged_tiles(whole.images, 2)
    assert torch.equal(synthetic.images, images)
    assert synthetic.labels.tolist() == [0] * 8 + [1] * 12 + [2] * 4
    torch.testing.assert_close(synthetic.of_class(1), images[8:20])
    made = as_set(synthetic)
    condensery.save(made, tmp_path / "set.safetensors")
    again = condensery.load(tmp_path / "set.safetensors")
    torch.testing.assert_close(again.images, images)
    assert torch.equal(again.images, made.images) and int(again.stored["generator.factor"]) == 2
    assert (len(again), again.stored_images, again.stored_counts) == (24, 3, (2, 3, 1))
    assert drawn_anew(again, None, seed=5).counts == again.counts
    fresh = drawn_anew(again, 4, seed=5)
    assert fresh.counts == (16, 16, 16) and fresh.stored_counts == (4, 4, 4)
    assert torch.equal(decoded(fresh.stored, SPEC), fresh.images)


def test_gradients_reach_every_leaf() -> None:
    synthetic = make()
    synthetic.images.square().sum().backward()
    for name, leaf in synthetic.leaves().items():
        assert leaf.grad is not None and bool(leaf.grad.any()), name


def test_the_file_holds_generator_codes_and_classes(tmp_path: Path) -> None:
    made = as_set(make())
    condensery.save(made, tmp_path / "set.safetensors")
    again = condensery.load(tmp_path / "set.safetensors")
    assert torch.equal(again.images, made.images) and set(again.stored) == set(made.stored)
    assert (len(again), again.stored_images) == (6, 3)
    width, first, layers = 4, 3 * 3, 4  # 12 pixels are 3 doubled twice
    numbers = 3 * 5 + 3 * 5 + width * first * (2 * 5 + 1) + layers * width * (9 * width + 1) + 9 * width + 1
    assert again.bytes == 4 * numbers + 8 * 3 + 8 * 6


def test_another_process_makes_the_same_bits(tmp_path: Path) -> None:
    made = as_set(make())
    condensery.save(made, tmp_path / "set.safetensors")
    code = "import sys, torch, condensery; made = condensery.load(sys.argv[1]); torch.save(made.images, sys.argv[2])"
    command = [sys.executable, "-c", code, str(tmp_path / "set.safetensors"), str(tmp_path / "images.pt")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # another number of them rounds otherwise
    subprocess.run(command, check=True, timeout=240, env={**os.environ, **threads})
    assert torch.equal(torch.load(tmp_path / "images.pt", weights_only=True), made.images)


def test_fresh_draws_are_another_set_that_says_so() -> None:
    made = as_set(make())
    fresh, same, other = (drawn_anew(made, 4, seed=seed) for seed in (5, 5, 6))
    assert fresh.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(fresh.images, same.images) and not torch.equal(fresh.images, other.images)
    assert (
        fresh.record["drawn"] == {"ipc": 4, "seed": 5} and fresh.record["method"] == "generative, drawn anew"
    )
    assert "drawn" not in made.record
    assert torch.equal(decoded(fresh.stored, SPEC), fresh.images)
    for name in made.stored:
        if name not in ("generator.codes", "generator.counts"):
            assert torch.equal(fresh.stored[name], made.stored[name])
    with pytest.raises(BadInput, match=r"stores its images .* only a generator"):
        drawn_anew(SyntheticSet(made.images, made.labels, SPEC), 4, seed=5)


REPLACED = {
    "counts": ("counts", torch.tensor([2, 3])),
    "too many": ("counts", torch.tensor([2, 10**12, 1])),
    "negative": ("counts", torch.tensor([3, -2, 1])),
    "factor": ("factor", torch.tensor(5)),
    "factors": ("factor", torch.tensor([2, 2])),
    "extra": ("more", torch.zeros(1)),
}


def tamper(stored: dict[str, Any], change: str) -> dict[str, Any]:
    stored = dict(stored)
    if change in REPLACED:
        name, value = REPLACED[change]
        stored[f"generator.{name}"] = value
    match change:
        case "classes":
            stored["generator.classes"] = stored["generator.classes"][:2]
        case "kernel":
            stored["generator.layers.1.weight"] = stored["generator.layers.1.weight"][:, :3]
        case "missing":
            del stored["generator.layers.2.bias"]
        case "half":
            stored["generator.input.bias"] = stored["generator.input.bias"].half()
        case "deep":
            for i in range(4, 10):
                stored[f"generator.layers.{i}.weight"] = stored["generator.layers.0.weight"]
                stored[f"generator.layers.{i}.bias"] = stored["generator.layers.0.bias"]
        case "flat":
            stored["generator.codes"] = stored["generator.codes"].flatten()
    return stored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("classes", r"classes must be float32 \(3, 5\), not torch.float32 \(2, 5\)"),
        ("counts", r"counts must be int64 \(3,\), one for each class, not torch.int64 \(2,\)"),
        ("too many", "3 codes fit neither one class nor all of the counts"),
        ("negative", "3 codes fit neither one class nor all of the counts"),
        ("kernel", r"layers.1.weight must be float32 \(4, 4, 3, 3\), not torch.float32 \(4, 3, 3, 3\)"),
        ("missing", "tensor generator.layers.2.bias is missing"),
        ("half", "input.bias must be float32"),
        ("extra", "unknown tensor 'more'"),
        ("deep", "5 blocks makes 32 pixels or more"),
        ("flat", "codes have two dimensions"),
        ("factor", "a factor of 5 does not divide the sides of 12x12 images"),
        ("factors", "the generator's factor must be a single int64"),
    ],
)
def test_a_generator_that_does_not_fit_is_refused(change: str, message: str) -> None:
    stored = as_set(make()).stored
    assert len(decoded(stored, SPEC)) == 6
    with pytest.raises(BadInput, match=message) as refused:
        decoded(tamper(stored, change), SPEC)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250


def test_a_generator_for_other_classes_is_refused() -> None:
    other = ImageSpec(1, 12, 12, ("a", "b"), (0.5,), (0.25,))
    with pytest.raises(BadInput, match=r"counts must be int64 \(2,\)"):
        decoded(as_set(make()).stored, other)
