"""What every network promises: any image size, chunks, memory formats, second derivatives, randomness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.models import ConvNet, list_networks, resolve
from condensery.models.batch_norm import batch_norms, mixes_samples
from condensery.records import ImageSpec
from condensery.rng import Rng

NAMES = [info.name for info in list_networks()]
VARIANTS = [
    "convnet+width=8+norm=none",
    "convnet+width=8+norm=batch",
    "convnet+width=8+norm=layer",
    "convnet+width=8+norm=group",
    "convnet+width=8+activation=sigmoid",
    "convnet+width=8+activation=leakyrelu",
    "convnet+width=8+activation=swish",
    "convnet+width=8+pooling=none",
    "convnet+width=8+pooling=max",
    "alexnet+norm=batch",
    "vgg11+norm=batch",
    "resnet18+norm=batch",
    "resnet18-ap+norm=instance",
]
every_network = pytest.mark.parametrize("name", [*NAMES, *VARIANTS])


def make_spec(channels: int, height: int, width: int | None = None, classes: int = 10) -> ImageSpec:
    names = tuple(map(str, range(classes)))
    return ImageSpec(channels, height, width or height, names, (0.0,) * channels, (1.0,) * channels)


def images(spec: ImageSpec, count: int = 2) -> Tensor:
    return torch.randn(count, *spec.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spec",
    [
        make_spec(1, 8),
        make_spec(1, 28),
        make_spec(3, 28),
        make_spec(3, 32),
        make_spec(3, 8, 13),
        make_spec(3, 64, classes=200),
    ],
    ids=lambda spec: f"{spec.channels}x{spec.height}x{spec.width}",
)
def test_any_image_size(name: str, spec: ImageSpec) -> None:
    factory = resolve(name)
    network = factory.build(spec, Rng(0)).eval()
    x = images(spec, 2)
    assert factory.has_embedding(spec) == hasattr(network, "embed")
    with torch.no_grad():
        if factory.has_embedding(spec):
            embedding = network.embed(x)
            assert embedding.ndim == 2 and len(embedding) == 2
            logits = network.head(embedding)
        else:
            logits = network(x)
    assert logits.shape == (2, spec.num_classes) and torch.isfinite(logits).all()
    # An image has to matter: a norm over a single pixel would erase it.
    assert (logits[0] - logits[1]).abs().max() > 1e-4


def test_forward_is_head_of_embedding() -> None:
    spec = make_spec(1, 8)
    for name in ("convnet", "alexnet", "vgg11", "resnet18", "resnet18-ap"):
        network = resolve(name).build(spec, Rng(0)).eval()
        x = images(spec)
        torch.testing.assert_close(network(x), network.head(network.embed(x)))


def test_networks_without_embedding() -> None:
    without = {name for name in NAMES if not resolve(name).has_embedding(make_spec(3, 32))}
    assert without == {"mlp", "lenet", "alexcifarnet"}


@every_network
def test_second_derivatives(name: str) -> None:
    """Matching gradients differentiates a gradient with respect to the images."""
    spec = make_spec(1, 8)
    network = resolve(name).build(spec, Rng(0))
    x = images(spec).requires_grad_()
    loss = nn.functional.cross_entropy(network(x), torch.tensor([1, 2]))
    gradients = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
    (second,) = torch.autograd.grad(sum(g.square().sum() for g in gradients), x)
    assert torch.isfinite(second).all() and second.abs().sum() > 0


@every_network
def test_chunks_and_channels_last_change_nothing(name: str) -> None:
    spec = make_spec(3, 8)
    network = resolve(name).build(spec, Rng(0)).eval().double()  # norms over 2x2 pixels amplify rounding
    x = images(spec, 3).double()
    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(chunk) for chunk in x.split(1)])
        torch.testing.assert_close(alone, together)
        last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, together)


@pytest.mark.parametrize("name", ["convnet", "lenet", "alexnet", "convnet+norm=batch"])
def test_building_depends_on_the_source_alone(name: str) -> None:
    spec, state = make_spec(3, 32), torch.get_rng_state()
    first, again, other = (resolve(name).build(spec, Rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert first.training and all(p.device.type == "cpu" for p in first.parameters())


def test_initialisation_is_torchs_default() -> None:
    spec = make_spec(3, 32)
    network = resolve("convnet").build(spec, Rng(5).fork("net"))
    with Rng(5).fork("net").seeded():
        first = nn.Conv2d(3, 128, 3, padding=1)
    assert torch.equal(next(network.parameters()), first.weight)


@every_network
def test_counting_touches_no_generator(name: str) -> None:
    state = torch.get_rng_state()
    spec = make_spec(3, 8)
    expected = sum(p.numel() for p in resolve(name).build(spec, Rng(0)).parameters())
    assert resolve(name).parameter_count(spec) == expected
    assert torch.equal(torch.get_rng_state(), state)


@every_network
def test_batch_norm_is_found_and_replaced(name: str) -> None:
    factory, spec = resolve(name), make_spec(1, 8)
    has = "norm=batch" in name or name == "resnet18-ap"
    network = factory.build(spec, Rng(0))
    assert bool(batch_norms(network)) == mixes_samples(network) == has
    assert not mixes_samples(network.eval())
    plain = factory.without_batch_norm()
    assert not batch_norms(plain.build(spec, Rng(0)))
    assert (plain is factory) == (not has)
    assert resolve(plain.name).canonical == plain.canonical


@pytest.mark.parametrize(
    ("channels", "side", "deepest"), [(3, 8, 3), (1, 8, 3), (3, 28, 4), (1, 28, 5), (3, 32, 5)]
)
def test_convnet_as_deep_as_the_image_allows(channels: int, side: int, deepest: int) -> None:
    spec = make_spec(channels, side)
    network = resolve(f"convnet+width=4+depth={deepest}").build(spec, Rng(0))
    assert network(images(spec)).shape == (2, 10)
    with pytest.raises(BadInput, match=f"depth={deepest} or less"):
        resolve(f"convnet+depth={deepest + 1}").build(spec, Rng(0))
    assert resolve("convnet+width=4+pooling=none+depth=6").build(spec, Rng(0))(images(spec)).shape == (2, 10)


def test_convnet_refuses_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="divisible by 4"):
        ConvNet(3, (32, 32), 10, width=6, norm="group")
    with pytest.raises(BadInput, match="width and depth"):
        ConvNet(3, (32, 32), 10, depth=0)
    with pytest.raises(BadInput, match="growth of a ConvNet must be 1 or more, not 0"):
        ConvNet(3, (32, 32), 10, growth=0)


def test_filters_grow_from_block_to_block() -> None:
    """FRePo's network: 128, 256 and 512 filters, 8,192 features."""
    network = resolve("convnet+growth=2").build(make_spec(3, 32), Rng(0))
    sizes = [tuple(m.weight.shape[:2]) for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sizes == [(128, 3), (256, 128), (512, 256)]
    assert network.embed(images(make_spec(3, 32))).shape == (2, 8192)


def test_embedding_sizes_of_the_papers() -> None:
    def size(name: str, spec: ImageSpec) -> int:
        return resolve(name).build(spec, Rng(0)).head.in_features

    assert size("convnet", make_spec(3, 32)) == 2048
    assert size("convnet", make_spec(1, 28)) == 2048
    assert size("convnet", make_spec(3, 64, classes=200)) == 2048, "4 blocks, as published for 64 pixels"
    assert size("resnet18-ap", make_spec(3, 32)) == 512 * 16
    assert size("resnet18-ap", make_spec(1, 28)) == 512 * 9


@pytest.mark.parametrize(
    ("side", "depth"), [(8, 3), (28, 3), (32, 3), (45, 3), (64, 4), (100, 5), (128, 5), (224, 6), (256, 6)]
)
def test_depth_of_a_convnet_follows_the_images_as_published(side: int, depth: int) -> None:
    spec, factory = make_spec(3, side), resolve("convnet+width=2")
    given = resolve(f"convnet+width=2+depth={depth}")
    assert factory.parameter_count(spec) == given.parameter_count(spec)
    assert given.depth_note(spec) is None, "it was asked for"
    said = factory.depth_note(spec)
    assert said is None if depth == 3 else f"{depth} blocks, as published for {side} pixels" in str(said)
    assert resolve("convnet+norm=batch").without_batch_norm().depth_note(make_spec(3, 64))
