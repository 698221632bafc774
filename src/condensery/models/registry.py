"""From a name to a network: `resolve("convnet+depth=4").build(spec, rng)`.

Names are those of `list_networks()`, the DC authors' names, or `package.module:factory` for a user's own
network. Options follow as `+key=value`, which needs no quoting in a shell and is safe in a comma list.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import nn

from condensery.errors import BadInput, did_you_mean
from condensery.models import custom
from condensery.models.classic import MLP, VGG11, AlexCifarNet, AlexNet, LeNet
from condensery.models.convnet import ConvNet, published_depth
from condensery.models.custom import Constructor
from condensery.models.precision import BFLOAT16, FLOAT32, computing_in, require_precision
from condensery.models.resnet import ResNet18, ResNet18AP
from condensery.records import ImageSpec
from condensery.rng import Rng

_NETWORKS: dict[str, Any] = {  # name -> class
    "convnet": ConvNet,
    "mlp": MLP,
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg11": VGG11,
    "resnet18": ResNet18,
    "resnet18-ap": ResNet18AP,
    "alexcifarnet": AlexCifarNet,
}

# The names in `get_network` of the DC authors' `utils.py`; widths and depths are read off by `_expand_alias`.
_ALIASES: dict[str, str] = {
    "convnetbn": "convnet+norm=batch",
    "convnetas": "convnet+activation=sigmoid",
    "convnetar": "convnet+activation=relu",
    "convnetal": "convnet+activation=leakyrelu",
    "convnetaswish": "convnet+activation=swish",
    "convnetaswishbn": "convnet+activation=swish+norm=batch",
    "convnetnn": "convnet+norm=none",
    "convnetln": "convnet+norm=layer",
    "convnetin": "convnet+norm=instance",
    "convnetgn": "convnet+norm=group",
    "convnetnp": "convnet+pooling=none",
    "convnetmp": "convnet+pooling=max",
    "convnetap": "convnet+pooling=avg",
    "alexnetbn": "alexnet+norm=batch",
    "vgg11bn": "vgg11+norm=batch",
    "resnet18bn": "resnet18+norm=batch",
    "resnet18bn_ap": "resnet18-ap+norm=batch",
}


# The average-pooling ResNet is for condensing alone: the authors evaluate its sets on the plain one (thesis A.1).
_WITHOUT_BATCH_NORM = {"resnet18-ap": "resnet18"}

_BY_SIZE = "auto"  # what an option is called that follows from the size of the images


class NetworkInfo(NamedTuple):
    """One line of `list_networks`; `options` maps each option to its default and what else it can be."""

    name: str
    description: str
    options: dict[str, str]


class _Facts(NamedTuple):
    parameters: int
    has_embedding: bool


@dataclass(frozen=True)
class NetworkFactory:
    """Builds networks of one architecture for any image set; made by `resolve`.

    Attributes:
        name: as the user wrote it.
        kind: the network's own name, or `package.module:factory`.
        constructor: called as constructor(channels=..., image_size=(h, w), num_classes=..., **options).
        options: what was set, in alphabetical order.
        precision: in which its networks compute, see `condensery.models.precision`.
    """

    name: str
    kind: str
    constructor: Constructor
    options: tuple[tuple[str, Any], ...] = ()
    precision: str = FLOAT32

    def computing_in(self, precision: str) -> NetworkFactory:
        """The same architecture, whose networks compute in `precision`. Raises BadInput if there is no such thing."""
        require_precision(precision)
        return replace(self, precision=precision)

    @property
    def canonical(self) -> str:
        """The one spelling of this architecture: options at their defaults left out, the others sorted."""
        defaults = _defaults(self.constructor) if self.kind in _NETWORKS else {}
        options = [f"+{key}={value}" for key, value in self.options if defaults.get(key) != value]
        return self.kind + "".join(options)

    @property
    def kept_as(self) -> str:
        """What trained networks are kept under: the architecture, and the precision unless it is float32."""
        return self.canonical + ("" if self.precision == FLOAT32 else f" in {self.precision}")

    @property
    def any_layout(self) -> bool:
        """Whether a forward pass in channels-last layout works and is faster on a CPU.

        Nothing is known of a user's own network. In bfloat16 that layout takes twice the time.
        """
        return self.kind in _NETWORKS and self.precision != BFLOAT16

    def build(self, spec: ImageSpec, rng: Rng) -> nn.Module:
        """A new network on the CPU, in training mode, with torch's default initialisation drawn from `rng`.

        torch's global generator is left as it was.

        Raises:
            BadInput: the images are too small for the network, or a user's own network does not fit.
        """
        if self.kind not in _NETWORKS:
            _facts(self, spec.shape, spec.num_classes)  # a user's own network is tried out once
        network = self._construct(spec.shape, spec.num_classes, rng)
        if self.kind not in _NETWORKS:
            network = custom.initialised(network, spec.shape, rng.fork("lazy layers"))
        return computing_in(network, self.precision)

    def depth_note(self, spec: ImageSpec) -> str | None:
        """A line for people where the depth follows from the size of the images and is not 3, as it is at 32 pixels."""
        depth = published_depth((spec.height, spec.width))
        if self.kind != "convnet" or dict(self.options).get("depth") or depth == 3:
            return None
        side = min(spec.height, spec.width)
        return f"the ConvNet has {depth} blocks, as published for {side} pixels (convnet+depth=N sets another number)"

    def has_embedding(self, spec: ImageSpec) -> bool:
        """Whether the network has `embed(x) -> (N, D)`, which distribution matching and selectors need."""
        return _facts(self, spec.shape, spec.num_classes).has_embedding

    def parameter_count(self, spec: ImageSpec) -> int:
        """Number of learnable numbers, for images of `spec`."""
        return _facts(self, spec.shape, spec.num_classes).parameters

    def without_batch_norm(self) -> NetworkFactory:
        """The same network with its default norm in place of batch norm; itself where it has none.

        Papers evaluate networks with batch norm so ("S" mode), as a condensed set is too small to measure
        its statistics. A user's own network is always returned as it is.
        """
        if self.kind not in _NETWORKS:
            return self
        options = {**_defaults(self.constructor), **dict(self.options)}
        if options.get("norm") != "batch":
            return self
        kind = _WITHOUT_BATCH_NORM.get(self.kind, self.kind)
        options["norm"] = _NETWORKS[kind].default_norm
        plain = replace(self, kind=kind, constructor=_NETWORKS[kind], options=tuple(sorted(options.items())))
        return replace(plain, name=plain.canonical)

    def _construct(
        self, shape: tuple[int, int, int], num_classes: int, rng: Rng, device: str = "cpu"
    ) -> nn.Module:
        channels, height, width = shape
        with rng.seeded(), torch.device(device):
            return self.constructor(
                channels=channels, image_size=(height, width), num_classes=num_classes, **dict(self.options)
            )


def resolve(name: str) -> NetworkFactory:
    """The factory for a name such as `convnet`, `ConvNetBN`, `vgg11+norm=batch` or `my.module:Net+width=8`.

    Raises:
        BadInput: unknown name, option or value; the message lists what there is.
    """
    base, *settings = name.strip().split("+")
    if "," in name and ":" not in base:
        raise BadInput(
            f"one network is wanted here, not {name!r}; dm takes several, see its --other-networks"
        )
    if ":" in base:
        constructor = custom.import_factory(base)
        options = {key: custom.guess(text) for key, text in _split_options(name, settings).items()}
        custom.check_signature(base, constructor, options)
        return NetworkFactory(name, base, constructor, tuple(sorted(options.items())))
    kind, *implied = _expand_alias(base).split("+")
    if kind not in _NETWORKS:
        raise BadInput(_unknown("network", base, [*_NETWORKS], [*_NETWORKS, *_ALIASES]))
    texts = {**_split_options(name, implied), **_split_options(name, settings)}
    options = {key: _parse_option(kind, key, text) for key, text in texts.items()}
    return NetworkFactory(name, kind, _NETWORKS[kind], tuple(sorted(options.items())))


def list_networks() -> list[NetworkInfo]:
    """Every network by its own name, with a one-line description and its options."""
    infos = []
    for name, network in _NETWORKS.items():
        options = {}
        for key, default in _defaults(network).items():
            choices = _choices(network, key)
            shown = _BY_SIZE if default is None else str(default)
            options[key] = f"{default} ({', '.join(choices)})" if choices else shown
        description = (network.__doc__ or "").strip().splitlines()[0]
        infos.append(NetworkInfo(name, description, options))
    return infos


@lru_cache(maxsize=256)
def _facts(factory: NetworkFactory, shape: tuple[int, int, int], num_classes: int) -> _Facts:
    """Size and abilities of the network for images of `shape`; a user's own network is tried out."""
    if factory.kind in _NETWORKS:
        network = factory._construct(shape, num_classes, Rng(0), device="meta")  # shapes, no numbers
    else:
        network = custom.try_out(
            factory.kind, lambda: factory._construct(shape, num_classes, Rng(0)), shape, num_classes
        )
    count = sum(parameter.numel() for parameter in network.parameters())
    return _Facts(count, callable(getattr(network, "embed", None)))


