"""What an evaluation says before it starts, and what of it fits into minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import condensery
from condensery import PROTOCOLS, BadInput, ImageData, evaluate
from condensery.evaluation import evaluator
from condensery.evaluation.plan import within

QUICK = replace(PROTOCOLS["quick"], epochs=300, plain_epochs=300, repeats=3)


def seconds(protocol: Any, repeats: int) -> float:
    return repeats * protocol.epochs * 0.1  # 90 seconds as asked for


@pytest.mark.parametrize(
    ("minutes", "epochs", "repeats"),
    [(2.0, 300, 3), (1.5, 300, 2), (0.8, 300, 1), (0.4, 150, 1), (0.04, 15, 1)],
)
def test_networks_are_given_up_first_then_epochs(minutes: float, epochs: int, repeats: int) -> None:
    protocol, number, said = within(minutes, QUICK, 3, False, seconds)
    assert (protocol.epochs, number) == (epochs, repeats)
    assert (f"protocol quick+epochs={epochs}" in said) == (epochs < 300)
    assert ("in place of 3" in said) == (repeats < 3)


def test_a_number_of_networks_that_was_asked_for_stays() -> None:
    protocol, number, _ = within(0.4, QUICK, 3, True, seconds)
    assert number == 3 and protocol.epochs < 300


def test_too_few_minutes_say_how_many_are_enough() -> None:
    with pytest.raises(BadInput, match=r"--minutes 0\.001 is too short for this evaluation") as said:
        within(0.001, QUICK, 3, False, seconds)
    enough = float(str(said.value).split("give --minutes ")[1].split()[0])
    assert within(enough * 1.01, QUICK, 3, False, seconds)[0].epochs == 15


def test_an_evaluation_says_its_time_and_its_cuts_before_it_starts(tiny: ImageData, monkeypatch) -> None:
    made = condensery.select(tiny, "random", ipc=1)
    heard: list[str] = []
    network = ["convnet+width=4+depth=1"]
    options = {"networks": network, "baselines": ["random"], "device": "cpu", "announce": heard.append}
    short = replace(QUICK, name="short", epochs=3, plain_epochs=3)
    plain = evaluate(made, tiny, protocol=short, **options)
    assert not any("networks on cpu" in line for line in heard), "it would take longer to measure than to do"
    monkeypatch.setattr(evaluator, "within", lambda *_: (short.with_epochs(1), 1, "; cut to fit: all"))
    cut = evaluate(made, tiny, protocol=short, minutes=1, **options)
    assert heard[-1].endswith("for 2 networks on cpu; cut to fit: all")
    assert cut.record["protocol"] == "short+epochs=1" and (plain.scores[0].n, cut.scores[0].n) == (3, 1)
    with pytest.raises(BadInput, match="--minutes must be a positive number, not 0"):
        evaluate(made, tiny, minutes=0)
