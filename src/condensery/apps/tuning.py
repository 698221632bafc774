"""Hyper-parameters on a condensed set: an objective for Optuna, `pip install 'condensery[search]'`.

objective = condensery.apps.tuning.Objective("runs/cifar10", "cifar10", suggest)
study = open_study("tuning.db", objective)
study.optimize(objective, n_trials=50)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from condensery import artifact
from condensery.apps.search.perform import divided
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data import ClassPool, PoolImages, load
from condensery.errors import BadInput
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.training import Images, TensorImages, accuracy_on_test, default_chunk, fit
from condensery.training_recipe import Recipe

if TYPE_CHECKING:
    import optuna  # type: ignore[import-not-found]

Suggest = Callable[["optuna.Trial"], dict[str, Any]]
"""Draws values of a trial: fields of `condensery.training_recipe.Recipe`, and options of the network, by name."""
_DATA = "condensery data"  # of a study's attributes


@dataclass
class Objective:
    """Validation accuracy of a network trained on a condensed set, or on all other training images.

    Validation images are a share of the training part. A set that was condensed from the whole training part has seen
    them; condense `Objective.images` where that matters.

    Attributes:
        train_on: a set, its file or run folder; None for the whole training part without the validation images.
        data: the images that the set was made from, as for `condensery.load_images`.
        suggest: see `Suggest`.
        network: its options are added to those that are suggested.
        epochs: passes, where none are suggested.
        reports: how often a trial may be pruned.
    """

    train_on: SyntheticSet | str | Path | None
    data: ImageData | str | Path
    suggest: Suggest
    network: str = "convnet"
    epochs: int = 300
    validation: float = 0.1
    augmentation: str = "auto"
    seed: int = 0
    repeats: int = 1
    reports: int = 3
    device: str = "auto"
    images: ImageData = field(init=False, repr=False)

    def __post_init__(self) -> None:
        whole = load(self.data)
        self.images, self._validation = divided(whole, self.validation, self.seed)
        self._device = pick_device(self.device)
        self.fingerprint = whole.fingerprint
        self._proxy: Images
        if self.train_on is None:
            self._proxy = PoolImages(ClassPool(self.images.train, whole.spec, self._device))
            return
        made = self.train_on if isinstance(self.train_on, SyntheticSet) else artifact.load(self.train_on)
        if made.spec.shape != whole.spec.shape or made.spec.class_names != whole.spec.class_names:
            raise BadInput(f"the set was not made from {whole.source}: its classes or its size differ")
        self._proxy = TensorImages(made.images.to(self._device).contiguous(), made.labels.to(self._device))

    def __call__(self, trial: optuna.Trial) -> float:
        """Mean validation accuracy over `repeats` networks, told to Optuna on the way. Raises optuna.TrialPruned."""
        import optuna  # type: ignore[import-not-found]

        values = self.suggest(trial)
        known = {one.name for one in fields(Recipe)}
        recipe = Recipe(**{"epochs": self.epochs, **{k: v for k, v in values.items() if k in known}})
        options = "".join(f"+{k}={v}" for k, v in values.items() if k not in known)
        factory = resolve(self.network + options)
        augment = SiameseAugmentation(resolve_strategy(self.augmentation, self.images.spec.flip))
        found, stops = [], {round(recipe.epochs * (k + 1) / self.reports) for k in range(self.reports)}
        for k in range(self.repeats):
            rng = Rng(self.seed).fork("tuning", k)
            network = factory.build(self.images.spec, rng.fork("network")).to(self._device)

            def look(epoch: int, network: torch.nn.Module = network, k: int = k) -> None:
                if k == 0 and epoch + 1 in stops:
                    trial.report(
                        accuracy_on_test(network, factory, self._validation, self._device), epoch + 1
                    )
                    network.train()
                    if trial.should_prune():
                        raise optuna.TrialPruned

            with rng.fork("layers").seeded(self._device):
                fit(network, self._proxy, recipe, rng.fork("training"), augment=augment,
                    chunk=default_chunk(self._device), on_epoch=look)  # fmt: skip
            found.append(accuracy_on_test(network, factory, self._validation, self._device))
        return float(np.mean(found))


def open_study(path: str | Path, objective: Objective, name: str = "tuning", **options: Any) -> optuna.Study:
    """A study in an SQLite file, begun or gone on with; `options` go to `optuna.create_study`.

    Raises:
        BadInput: Optuna is not installed, or the file holds a study of another set.
    """
    try:
        import optuna  # type: ignore[import-not-found]
    except ImportError as error:
        raise BadInput("Optuna is not installed: pip install 'condensery[search]'") from error
    storage = f"sqlite:///{Path(path).absolute()}"
    options = {"direction": "maximize", "storage": storage, "study_name": name, **options}
    study = optuna.create_study(load_if_exists=True, **options)
    before = study.user_attrs.get(_DATA)
    if before not in (None, objective.fingerprint):
        raise BadInput(
            f"{path} holds a study {name!r} of other images ({before[:12]}, not {objective.fingerprint[:12]}): "
            "choose another file or name"
        )
    study.set_user_attr(_DATA, objective.fingerprint)
    return study
