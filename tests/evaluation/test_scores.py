"""Means and spreads, by hand."""

from __future__ import annotations

import json

import pytest

from condensery import Score


def score(*rows: tuple[float, ...]) -> Score:
    return Score("dm", "convnet", 10, 1234, rows, 301, 12.34)


def test_mean_and_population_std_over_all_networks() -> None:
    """0, 0, 1, 1 spread by a half; a sample standard deviation would say .577."""
    s = score((0.0, 1.0), (0.0, 1.0))
    assert (s.n, s.mean, s.std) == (4, 0.5, 0.5)


def test_spread_between_sets_and_between_networks_are_apart() -> None:
    between_sets = score((0.2, 0.2), (0.4, 0.4))
    assert between_sets.std_between_sets == pytest.approx(0.2 / 2**0.5)
    assert between_sets.std_between_networks == pytest.approx(0)
    between_networks = score((0.2, 0.4), (0.4, 0.2))
    assert between_networks.std_between_sets == pytest.approx(0)
    assert between_networks.std_between_networks == pytest.approx(0.2 / 2**0.5)


def test_a_single_set_or_network_has_no_spread_of_its_kind() -> None:
    assert score((0.2, 0.4)).std_between_sets is None
    assert score((0.2,), (0.4,)).std_between_networks is None
    assert score((0.3,)).std == 0


def test_json() -> None:
    record = json.loads(json.dumps(score((0.25, 0.75)).to_json()))
    assert record["mean"] == 0.5 and record["std"] == 0.25 and record["n"] == 2 and record["sets"] == 1
    assert record["accuracies"] == [[0.25, 0.75]]
    assert record["seconds"] == 12.3
