"""A user's own network, named as `package.module:factory`: importing it, checking its call, trying it out."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from condensery.errors import BadInput, did_you_mean, one_line
from condensery.rng import Rng

Constructor = Callable[..., nn.Module]
"""Called as constructor(channels=..., image_size=(h, w), num_classes=..., **options)."""


def import_factory(path: str) -> Constructor:
    """The object that `package.module:factory` names. BadInput if there is none."""
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
        raise BadInput(f"cannot import the network '{path}': {_type_and_line(error)}") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            names = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            raise BadInput(f"'{module_name}' has no '{attribute}'{did_you_mean(attribute, names)}")
        found = getattr(found, attribute)
    if not callable(found):
        raise BadInput(f"'{path}' is a {type(found).__name__}, not a function or class that makes a network")
    return cast(Constructor, found)


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


def guess(text: str) -> Any:
    """An option as typed: a whole number, a number, true or false, or else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def check_signature(path: str, constructor: Constructor, options: dict[str, Any]) -> None:
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


def try_out(
    path: str, make: Callable[[], object], shape: tuple[int, int, int], num_classes: int
) -> nn.Module:
    """Make a network and feed it two black images, in evaluation mode.

    Args:
        path: what the user called it, for messages.
        make: calls the user's factory.
        shape: (channels, height, width) of the images.
        num_classes: how many logits it must give.

    Raises:
        BadInput: it fails, is no module, or its outputs have the wrong shape.
    """
    try:
        network = make()
    except Exception as error:  # whatever a user's code raises
        raise BadInput(f"'{path}' could not make a network: {_type_and_line(error)}") from error
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
        raise BadInput(f"'{path}' failed on images {tuple(images.shape)}: {_type_and_line(error)}") from error
    if _shape(logits) != (2, num_classes):
        raise BadInput(
            f"'{path}' must map 2 images to logits of shape {(2, num_classes)}, not {_shape(logits)}"
        )
    if embedding is not None and (len(_shape(embedding)) != 2 or _shape(embedding)[0] != 2):
        raise BadInput(f"embed of '{path}' must map 2 images to (2, D), not {_shape(embedding)}")
    return network


def initialised(network: nn.Module, shape: tuple[int, int, int], rng: Rng) -> nn.Module:
    """`network` with weights in its lazy layers (`nn.LazyLinear`, ...), which get them when they first see images.

    Args:
        shape: (channels, height, width) of the images.
        rng: what their weights are drawn from.
    """
    if not any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        return network
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    images, embed = torch.zeros(2, *shape), getattr(network, "embed", None)
    with rng.seeded(), torch.no_grad():
        network(images)
        if callable(embed):
            embed(images)
    for module, training in modes:
        module.training = training
    return network


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes, in the order of `network.parameters()`.

    Raises:
        BadInput: there are none.
    """
    found = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not found:
        raise BadInput(
            f"the network {type(network).__name__} has no trainable parameters: name another one, or leave "
            "requires_grad of its parameters as it is"
        )
    return found


def _shape(output: Any) -> tuple[int, ...]:
    """Shape of a tensor, () of anything else."""
    return tuple(output.shape) if isinstance(output, torch.Tensor) else ()


def _type_and_line(error: Exception) -> str:
    """A foreign exception in one line: often (`KeyError: 'x'`) only its type says what went wrong."""
    name = type(error).__name__
    return f"{name}: {one_line(error)}" if str(error).strip() else name
