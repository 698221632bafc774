"""Minutes of a machine: settings that fit, chosen from timed steps, and recorded so that no clock has a say later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import condensery
from condensery import BadInput, ImageData, Task, get_method, minutes, runner
from condensery.data import ClassPool
from condensery.method import Preparation
from condensery.minutes import clock, fitting, preparing, teachers, within
from condensery.minutes.clock import Rung, work_of
from condensery.models.registry import resolve
from condensery.pretraining import joined
from condensery.records import LabeledImages

CPU = torch.device("cpu")
NETWORK = "convnet+width=8+depth=2"


def task_of(data: ImageData, network: str = "convnet") -> Task:
    pool = ClassPool(data.train, data.spec, CPU)
    return Task(pool, resolve(network), (1,) * data.spec.num_classes, CPU, 16)


def clock_of(data: ImageData) -> Any:
    return clock.Clock(task_of(data), 60.0)


def photos(data: ImageData, side: int) -> ImageData:
    """`data` enlarged to `side` pixels."""
    repeat = side // data.spec.height
    pixels = np.repeat(np.repeat(data.train.pixels, repeat, 1), repeat, 2)
    spec = replace(data.spec, height=side, width=side)
    return replace(data, spec=spec, train=LabeledImages(pixels, data.train.labels))


def timed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[Rung]:
    """Every step takes `seconds` for a work of 1, as `_work` has it; returns what was asked about."""
    asked: list[Rung] = []

    def step(clock: Any, rung: Rung) -> float:
        asked.append(rung)
        return seconds * work_of(rung, clock)

    monkeypatch.setattr(clock.Clock, "step", step)
    return asked


def test_a_budget_that_is_large_enough_changes_nothing(tiny: ImageData, monkeypatch) -> None:
    timed(monkeypatch, 1e-6)
    asked = get_method("dm", real_batch=64)
    found = within(1, asked, task_of(tiny), wanted=50)
    assert (found.method, found.network, found.steps) == (asked, "convnet", 50)
    assert "50 steps" in found.lines[0] and "cut" not in found.lines[0]
    filled = within(1, asked, task_of(tiny), wanted=50, fill=True)
    assert (filled.method, filled.steps) == (asked, 20_000)


def test_less_time_gives_up_more_and_never_what_was_asked_for(tiny: ImageData, monkeypatch) -> None:
    asked, data = get_method("dm", real_batch=64), photos(tiny, 64)
    work = clock.work_of(Rung(asked, "convnet"), clock_of(data))
    timed(monkeypatch, 60 * 0.8 / 600 / work)  # 600 steps as asked for take a minute's share
    cuts = []
    for given in (1.2, 0.3, 0.1, 0.03, 0.01):
        found = within(given, asked, task_of(data), wanted=600)
        cuts.append((found.method.real_batch, found.method.coarse, found.network))
        assert (
            found.steps * clock.work_of(Rung(found.method, found.network), clock_of(data))
            <= 600 * work * given
        )
        assert "more time: " in found.lines[1]
    assert cuts[0] == (64, 1, "convnet")
    assert cuts == sorted(cuts, key=lambda c: (-c[0], c[1])) and cuts[-1] == (16, 2, "convnet+width=32")
    kept = within(0.01, asked, task_of(data, "convnet+width=128"), fixed=["real_batch", "coarse"])
    assert (kept.method, kept.network) == (asked, "convnet+width=128") and kept.steps < 600


def test_coarse_steps_come_first_and_full_size_last(tiny: ImageData, monkeypatch) -> None:
    timed(monkeypatch, 1e-4)
    found = within(0.01, get_method("dm", real_batch=64), task_of(photos(tiny, 64)))
    assert found.method.coarse == 2
    assert 0 < found.method.coarse_steps == int(0.75 * found.steps) < found.steps
    assert f"the first {found.method.coarse_steps} steps at 32x32 pixels" in found.lines[0]


def test_a_budget_too_small_for_one_step_says_what_works(tiny: ImageData, monkeypatch) -> None:
    timed(monkeypatch, 10.0)
    short = r"--minutes 0\.01 is too short for one step of dm here, which takes .* s at least"
    with pytest.raises(BadInput, match=short) as said:
        within(0.01, get_method("dm"), task_of(tiny))
    enough = float(str(said.value).split("give --minutes ")[1].split()[0])
    assert within(enough, get_method("dm"), task_of(tiny)).steps >= 1


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf")])
def test_impossible_minutes_are_refused(tiny_file: Path, given: float) -> None:
    with pytest.raises(BadInput, match="--minutes must be a positive number"):
        condensery.condense(tiny_file, "dm", minutes=given)


def test_what_does_not_fit_in_memory_is_refused_before_a_step_is_timed(tiny: ImageData, monkeypatch) -> None:
    monkeypatch.setattr(clock.Clock, "step", lambda *_: pytest.fail("a step was timed"))
    with pytest.raises(
        BadInput, match=r"100,000,000 unrolled steps of .*: [\d,]+ steps would fit; choose fewer"
    ):
        within(5, get_method("mtt", syn_steps=10**8), task_of(tiny))


def test_minutes_and_steps_say_the_same_twice(tiny_file: Path) -> None:
    with pytest.raises(BadInput, match="--steps 3 and --minutes 1 both say how long"):
        condensery.condense(tiny_file, "dm", minutes=1, steps=3)


def test_what_a_budget_chose_is_recorded_and_needs_no_clock_again(
    tiny_file: Path, tmp_path: Path, monkeypatch
) -> None:
    """Real steps are timed; the run is stopped, resumed, and repeated from its record alone."""
    monkeypatch.setattr(fitting, "_rounded", lambda steps: min(steps, 6))
    run = {"network": NETWORK, "device": "cpu", "ipc": 1}
    heard: list[str] = []
    stopped = condensery.condense(
        tiny_file, "dm", minutes=5, out=tmp_path / "run", time_limit=1e-9, announce=heard.append, **run
    )
    assert any(line.startswith("5 minutes: 6 steps of ") for line in heard)
    assert (stopped.record["step"], stopped.record["steps"]) == (1, 6)
    monkeypatch.setattr(runner, "within", None)
    again = condensery.condense(tiny_file, "dm", minutes=5, out=tmp_path / "run", resume=True, **run)
    record = again.record
    repeated = condensery.condense(
        tiny_file, "dm", steps=record["steps"], **{**run, "network": record["network"]}, **record["fields"]
    )
    assert torch.equal(again.images, repeated.images) and record["step"] == 6


@pytest.mark.parametrize("name", sorted(condensery.METHODS))
def test_every_method_fits_into_a_budget(name: str, tiny: ImageData, quick_method, fresh_cache: Path) -> None:
    method = quick_method(name)
    found = within(1, method, task_of(tiny, NETWORK), wanted=2)
    assert type(found.method) is type(method) and 1 <= found.steps <= 2
    assert all("\n" not in line for line in found.lines)


def test_a_teacher_gets_the_epochs_and_the_size_that_fit(tiny: ImageData, monkeypatch) -> None:
    data, method = photos(tiny, 128), get_method("patches", candidates=12)
    monkeypatch.setattr(
        teachers, "seconds_per_image", lambda pool, settings, device: 1e-4 * (settings.size or 128) ** 2
    )
    found = within(1200, method, task_of(data))
    assert (found.method.teacher_size, found.method.teacher_epochs, found.steps) == (64, 0, 1)
    assert "a teacher that sees 64 pixels, 1,000 epochs" in found.lines[0]
    short = within(1, method, task_of(data))
    assert short.method.teacher_size == 32 and 0 < short.method.teacher_epochs < 1000
    with pytest.raises(
        BadInput, match="too short for 1 epoch of a teacher on 36 images here: give --minutes"
    ):
        within(0.01, method, task_of(data))
    with pytest.raises(BadInput, match="too short for 900 epochs of a teacher"):
        within(1, replace(method, teacher_epochs=900), task_of(data), fixed=["teacher_epochs"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None, "cpu"), ("fast", 15.0)),
        ((5, None, None, "cpu"), ("fast", None)),
        ((None, "paper", None, "cpu"), ("paper", None)),
        ((None, None, 3.0, "cpu"), (None, 3.0)),
        ((None, "fast", 3.0, "cpu"), ("fast", 3.0)),
    ],
)
def test_a_run_on_a_cpu_ends_in_time_unless_somebody_says_how_long(given: Any, expected: Any) -> None:
    found = minutes.chosen_length(*given)
    assert (found["preset"], found["minutes"]) == expected


def test_what_is_made_before_the_first_step_counts(tiny: ImageData, monkeypatch) -> None:
    needed = Preparation("expert", ("a", "b"), work=100.0, make=lambda k: None, without=None)
    monkeypatch.setattr(preparing.driver, "preparation", lambda *_: needed)
    monkeypatch.setattr(preparing, "seconds_per_image", lambda *_: 0.1)
    found = within(1, get_method("dm"), task_of(tiny, NETWORK), wanted=7)
    assert found.steps == 7 and "2 experts in about 20 s, then 7 steps" in found.lines[0]
    with pytest.raises(BadInput, match="too short for what dm makes before its first step here, 2 experts"):
        within(0.1, get_method("dm"), task_of(tiny, NETWORK), wanted=7)


def test_experts_get_half_of_the_time_and_what_is_given_up_is_said(tiny: ImageData, monkeypatch) -> None:
    """36 images at .01 s: an epoch takes .36 s, so 100 experts of 21 epochs 756 s and 25 of them 189 s."""
    method = get_method("mtt", expert_batch=12)
    timed(monkeypatch, 1.0 / work_of(Rung(method, NETWORK), clock_of(tiny)))
    monkeypatch.setattr(preparing, "seconds_per_image", lambda *_: 0.01)
    found = within(10, method, task_of(tiny, NETWORK), wanted=100)
    assert (found.method.experts, found.method.max_start_epoch, found.steps) == (25, 20, 100)
    assert found.lines[0].startswith("10 minutes: 25 experts in about 3 min 9 s, then 100 steps of 1 s")
    assert found.lines[0].endswith("; cut to fit: experts 25 in place of 100")
    assert "--minutes 18 would make 100 steps without these cuts" in found.lines[1]
    few = within(1, method, task_of(tiny, NETWORK), wanted=100)
    assert (few.method.experts, few.method.max_start_epoch) == (10, 5) and 20 < few.steps <= 26
    kept = within(2, method, task_of(tiny, NETWORK), wanted=100, fixed=["experts"])
    assert (kept.method.experts, kept.method.max_start_epoch) == (100, 1) and 20 < kept.steps <= 24
    with pytest.raises(
        BadInput, match="too short for what mtt makes before its first step here, 1 expert in about"
    ):
        within(0.01, method, task_of(tiny, NETWORK))


def test_a_teacher_that_does_not_fit_is_trained_less_or_left_out_and_it_is_said(
    tiny: ImageData, monkeypatch, fresh_cache: Path
) -> None:
    """36 images at .01 s: an epoch takes .36 s, so 200 of them 72 s."""
    method = get_method("dm", teacher_weight=1.0, teacher_epochs=200)
    timed(monkeypatch, 1.0 / work_of(Rung(method, NETWORK), clock_of(tiny)))
    monkeypatch.setattr(preparing, "seconds_per_image", lambda *_: 0.01)
    found = within(5, method, task_of(tiny, NETWORK), wanted=100)
    assert found.method.teacher_weight == 1 and found.lines[0].startswith(
        "5 minutes: 200 teacher epochs in about 1 min 12 s, then 100 steps"
    )
    less = within(1.7, method, task_of(tiny, NETWORK), wanted=100)
    assert less.method.teacher_weight == 1
    assert less.lines[0].endswith("teacher_epochs 100 in place of 200"), "a step is an epoch here"
    left = within(1, method, task_of(tiny, NETWORK), wanted=100)
    assert left.method.teacher_weight == 0
    assert left.lines[0].endswith("in place of 256, teacher_weight 0.0 in place of 1.0")
    kept = within(2.5, method, task_of(tiny, NETWORK), wanted=100, fixed=["teacher_weight"])
    assert kept.method.teacher_weight == 1 and kept.method.teacher_epochs == 100


def test_what_is_prepared_in_parts_is_timed_by_their_own_networks(tiny: ImageData) -> None:
    """A narrow teacher beside a part in images of another network: 3 x 10 images at 1 s, 1 x 5 at 4 s."""
    task, seconds = task_of(tiny, NETWORK), {NETWORK: 1.0, "convnet": 4.0}
    teacher = Preparation("teacher epoch", ("a", "b", "c"), 10.0, lambda k: None, None)
    generator = Preparation("piece", ("d",), 5.0, lambda k: None, None, "convnet")
    both = joined(teacher, generator)
    assert preparing.seconds_of_pieces(both, task, seconds.__getitem__) == [10, 10, 10, 20]
    assert both.parts == (teacher, generator) and teacher.parts == (teacher,)


def test_experts_that_are_there_take_no_time(tiny: ImageData, monkeypatch, fresh_cache: Path) -> None:
    method = get_method("mtt", experts=1, max_start_epoch=1, syn_steps=2, expert_batch=12)
    monkeypatch.setattr(preparing, "seconds_per_image", lambda *_: 1.0)
    heard: list[str] = []
    fields = {"experts": 1, "max_start_epoch": 1, "syn_steps": 2, "expert_batch": 12}
    condensery.condense(tiny, "mtt", ipc=1, steps=1, network=NETWORK, seed=3, announce=heard.append, **fields)
    assert "about 1 min 12 s for 1 expert that are needed first" in heard
    assert "expert" not in within(1, method, task_of(tiny, NETWORK), wanted=2, seed=3).lines[0]
    with pytest.raises(
        BadInput, match="what mtt makes before its first step here, 1 expert in about 1 min 12 s"
    ):
        within(1, method, task_of(tiny, NETWORK), wanted=2, seed=4)


def test_a_teacher_that_is_there_takes_no_time(tiny: ImageData, monkeypatch, fresh_cache: Path) -> None:
    method = get_method("patches", candidates=12, teacher_epochs=40)
    condensery.condense(tiny, "patches", ipc=1, network=NETWORK, candidates=12, teacher_epochs=40)
    monkeypatch.setattr(teachers, "seconds_per_image", lambda *_: 10.0)
    fixed = ["teacher_epochs", "teacher_size"]
    assert "teacher" not in within(600, method, task_of(tiny, NETWORK), fixed=fixed).lines[0]
    with pytest.raises(BadInput, match="too short for 41 epochs of a teacher"):
        within(1, replace(method, teacher_epochs=41), task_of(tiny, NETWORK), fixed=fixed)
