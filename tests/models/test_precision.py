"""Networks that compute in bfloat16: their numbers are near float32's, and all that is around them stays in float32."""

from __future__ import annotations

import copy
from functools import partial
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import BadInput, ImageData, ImageSpec, Rng
from condensery.matching.moments import Embedding
from condensery.matching.unrolling import Stateless
from condensery.models import precision
from condensery.models.precision import computing_in, precision_of, slow_note
from condensery.models.registry import resolve
from condensery.training import accuracy_on_test, train_step

SPEC = ImageSpec(1, 8, 8, ("a", "b", "c"), (0.5,), (0.25,))
NEAR = 0.02  # of the largest number: 8 bits are 1/256, and errors of some layers add up
CPU = torch.device("cpu")


def networks(name: str = "convnet+width=16+depth=2") -> tuple[nn.Module, nn.Module]:
    """The same network in both precisions."""
    return tuple(resolve(name).computing_in(p).build(SPEC, Rng(0)) for p in precision.PRECISIONS)  # type: ignore[return-value]


def images(count: int = 6) -> Tensor:
    return torch.randn(count, *SPEC.shape, generator=Rng(1).torch())


def near(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() < NEAR * theirs.abs().max()) and not ours.equal(theirs)


def test_float32_is_the_network_itself() -> None:
    plain = resolve("convnet").build(SPEC, Rng(0))
    assert type(plain).__name__ == "ConvNet" and precision_of(plain) == "float32"
    assert resolve("convnet").kept_as == resolve("convnet").canonical
    assert resolve("convnet").computing_in("bfloat16").canonical == resolve("convnet").canonical


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "group", "none"])
def test_outputs_are_float32_and_near(norm: str) -> None:
    full, low = networks(f"convnet+width=16+depth=2+norm={norm}")
    assert precision_of(low) == "bfloat16"
    assert all(torch.equal(*pair) for pair in zip(full.parameters(), low.parameters(), strict=True))
    embed = [cast(Embedding, network.embed) for network in (low, full)]
    for ours, theirs in ((low(images()), full(images())), [f(images()) for f in embed]):
        assert ours.dtype == torch.float32
        assert near(ours, theirs)


@pytest.mark.parametrize("name", ["mlp", "resnet18+norm=instance", "alexnet"])
def test_other_networks(name: str) -> None:
    spec = ImageSpec(3, 32, 32, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    seen = torch.randn(2, *spec.shape, generator=Rng(1).torch())
    full, low = (resolve(name).computing_in(p).build(spec, Rng(0)).eval() for p in precision.PRECISIONS)
    with torch.no_grad():
        assert (low(seen) - full(seen)).abs().max() < 0.05 * full(seen).abs().max()


def test_a_step_of_training_changes_float32_weights_by_near_gradients() -> None:
    moved = []
    for network in networks():
        before = [p.detach().clone() for p in network.parameters()]
        optimizer = torch.optim.SGD(network.parameters(), 1.0)
        logits = train_step(network, optimizer, images(), torch.arange(6) % 3, 4)
        assert logits.dtype == torch.float32
        assert all(p.dtype == torch.float32 for p in network.parameters())
        moved.append(
            torch.cat([(p - b).flatten() for p, b in zip(network.parameters(), before, strict=True)])
        )
    assert F.cosine_similarity(moved[0], moved[1], 0) > 0.995


def test_second_derivatives_by_images_and_by_weights() -> None:
    found = []
    for network in networks():
        seen = images().requires_grad_()
        function = Stateless(network)
        weights = tuple(w.requires_grad_() for w in function.weights())
        loss = F.cross_entropy(function(weights, seen), torch.arange(6) % 3)
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        total = sum(g.square().sum() for g in gradients)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(total, (seen, *weights))]))  # type: ignore[arg-type]
    assert F.cosine_similarity(found[0], found[1], 0) > 0.99


def test_a_copy_is_a_network_of_its_own() -> None:
    _, low = networks()
    twin = copy.deepcopy(low)
    with torch.no_grad():
        for p in low.parameters():
            p.zero_()
    assert precision_of(twin) == "bfloat16"
    assert low(images()).abs().max() == 0 < twin(images()).abs().max()


def test_a_network_without_embedding() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 3)

        def forward(self, x: Tensor) -> Tensor:
            assert torch.is_autocast_enabled("cpu")
            return self.layer(x.flatten(1))

    low = computing_in(Plain(), "bfloat16")
    assert low(images()).dtype == torch.float32
    assert not hasattr(low, "embed")
    assert list(low.state_dict()) == ["layer.weight", "layer.bias"]


def test_accuracy_is_near(digits: ImageData) -> None:
    """A network that was trained in float32 classifies the same images in bfloat16, but for a few in a hundred."""
    factory = resolve("convnet+width=16+depth=2")
    found = []
    for kind in precision.PRECISIONS:
        here = factory.computing_in(kind)
        found.append(accuracy_on_test(here.build(digits.spec, Rng(0)), here, digits, CPU))
    assert found[0] == pytest.approx(found[1], abs=0.02)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(
        BadInput, match="unknown precision 'float16'; choose float32, bfloat16 or float32-compiled"
    ):
        resolve("convnet").computing_in("float16")


def test_a_processor_without_instructions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_has_instructions", lambda device: False)
    assert slow_note("float32", CPU) is None
    assert "has no instructions for bfloat16" in (slow_note("bfloat16", CPU) or "")
    monkeypatch.setattr(precision, "_has_instructions", lambda device: True)
    assert slow_note("bfloat16", CPU) is None


def test_compiled_passes_are_near_and_gradients_are_those_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks of a kind share the code. Here without C++, which takes 20 seconds to compile."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    precision._compiled.cache_clear()
    factory, found = resolve("convnet+width=8+depth=1"), []
    for seed in range(2):
        plain = factory.build(SPEC, Rng(seed))
        fast = factory.computing_in("float32-compiled").build(SPEC, Rng(seed))
        assert precision_of(fast) == "float32-compiled"
        assert torch.equal(fast(images()), plain(images())), "with gradients it is the network itself"
        with torch.no_grad():
            ours, theirs = (cast(Embedding, network.embed)(images()) for network in (fast, plain))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        found.append(ours)
    assert not torch.equal(*found)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="--precision float32-compiled needs a C"):
        factory.computing_in("float32-compiled").build(SPEC, Rng(0))
    precision._compiled.cache_clear()
