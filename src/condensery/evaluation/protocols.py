"""Named evaluation protocols: how networks are trained on a set before they are tested.

The published ones keep the details of the authors' code one by one (main.py, main_DM.py and utils.py of
VICO-UoE/DatasetCondensation); each detail has a test.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from condensery.augment import PerImageAugmentation, SiameseAugmentation, resolve_strategy
from condensery.errors import BadInput
from condensery.models.precision import FLOAT32, require_precision
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.training import Augment
from condensery.training_recipe import Recipe

Augmenter = Callable[[ImageSpec, NetworkFactory], Augment | None]


@dataclass(frozen=True)
class Protocol:
    """How a set is judged.

    Attributes:
        name, summary: for the command line.
        epochs: `Epoch` of the authors' code, which trains Epoch + 1 epochs, and divides the learning rate by
            10 after epoch index Epoch // 2 + 1 with a new optimiser.
        plain_epochs: the same where no augmentation is used.
        augmenter: what transforms a training batch, by data set and network.
        keeps_batch_norm: False replaces batch norm by the network's own default norm ("S" mode of the
            authors' code: a tiny set is too small for batch statistics), True keeps the network ("SS").
        repeats: networks per set unless told otherwise.
        precision: in which networks compute, see `condensery.models.precision`.
    """

    name: str
    summary: str
    epochs: int
    plain_epochs: int
    augmenter: Augmenter
    keeps_batch_norm: bool
    repeats: int
    precision: str = FLOAT32

    def augment(self, spec: ImageSpec, network: NetworkFactory) -> Augment | None:
        """The transformation of training batches, None for none."""
        return self.augmenter(spec, network)

    def recipe(self, spec: ImageSpec, network: NetworkFactory) -> Recipe:
        """SGD 0.01, momentum 0.9, weight decay 5e-4, batches of 256, and the epochs of this protocol."""
        epochs = self.epochs if self.augment(spec, network) else self.plain_epochs
        return Recipe(epochs=epochs + 1, decay_after=(epochs // 2 + 2,))

    def with_augmentation(self, strategy: str) -> Protocol:
        """This protocol with other Siamese groups, as single augmentations and their ablations need.

        Args:
            strategy: groups joined by "_", "auto", or "none" (which takes `plain_epochs`).

        Raises:
            BadInput: an unknown or repeated group.
        """
        name = f"{self.name}+augmentation={strategy}"
        return replace(self, name=name, augmenter=SiameseGroups(strategy))

    def with_epochs(self, epochs: int) -> Protocol:
        """This protocol with other epochs, whether there is augmentation or not: for less time than it takes.

        Raises:
            BadInput: there is no epoch.
        """
        if epochs < 1:
            raise BadInput(f"epochs of a protocol must be at least 1, not {epochs}")
        return replace(self, name=f"{self.name}+epochs={epochs}", epochs=epochs, plain_epochs=epochs)

    def with_precision(self, precision: str) -> Protocol:
        """This protocol with networks that compute in `precision`. Raises BadInput if there is no such thing."""
        require_precision(precision)
        if precision == self.precision:
            return self
        return replace(self, name=f"{self.name}+precision={precision}", precision=precision)

    def network(self, network: NetworkFactory) -> NetworkFactory:
        """The network that judges a set which was made with `network`, unless another one is asked for."""
        return network if self.keeps_batch_norm else network.without_batch_norm()

    def to_json(self) -> dict[str, Any]:
        """Every field but the summary, and precision where it is float32, which records from before it do not have.

        The augmenter, a function or a dataclass, is there by its name and fields.

        Raises:
            BadInput: the augmenter cannot be found by its name, or another field is not plain.
        """
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "summary"}
        if self.precision == FLOAT32:
            del record["precision"]
        augmenter: Any = self.augmenter
        with_fields = is_dataclass(augmenter) and not isinstance(augmenter, type)
        named = type(augmenter) if with_fields else augmenter
        record["augmenter"] = {
            "name": f"{getattr(named, '__module__', '')}:{getattr(named, '__qualname__', '')}",
            "fields": asdict(augmenter) if with_fields else None,  # type: ignore[call-overload, arg-type]
        }
        try:
            found = Protocol.from_json(json.loads(json.dumps(record))).augmenter
        except (TypeError, ValueError, ImportError, AttributeError):
            found = None
        if found != augmenter:
            raise BadInput(
                f"protocol {self.name!r} cannot be sent to workers: its augmenter must be a function at the top of a "
                "module, or a dataclass with plain fields, its other fields numbers and words"
            )
        return record

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Protocol:
        """Inverse of `to_json`. Only for records made in this session: it imports what they name."""
        augmenter = record["augmenter"]
        module, _, name = augmenter["name"].partition(":")
        found = getattr(importlib.import_module(module), name)
        found = found if augmenter["fields"] is None else found(**augmenter["fields"])
        return Protocol(**{**record, "summary": "", "augmenter": found})


@dataclass(frozen=True)
class SiameseGroups:
    """The augmenter of a protocol with chosen Siamese groups: plain values, so that it travels to workers.

    Attributes:
        strategy: groups joined by "_", "auto", or "none".

    Raises:
        BadInput: an unknown or repeated group.
    """

    strategy: str

    def __post_init__(self) -> None:
        self._groups(flip=True)

    def __call__(self, spec: ImageSpec, network: NetworkFactory) -> Augment | None:
        found = self._groups(spec.flip)
        return found if self._groups(flip=True).groups else None

    def _groups(self, flip: bool) -> SiameseAugmentation:
        return SiameseAugmentation(resolve_strategy(self.strategy, flip))


def _siamese(spec: ImageSpec, network: NetworkFactory) -> Augment:
    return SiameseAugmentation(resolve_strategy("auto", spec.flip))


def _dc_augmentation(spec: ImageSpec, network: NetworkFactory) -> Augment | None:
    """utils.py, get_daparam: nothing but for MNIST, and for a ConvNet with batch norm on any data."""
    if network.canonical == "convnet+norm=batch":
        return PerImageAugmentation("crop_noise")
    if spec.name == "mnist":
        return PerImageAugmentation("crop_scale_rotate")
    return None


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "dc-2021",
            "DC's: 300 epochs plain; on MNIST 1000 epochs with one crop, scaling or rotation per image",
            epochs=1000,
            plain_epochs=300,
            augmenter=_dc_augmentation,
            keeps_batch_norm=False,
            repeats=20,
        ),
        Protocol(
            "dsa-2021",
            "DSA's: 1000 epochs with the Siamese transformations, drawn per image; batch norm replaced",
            epochs=1000,
            plain_epochs=300,
            augmenter=_siamese,
            keeps_batch_norm=False,
            repeats=20,
        ),
        Protocol(
            "dm-2023",
            "DM's: as dsa-2021, but a network with batch norm keeps it",
            epochs=1000,
            plain_epochs=1000,
            augmenter=_siamese,
            keeps_batch_norm=True,
            repeats=20,
        ),
        Protocol(
            "quick",
            "for a laptop: as dm-2023 with 300 epochs and 3 networks",
            epochs=300,
            plain_epochs=300,
            augmenter=_siamese,
            keeps_batch_norm=True,
            repeats=3,
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`, such as "dsa-2021", "dsa-2021+augmentation=crop" or "quick+epochs=100".

    Raises:
        BadInput: there is none, or its option, augmentation or precision does not exist.
    """
    base, *options = name.split("+")
    if base not in PROTOCOLS:
        raise BadInput(f"unknown protocol {base!r}; choose one of {', '.join(PROTOCOLS)}")
    found = PROTOCOLS[base]
    for option in options:
        key, _, value = option.partition("=")
        if key == "augmentation" and value:
            found = found.with_augmentation(value)
        elif key == "epochs" and value.isdecimal():
            found = found.with_epochs(int(value))
        elif key == "precision" and value:
            found = found.with_precision(value)
        else:
            raise BadInput(
                f"{option!r} is no option of the protocol {base}; write {base}+augmentation=crop, with groups joined "
                f"by '_', {base}+epochs=100 or {base}+precision=bfloat16"
            )
    return found