# ---- names and options of condensery's networks


def _expand_alias(name: str) -> str:
    """The DC authors' name as one of ours with options; any other name in lower case."""
    name = name.lower()
    sized = re.fullmatch(r"convnet([dw])(\d+)", name)
    if sized:
        return f"convnet+{'depth' if sized[1] == 'd' else 'width'}={sized[2]}"
    return _ALIASES.get(name, name)


def _split_options(name: str, settings: list[str]) -> dict[str, str]:
    """["depth=4", ...] -> {"depth": "4", ...}"""
    options: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals and value):
            raise BadInput(f"'{setting}' in the network '{name}' is not an option; write name+key=value")
        if key in options:
            raise BadInput(f"the network '{name}' sets {key} twice")
        options[key] = value
    return options


def _parse_option(kind: str, key: str, text: str) -> Any:
    """The value of one option, checked against the constructor's default and annotation."""
    network = _NETWORKS[kind]
    defaults = _defaults(network)
    if key not in defaults:
        if not defaults:
            raise BadInput(f"the network '{kind}' has no options, so not '{key}'")
        raise BadInput(_unknown(f"option of {kind}", key, [*defaults], [*defaults]))
    if choices := _choices(network, key):
        if text.lower() not in choices:
            raise BadInput(_unknown(f"{key} of {kind}", text, choices, choices))
        return text.lower()
    if defaults[key] is None and text.lower() == _BY_SIZE:
        return None
    if not text.isdecimal() or int(text) < 1:  # all other options count something
        raise BadInput(f"{key} of {kind} must be a whole number of 1 or more, not '{text}'")
    return int(text)


def _defaults(network: Constructor) -> dict[str, Any]:
    """The options of a constructor: its keyword-only parameters and their defaults."""
    parameters = inspect.signature(network).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _choices(network: type[nn.Module], key: str) -> list[str]:
    """What an option can be, if it is one of a few words."""
    annotation = get_type_hints(network.__init__)[key]
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


def _unknown(what: str, given: str, listing: list[str], candidates: list[str]) -> str:
    """'no network is called x; there are a, b, c; did you mean a?'"""
    own = ", or package.module:factory for your own" if what == "network" else ""
    return (
        f"no {what} is called '{given}'; there are {', '.join(listing)}{own}{did_you_mean(given, candidates)}"
    )
