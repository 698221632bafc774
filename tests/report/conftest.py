"""Real runs on a few digits, with evaluations, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import FAST, NETWORK, make_run, note_evaluation


@pytest.fixture(scope="session")
def runs(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seeds at 1 image per class, evaluated together, and one run at 2, evaluated with baselines."""
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "a": make_run(tiny_file, folder / "a", evaluate_at=(0, 3), protocol=FAST),
        "b": make_run(tiny_file, folder / "b", seed=1),
        "c": make_run(tiny_file, folder / "c", ipc=2),
    }
    note_evaluation([made["a"], made["b"]], baselines=("random",))
    note_evaluation([made["c"]], networks=[NETWORK, "mlp"])
    return made
