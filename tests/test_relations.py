"""Losses on features: by hand, against plain transcriptions of the paper's formulas, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from condensery import Rng
from condensery.matching.layers import dealt, layer_features, layer_gap, pooled
from condensery.matching.relations import inter_class, intra_class, mean_distance
from condensery.models.registry import resolve
from condensery.pretraining import discriminator_loss, generator_loss
from condensery.records import ImageSpec

GREY = ImageSpec(1, 8, 8, ("a", "b", "c"), (0.5,), (0.25,))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Rng(seed).torch())


def test_intra_class_by_hand() -> None:
    """Two images at right angles, the centre between them: <f, c> = 1 / sqrt(2), <f, f'> = 0, for both."""
    features, centre = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.tensor([[5.0, 5.0]])
    for temperature in (1.0, 0.5):
        drawn = math.sqrt(0.5) / temperature
        expected = -math.log(math.exp(drawn) / (math.exp(0) + math.exp(drawn)))
        assert float(intra_class(features, centre, temperature)) == pytest.approx(expected, rel=1e-6)


def test_intra_class_as_equation_3_is_written() -> None:
    features, centres, temperature = numbers(3, 4, 5), numbers(3, 5, seed=1), 0.3
    total = 0.0
    for c in range(3):
        unit = [f / f.norm() for f in features[c]]
        centre = centres[c] / centres[c].norm()
        for k, f in enumerate(unit):
            positive = math.exp(float(f @ centre) / temperature)
            others = sum(math.exp(float(f @ g) / temperature) for i, g in enumerate(unit) if i != k)
            total -= math.log(positive / (others + positive))
    assert float(intra_class(features, centres, temperature)) == pytest.approx(total / 12)


def test_without_a_centre_images_are_only_driven_from_each_other() -> None:
    """Two images at right angles: log(e^0 + 1) each; on one spot more."""
    apart, centre = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]]), torch.tensor([[5.0, 5.0]])
    assert float(intra_class(apart, centre, 0.5, False)) == pytest.approx(math.log(2))
    same = torch.tensor([[[2.0, 0.0], [3.0, 0.0]]])
    assert float(intra_class(same, centre, 0.5, False)) == pytest.approx(math.log(math.exp(2) + 1))


def test_an_image_alone_in_its_class_has_nothing_to_be_driven_from() -> None:
    features = numbers(2, 1, 3).requires_grad_()
    loss = intra_class(features, numbers(2, 3, seed=1), 0.5)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert features.grad is not None and bool(torch.isfinite(features.grad).all())


def test_inter_class_by_hand() -> None:
    """Distances 5, 1 and sqrt(18); below a margin of 4.5: 0, 3.5 and 4.5 - sqrt(18)."""
    means = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    expected = (0 + 3.5 + 4.5 - math.sqrt(18)) / 3
    assert float(inter_class(means, 4.5)) == pytest.approx(expected)
    assert float(inter_class(means, 0.9)) == 0
    assert float(mean_distance(means)) == pytest.approx((5 + 1 + math.sqrt(18)) / 3)


def test_inter_class_as_equation_4_is_written() -> None:
    means, margin = numbers(4, 6), 3.0
    total = 0.0
    for a in range(4):
        for b in range(4):
            if a != b:
                total += max(margin - float((means[a] - means[b]).norm()), 0)
    assert float(inter_class(means, margin)) == pytest.approx(total / 12)


def test_classes_on_one_spot_have_finite_gradients() -> None:
    means = torch.ones(3, 4, requires_grad=True)
    inter_class(means, 1.0).backward()
    assert means.grad is not None and bool(torch.isfinite(means.grad).all())
    assert float(inter_class(torch.ones(1, 4) / mean_distance(torch.ones(1, 4)), 1.0)) == 0  # one class alone


def test_gradients() -> None:
    features, centres = numbers(2, 3, 4).requires_grad_(), numbers(2, 4, seed=1)
    assert torch.autograd.gradcheck(lambda f: intra_class(f, centres, 0.5), features)
    assert torch.autograd.gradcheck(lambda f: inter_class(f.mean(1), 2.0), features)
    real = [numbers(6, 4, seed=2)]
    assert torch.autograd.gradcheck(lambda f: layer_gap([f.flatten(0, 1)], real), features)
    assert torch.autograd.gradcheck(lambda f: generator_loss(f.flatten()), features)


def test_layer_gap_by_hand() -> None:
    """Layer 1: (1 + 4) / 2 over two values; layer 2: 9 over one. The sum is 2.5 + 9."""
    layers = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])]
    assert float(layer_gap(layers, [torch.zeros(1, 2), torch.zeros(1, 1)])) == 11.5


def test_adversarial_losses_by_hand() -> None:
    """Logits log 3 and -log 3 are probabilities of 3/4 and 1/4."""
    sure, unsure = torch.tensor([math.log(3)]), torch.tensor([-math.log(3)])
    assert float(discriminator_loss(sure, unsure)) == pytest.approx(-2 * math.log(3 / 4))
    assert float(generator_loss(unsure)) == pytest.approx(-math.log(1 / 4))
    assert float(generator_loss(torch.tensor([800.0, -800.0]))) == pytest.approx(400)  # finite however sure


def test_real_images_are_dealt_in_turn() -> None:
    assert dealt(5, 2).tolist() == [
        [pytest.approx(1 / 3), 0, pytest.approx(1 / 3), 0, pytest.approx(1 / 3)],
        [0, 0.5, 0, 0.5, 0],
    ]
    assert dealt(2, 3).tolist() == [[1, 0], [0, 1], [1, 0]]  # fewer than there are groups: round again


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("convnet+width=4+depth=2", 2),
        ("convnet+width=4+depth=2+pooling=none", 2),
        ("vgg11", 5),
        ("resnet18", 8),
    ],
)
def test_layers_end_with_what_the_embedding_is_made_of(name: str, layers: int) -> None:
    network = resolve(name).build(GREY, Rng(0)).eval()
    images = torch.randn(5, 1, 8, 8, generator=Rng(1).torch())
    with torch.no_grad():
        found = layer_features(network, images)
        assert len(found) == layers
        expected = network.embed(images)  # type: ignore[operator]
        last = pooled(found[-1]) if name == "resnet18" else found[-1].flatten(1)
        torch.testing.assert_close(last, expected)
        if name.startswith(
            "convnet"
        ):  # instance norm of one pixel, as in the others here, magnifies rounding
            for whole, parts in zip(found, layer_features(network, images, 2), strict=True):
                torch.testing.assert_close(whole, parts)


def test_the_embedding_is_the_layer_of_a_network_that_shows_no_others() -> None:
    class Own(nn.Module):
        def embed(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    (only,) = layer_features(Own(), torch.ones(2, 1, 2, 2))
    assert only.shape == (2, 4) and torch.equal(pooled(only), only)
