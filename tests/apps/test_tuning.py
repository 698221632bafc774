"""An objective on a condensed set, in real Optuna studies; skipped where it is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import condensery
from condensery import BadInput, ImageData

optuna = pytest.importorskip("optuna")
from condensery.apps.tuning import Objective, open_study  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of the library's storage
NETWORK = "convnet+depth=1"


def suggest(trial: Any) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-3, 0.1, log=True),
        "width": trial.suggest_categorical("width", [4, 8]),
    }


def objective(data: ImageData, **settings: Any) -> Objective:
    made = condensery.select(data, "random", ipc=2)
    return Objective(made, data, suggest, **{"network": NETWORK, "epochs": 2, "validation": 0.2, **settings})


def test_a_study_goes_on_in_its_file(four: ImageData, tmp_path: Path) -> None:
    one = objective(four)
    study = open_study(tmp_path / "tuning.db", one, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(one, n_trials=2)
    again = open_study(tmp_path / "tuning.db", one)
    again.optimize(one, n_trials=1)
    assert [trial.number for trial in again.trials] == [0, 1, 2]
    assert all(0 <= trial.value <= 1 and trial.intermediate_values for trial in again.trials)
    first = again.trials[0]
    assert one(optuna.trial.FixedTrial(first.params)) == first.value
    with pytest.raises(BadInput, match="holds a study 'tuning' of other images"):
        open_study(tmp_path / "tuning.db", objective(replace(four, fingerprint="a" * 64)))


def test_reports_do_not_change_the_result_and_prune(four: ImageData) -> None:
    params = {"lr": 0.01, "width": 4}
    values = {objective(four, reports=n)(optuna.trial.FixedTrial(params)) for n in (1, 2)}
    assert len(values) == 1

    class Always(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return True

    study = optuna.create_study(direction="maximize", pruner=Always())
    study.optimize(objective(four), n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED


def test_validation_images_are_not_trained_on(four: ImageData) -> None:
    whole = Objective(None, four, suggest, NETWORK, 2, validation=0.2)
    assert len(whole.images.train) == 32
    assert 0 <= whole(optuna.trial.FixedTrial({"lr": 0.01, "width": 4})) <= 1


def test_a_set_of_other_images_is_refused(four: ImageData) -> None:
    made = condensery.select(four, "random", ipc=1)
    other = replace(made, spec=replace(made.spec, class_names=("a", "b", "c", "d")))
    with pytest.raises(BadInput, match="the set was not made from four digits"):
        Objective(other, four, suggest)
    wide = replace(made, spec=replace(made.spec, width=9), images=torch.zeros(4, 1, 8, 9))
    with pytest.raises(BadInput, match="its classes or its size differ"):
        Objective(wide, four, suggest)


def test_the_example_compares_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tune_on_condensed

    words = f"--data digits --trials 4 --ipc 1 --steps 1 --epochs 1 --whole-epochs 1 --network {NETWORK}"
    found = tune_on_condensed.main([*words.split(), "--out", str(tmp_path / "t.db")])
    assert -1 <= found <= 1
