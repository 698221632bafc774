"""From a name to a network: `resolve("convnet+depth=4").build(spec, rng)`.

Names are those of `list_networks()`, the DC authors' names, or `package.module:factory` for a user's own
network. Options follow as `+key=value`, which needs no quoting in a shell and is safe in a comma list.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin, get_type_hints

import torch
from torch import nn

from condensery.errors import BadInput
from condensery.models.classic import MLP, VGG11, AlexCifarNet, AlexNet, LeNet
from condensery.models.convnet import ConvNet
from condensery.models.resnet import ResNet18, ResNet18AP
from condensery.records import ImageSpec
from condensery.rng import Rng

Constructor = Callable[..., nn.Module]

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
    """

    name: str
    kind: str
    constructor: Constructor
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def canonical(self) -> str:
        """The one spelling of this architecture: options at their defaults left out, the others sorted."""
        defaults = _defaults(self.constructor) if self.kind in _NETWORKS else {}
        options = [f"+{key}={value}" for key, value in self.options if defaults.get(key) != value]
        return self.kind + "".join(options)

    def build(self, spec: ImageSpec, rng: Rng) -> nn.Module:
        """A new network on the CPU, in training mode, with torch's default initialisation drawn from `rng`.

        torch's global generator is left as it was.

        Raises:
            BadInput: the images are too small for the network, or a user's own network does not fit.
        """
        if self.kind not in _NETWORKS:
            _facts(self, spec.shape, spec.num_classes)  # a user's own network is tried out once
        return self._construct(spec.shape, spec.num_classes, rng)

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
    if ":" in base:
        constructor = _import_factory(base)
        options = {key: _guess(text) for key, text in _split_options(name, settings).items()}
        _check_signature(base, constructor, options)
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
            options[key] = f"{default} ({', '.join(choices)})" if choices else str(default)
        description = (network.__doc__ or "").strip().splitlines()[0]
        infos.append(NetworkInfo(name, description, options))
    return infos


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
    near = difflib.get_close_matches(given.lower(), candidates, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    own = ", or package.module:factory for your own" if what == "network" else ""
    return f"no {what} is called '{given}'; there are {', '.join(listing)}{own}{hint}"


# ---- a user's own network


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """Let imports find modules in the current folder, as `python -m` does but an installed command not."""
    folder = os.getcwd()
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _import_factory(path: str) -> Constructor:
    """The object that `package.module:factory` names."""
    module_name, _, attributes = path.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", path):
        raise BadInput(f"'{path}' does not name a network; write package.module:factory")
    try:
        with _current_folder_importable():
            importlib.invalidate_caches()
            found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BadInput(f"cannot import the network '{path}': there is no module '{error.name}'") from error
    except Exception as error:  # whatever a user's module does when it is run
        raise BadInput(f"cannot import the network '{path}': {_one_line(error)}") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            names = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            near = difflib.get_close_matches(attribute, names, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise BadInput(f"'{module_name}' has no '{attribute}'{hint}")
        found = getattr(found, attribute)
    if not callable(found):
        raise BadInput(f"'{path}' is a {type(found).__name__}, not a function or class that makes a network")
    return cast(Constructor, found)


def _check_signature(path: str, constructor: Constructor, options: dict[str, Any]) -> None:
    """Refuse a factory that cannot be called as it will be."""
    try:
        signature = inspect.signature(constructor)
    except ValueError:  # written in C: the call itself will tell
        return
    try:
        signature.bind(channels=3, image_size=(32, 32), num_classes=10, **options)
    except TypeError as error:
        given = "".join(f", {key}=..." for key in options)
        raise BadInput(
            f"'{path}' cannot be called with (channels=..., image_size=..., num_classes=...{given}): {error}"
        ) from error


def _guess(text: str) -> Any:
    """An option of a user's own network: a whole number, a number, true or false, or else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


@lru_cache(maxsize=256)
def _facts(factory: NetworkFactory, shape: tuple[int, int, int], num_classes: int) -> _Facts:
    """Size and abilities of the network for images of `shape`; a user's own network is tried out."""
    if factory.kind in _NETWORKS:
        network = factory._construct(shape, num_classes, Rng(0), device="meta")  # shapes, no numbers
    else:
        network = _try_out(factory, shape, num_classes)
    count = sum(parameter.numel() for parameter in network.parameters())
    return _Facts(count, callable(getattr(network, "embed", None)))


def _try_out(factory: NetworkFactory, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build a user's own network and feed it two black images, in evaluation mode.

    Raises:
        BadInput: it fails, is no module, or its outputs have the wrong shape.
    """
    path = factory.kind
    try:
        network = factory._construct(shape, num_classes, Rng(0))
    except Exception as error:  # whatever a user's code raises
        raise BadInput(f"'{path}' could not make a network: {_one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise BadInput(f"'{path}' made a {type(network).__name__}, not a torch.nn.Module")
    network.eval()
    images = torch.zeros(2, *shape)
    embed = getattr(network, "embed", None)
    try:
        with Rng(0).seeded(), torch.no_grad():
            logits = network(images)
            embedding = embed(images) if callable(embed) else None
    except Exception as error:  # whatever a user's code raises
        raise BadInput(f"'{path}' failed on images {tuple(images.shape)}: {_one_line(error)}") from error
    if _shape(logits) != (2, num_classes):
        raise BadInput(
            f"'{path}' must map 2 images to logits of shape {(2, num_classes)}, not {_shape(logits)}"
        )
    if embedding is not None and (len(_shape(embedding)) != 2 or _shape(embedding)[0] != 2):
        raise BadInput(f"embed of '{path}' must map 2 images to (2, D), not {_shape(embedding)}")
    return network


def _shape(output: Any) -> tuple[int, ...]:
    """Shape of a tensor, () of anything else."""
    return tuple(output.shape) if isinstance(output, torch.Tensor) else ()


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
