"""Hyper-parameters tuned on a condensed set: how well its ranking predicts that of the whole training part.

Optuna tries learning rate, weight decay and width of a ConvNet on the condensed set; then the same values are tried on
the whole training part. Both studies are in one SQLite file, and the same command goes on with them. It says how well
the ranks agree, what the values chosen on the condensed set reach on the whole, and how much sooner they are found.

    pip install 'condensery[search]'
    python examples/tune_on_condensed.py --data digits --trials 20 --out tuning.db
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import optuna
from scipy.stats import spearmanr

import condensery
from condensery.apps.tuning import Objective, open_study


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """A learning rate, a weight decay and a width."""
    return {
        "lr": trial.suggest_float("lr", 1e-3, 1.0, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
        "width": trial.suggest_categorical("width", [8, 16, 32, 64]),
    }


def seconds(trials: Sequence[optuna.trial.FrozenTrial]) -> float:
    """That they took."""
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration)


def until(study: optuna.Study, value: float) -> list[optuna.trial.FrozenTrial]:
    """The trials in their order up to the first that is as good as `value`."""
    reached = next(i for i, trial in enumerate(study.trials) if (trial.value or 0.0) >= value)
    return study.trials[: reached + 1]


def main(words: Sequence[str] | None = None) -> float:
    """Prints the comparison; returns Spearman's rank correlation of the trials that both studies finished."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="a source of images")
    parser.add_argument("--size", type=int, default=None, help="side of the images")
    parser.add_argument("--method", default="dm", help="makes the condensed set")
    parser.add_argument("--ipc", type=int, default=10, help="images per class")
    parser.add_argument("--steps", type=int, default=300, help="updates of the set")
    parser.add_argument("--epochs", type=int, default=300, help="on the condensed set")
    parser.add_argument("--whole-epochs", type=int, default=20, help="on the whole training part")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1, help="trainings of a trial on the set")
    parser.add_argument("--network", default="convnet", help="gets the suggested width")
    parser.add_argument("--out", default="tuning.db", help="SQLite file")
    asked = parser.parse_args(words)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    data = condensery.load_images(asked.data, size=asked.size)
    whole = Objective(None, data, suggest, asked.network, asked.whole_epochs)
    made = condensery.condense(  # from images that are not used for validation
        whole.images, asked.method, ipc=asked.ipc, steps=asked.steps, network=f"{asked.network}+width=32"
    )
    small = Objective(made, data, suggest, asked.network, asked.epochs, repeats=asked.repeats)
    first = open_study(asked.out, small, "condensed", sampler=optuna.samplers.TPESampler(seed=0))
    first.optimize(small, n_trials=max(0, asked.trials - len(first.trials)))
    second = open_study(asked.out, whole, "whole", pruner=optuna.pruners.NopPruner())
    complete = [trial for trial in first.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    known = [trial.params for trial in second.trials]
    for trial in complete:
        if trial.params not in known:
            second.enqueue_trial(trial.params)
            second.optimize(whole, n_trials=1)

    pairs = [(a.value, b.value) for a in complete for b in second.trials if a.params == b.params]
    correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    best = max(b.value or 0.0 for b in second.trials)
    chosen = next(b.value or 0.0 for b in second.trials if b.params == first.best_params)
    soon, late = seconds(first.trials), seconds(until(second, chosen))
    print(f"{len(pairs)} trials on both: rank correlation {correlation:.2f}")
    print(f"best on {len(made)} images: {first.best_params}")
    print(f"it reaches {100 * chosen:.1f} % on the whole; the best of all reaches {100 * best:.1f} %")
    print(
        f"{soon:.0f} s of trials on the condensed set and {made.record.get('seconds', 0.0):.0f} s to make it; "
        f"{seconds(second.trials):.0f} s on the whole, {late:.0f} s until one was as good as the chosen"
    )
    return correlation


if __name__ == "__main__":
    main()
