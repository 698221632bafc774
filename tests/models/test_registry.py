"""Names, options and users' own networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from condensery.errors import BadInput
from condensery.models import list_networks, resolve
from condensery.models.custom import trainable
from condensery.records import ImageSpec
from condensery.rng import Rng

SPEC = ImageSpec(3, 16, 12, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)

OWN = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, channels, image_size, num_classes, hidden=4, bias=True, slope=0.5, mode="x"):
        super().__init__()
        assert (hidden, bias, slope, mode) != (0, True, 0.5, "x"), "hidden must\\nbe positive"
        self.settings = (hidden, bias, slope, mode)
        self.layer = nn.Linear(channels * image_size[0] * image_size[1], num_classes, bias=bias)
    def forward(self, x):
        return self.layer(x.flatten(1))

class Embedding(Plain):
    def embed(self, x):
        return x.flatten(1)

class BadEmbedding(Plain):
    def embed(self, x):
        return x


class Crash(Plain):
    def forward(self, x):
        raise ValueError("no luck")

class Silent(Exception): ...

class Mute(Plain):
    def forward(self, x):
        raise Silent

class Transposed(Plain):
    def forward(self, x):
        return super().forward(x).T

class Lazy(nn.Module):
    def __init__(self, channels, image_size, num_classes):
        super().__init__()
        self.first, self.norm, self.last = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(num_classes)
    def embed(self, x):
        return self.norm(self.first(x)).relu().flatten(1)
    def forward(self, x):
        return self.last(self.embed(x))

class Frozen(Plain):
    def __init__(self, **options):
        super().__init__(**options)
        self.requires_grad_(False)

class HalfFrozen(Embedding):
    def __init__(self, **options):
        super().__init__(**options)
        self.layer.bias.requires_grad_(False)

def wrong_signature(channels): ...
def not_a_module(channels, image_size, num_classes): return 3
constant = 5
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's networks in the current folder, which is not on the path."""
    module = f"own_networks_{abs(hash(tmp_path))}"  # a module is imported once per name
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("convnet", "convnet"),
        ("ConvNet", "convnet"),
        ("convnet+depth=4+norm=batch", "convnet+depth=4+norm=batch"),
        ("convnet+norm=BATCH+width=128", "convnet+norm=batch"),
        ("convnet+growth=2+width=128", "convnet+growth=2"),
        ("convnet+growth=1", "convnet"),
        ("ConvNetBN", "convnet+norm=batch"),
        ("ConvNetBN+width=64", "convnet+norm=batch+width=64"),
        ("ConvNetBN+norm=none", "convnet+norm=none"),
        ("ConvNetD1", "convnet+depth=1"),
        ("ConvNetD3", "convnet+depth=3"),
        ("ConvNetW32", "convnet+width=32"),
        ("ConvNetW256", "convnet+width=256"),
        ("ConvNetAS", "convnet+activation=sigmoid"),
        ("ConvNetAR", "convnet"),
        ("ConvNetAL", "convnet+activation=leakyrelu"),
        ("ConvNetASwish", "convnet+activation=swish"),
        ("ConvNetASwishBN", "convnet+activation=swish+norm=batch"),
        ("ConvNetNN", "convnet+norm=none"),
        ("ConvNetLN", "convnet+norm=layer"),
        ("ConvNetIN", "convnet"),
        ("ConvNetGN", "convnet+norm=group"),
        ("ConvNetNP", "convnet+pooling=none"),
        ("ConvNetMP", "convnet+pooling=max"),
        ("ConvNetAP", "convnet"),
        ("MLP", "mlp"),
        ("LeNet", "lenet"),
        ("AlexNetBN", "alexnet+norm=batch"),
        ("VGG11BN", "vgg11+norm=batch"),
        ("ResNet18BN", "resnet18+norm=batch"),
        ("resnet18bn_ap", "resnet18-ap"),
        ("AlexCifarNet", "alexcifarnet"),
    ],
)
def test_names(name: str, canonical: str) -> None:
    factory = resolve(name)
    assert factory.name == name
    assert factory.canonical == canonical
    assert resolve(canonical).canonical == canonical


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ConvNetASwishBN", "convnet+activation=swish"),
        ("convnet+norm=batch+depth=2", "convnet+depth=2"),
        ("AlexNetBN", "alexnet"),
        ("VGG11BN", "vgg11"),
        ("ResNet18BN", "resnet18"),
        ("ResNet18BN_AP", "resnet18"),
    ],
)
def test_without_batch_norm(name: str, plain: str) -> None:
    assert resolve(name).without_batch_norm().name == plain
    assert resolve(plain).without_batch_norm() == resolve(plain)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("convnt", "did you mean 'convnet'"),
        ("convnet+width=8,mlp", "one network is wanted here, not 'convnet.width=8,mlp'; dm takes several"),
        ("", "there are convnet, mlp"),
        ("ConvNetX", "convnet, mlp, lenet"),
        ("convnet+dept=3", "did you mean 'depth'"),
        ("convnet+depth", "name\\+key=value"),
        ("convnet+depth=", "name\\+key=value"),
        ("convnet+depth=3+depth=4", "twice"),
        ("convnet+depth=0", "whole number"),
        ("ConvNetD0", "whole number"),
        ("convnet+width=1.5", "whole number"),
        ("convnet+norm=bach", "did you mean 'batch'"),
        ("vgg11+norm=layer", "there are instance, batch"),
        ("mlp+width=3", "no options"),
        ("a b:c", "package.module:factory"),
        (":c", "package.module:factory"),
        ("no_such_module_here:net", "no module 'no_such_module_here'"),
    ],
)
def test_unknown_names_and_options(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


def test_the_list_names_every_network_with_its_options() -> None:
    for name, description, options in list_networks():
        assert resolve(name).canonical == name
        assert description and "\n" not in description
        for option, text in options.items():
            default = text.split()[0]
            assert resolve(f"{name}+{option}={default}").canonical == name


def test_a_users_own_network(own: str) -> None:
    factory = resolve(f"{own}:Plain")
    state = torch.get_rng_state()
    network = factory.build(SPEC, Rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training and network(torch.zeros(2, 3, 16, 12)).shape == (2, 3)
    assert factory.parameter_count(SPEC) == 3 * 16 * 12 * 3 + 3
    assert not factory.has_embedding(SPEC)
    assert resolve(f"{own}:Embedding").has_embedding(SPEC)
    assert factory.without_batch_norm() is factory


def test_lazy_layers_have_weights_from_the_seed(own: str) -> None:
    factory = resolve(f"{own}:Lazy")
    network, again, other = (factory.build(SPEC, Rng(seed)) for seed in (0, 0, 1))
    weights = [torch.cat([p.flatten() for p in n.parameters()]) for n in (network, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert all(module.training for module in network.modules())
    assert factory.has_embedding(SPEC) and factory.parameter_count(SPEC) == len(weights[0])


def test_what_can_be_trained(own: str) -> None:
    half = resolve(f"{own}:HalfFrozen").build(SPEC, Rng(0))
    assert [p.shape for p in trainable(half)] == [half.layer.weight.shape]
    with pytest.raises(BadInput, match="network Frozen has no trainable parameters: name another"):
        trainable(resolve(f"{own}:Frozen").build(SPEC, Rng(0)))


def test_options_of_a_users_own_network(own: str) -> None:
    network = resolve(f"{own}:Plain+hidden=7+bias=false+slope=0.1+mode=fast").build(SPEC, Rng(0))
    assert network.settings == (7, False, 0.1, "fast")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("Plane", "did you mean 'Plain'"),
        ("constant", "is a int"),
        ("wrong_signature", "cannot be called"),
        ("Plain+nothing=1", "nothing"),
        ("not_a_module", "made a int"),
        ("Plain+hidden=0", "AssertionError: hidden must be positive"),
        ("Crash", "ValueError: no luck"),
        ("Mute", "failed on images \\(2, 3, 16, 12\\): Silent$"),
        ("Transposed", "\\(2, 3\\), not \\(3, 2\\)"),
        ("BadEmbedding", "\\(2, D\\), not \\(2, 3, 16, 12\\)"),
    ],
)
def test_a_users_own_network_that_does_not_fit(own: str, factory: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        resolve(f"{own}:{factory}").build(SPEC, Rng(0))
    assert "\n" not in str(caught.value)


def test_a_module_that_fails_on_import(own: str) -> None:
    Path("broken_network_module.py").write_text("raise RuntimeError('not\\ntoday')")
    with pytest.raises(BadInput, match="RuntimeError: not today"):
        resolve("broken_network_module:Net")
    Path("needy_network_module.py").write_text("import no_such_module_there")
    with pytest.raises(BadInput, match="no module 'no_such_module_there'"):
        resolve("needy_network_module:Net")
