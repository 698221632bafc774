"""A whole condensation: run folder, time limit, curve, resuming, refusals."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import condensery
from condensery import (
    PROTOCOLS,
    BadFile,
    BadInput,
    ImageData,
    ImageSpec,
    StepReport,
    SyntheticSet,
    condense,
    driver,
    evaluate,
    get_method,
    load_images,
)
from condensery.commands import run_command
from condensery.methods import METHODS
from condensery.models.registry import NetworkFactory
from condensery.resuming import resume_run
from condensery.run_folder import RunFolder
from condensery.session import Interrupted, Options
from condensery.text import readable_seconds

NETWORK = "convnet+width=8+depth=2"
FAST = replace(PROTOCOLS["quick"], name="fast", epochs=2, plain_epochs=2, repeats=2)


def dm(data: Any, **options: Any) -> SyntheticSet:
    settings = {"network": NETWORK, "device": "cpu", "real_batch": 4, "steps": 3}
    return condense(data, "dm", **{**settings, **options})


def refused(match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_run_of_some_classes_is_found_again(tiny_file: Path, tmp_path: Path) -> None:
    """Whether `condense` chose them or `load_images`, on disk the run knows how to load them."""
    images = load_images(tiny_file, classes=["2", "0"])
    whole = dm(tiny_file, data_options={"classes": [2, 0]}, steps=4)
    dm(images, out=tmp_path / "run", steps=2)
    resumed = resume_run(tmp_path / "run", steps=4, options=Options("cpu"))
    assert torch.equal(resumed.images, whole.images)
    assert resumed.spec.class_names == ("2", "0") and resumed.spec.mean == load_images(tiny_file).spec.mean
    assert resumed.record["data"] == whole.record["data"]
    assert evaluate(tmp_path / "run", protocol=FAST, baselines=[]).record["data"] == f"{tiny_file}[2,0]"


def test_result_and_record(tiny_file: Path, tiny: ImageData) -> None:
    result = dm(tiny_file, ipc=2, seed=5)
    assert result.images.shape == (6, 1, 8, 8)
    assert result.spec == tiny.spec
    assert not result.images.requires_grad
    record = json.loads(json.dumps(result.record))
    assert (record["method"], record["ipc"], record["seed"], record["step"], record["steps"]) == (
        "dm",
        2,
        5,
        3,
        3,
    )
    assert record["fields"]["real_batch"] == 4 and record["fields"]["iterations"] == 20_000
    assert record["data"]["fingerprint"] == tiny.fingerprint
    assert record["versions"]["condensery"] and record["hardware"]


def test_precision_is_kept_and_said(tiny_file: Path, tiny: ImageData, tmp_path: Path) -> None:
    full, low = dm(tiny_file), dm(tiny_file, precision="bfloat16", out=tmp_path / "run", steps=2)
    assert (full.record["precision"], low.record["precision"]) == ("float32", "bfloat16")
    refused(
        "was started with precision bfloat16, not float32",
        lambda: dm(tiny_file, out=tmp_path / "run", resume=True),
    )
    gone_on = resume_run(tmp_path / "run", steps=3)
    assert gone_on.record["precision"] == "bfloat16"
    assert torch.equal(gone_on.images, dm(tiny_file, precision="bfloat16").images)
    difference = (gone_on.images - full.images).abs().max()
    assert 0 < difference < 0.1
    assert "--precision bfloat16" in run_command(low.record)
    assert "--precision" not in run_command(full.record)


def test_precision_of_an_evaluation_is_said(tiny_file: Path, tiny: ImageData) -> None:
    made, low = dm(tiny_file), FAST.with_precision("bfloat16")
    full = evaluate(made, tiny, protocol=FAST, baselines=(), device="cpu")
    asked = evaluate(made, tiny, protocol=FAST, baselines=(), device="cpu", precision="bfloat16")
    named = evaluate(made, tiny, protocol=low, baselines=(), device="cpu")
    assert (full.record["precision"], full.record["protocol"]) == ("float32", "fast")
    assert (asked.record["precision"], asked.record["protocol"]) == ("bfloat16", "fast+precision=bfloat16")
    assert asked.scores[0].accuracies == named.scores[0].accuracies
    refused("unknown precision 'half'", lambda: evaluate(made, tiny, precision="half"))
    refused("unknown precision 'half'", lambda: dm(tiny_file, precision="half"))


def test_files_of_a_run(tiny_file: Path, tmp_path: Path) -> None:
    result = dm(tiny_file, out=tmp_path / "run")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    sets = {"initial.safetensors", "set.safetensors"}
    assert names == {*sets, "run.json", "set.png", "checkpoint.safetensors", "curve.json"}
    assert torch.equal(condensery.load(tmp_path / "run").images, result.images)
    assert len(json.loads((tmp_path / "run" / "curve.json").read_text())["loss"]) == 3


def test_the_set_before_the_first_update_is_kept(tiny_file: Path, tiny: ImageData, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run", ipc=2, steps=1)
    path = tmp_path / "run" / "initial.safetensors"
    initial, final = condensery.load(path), condensery.load(tmp_path / "run")
    real = tiny.spec.normalise(torch.tensor(tiny.train.pixels).permute(0, 3, 1, 2))  # (N, 1, 8, 8)
    distances = torch.cdist(initial.images.flatten(1), real.flatten(1)).amin(1)
    assert distances.max() < 0.02, "dm starts from real images"
    assert not torch.equal(initial.images, final.images)
    assert (initial.record["step"], final.record["step"]) == (0, 1)
    before = path.read_bytes()
    dm(tiny_file, out=tmp_path / "run", ipc=2, steps=2, resume=True)
    assert path.read_bytes() == before


def test_a_run_of_an_older_version_goes_on_without_its_initial_set(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run", steps=1)
    (tmp_path / "run" / "initial.safetensors").unlink()
    dm(tiny_file, out=tmp_path / "run", steps=2, resume=True)
    assert not (tmp_path / "run" / "initial.safetensors").exists(), "step 1 is not the beginning"


def test_peak_memory_is_recorded(tiny_file: Path) -> None:
    assert 2**20 < dm(tiny_file).record["memory"] < 2**50


def test_out_changes_no_bit(tiny_file: Path, tmp_path: Path) -> None:
    assert torch.equal(
        dm(tiny_file).images, dm(tiny_file, out=tmp_path / "run", checkpoint_every=1e-9).images
    )


def test_seed_decides(tiny_file: Path) -> None:
    assert not torch.equal(dm(tiny_file, seed=1).images, dm(tiny_file, seed=2).images)


def test_published_steps_by_default(tiny_file: Path) -> None:
    heard: list[StepReport] = []
    condense(
        tiny_file,
        "dc",
        network=NETWORK,
        device="cpu",
        real_batch=4,
        iterations=2,
        callback=heard.append,
        ipc=3,
    )
    assert [r.step for r in heard] == [1, 2, 3, 4, 5, 6]  # 2 networks, 3 updates each by interpolation


def test_callback_hears_every_step(tiny_file: Path) -> None:
    heard: list[StepReport] = []
    result = dm(tiny_file, callback=heard.append)
    assert [(r.step, r.steps) for r in heard] == [(1, 3), (2, 3), (3, 3)]
    assert heard[-1].loss == result.record["loss"]
    assert torch.equal(heard[-1].synthetic.images.detach(), result.images)
    assert heard[0].seconds < heard[-1].seconds


def test_time_limit_stops_with_a_usable_result_that_can_go_on(tiny_file: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    result = dm(tiny_file, steps=8, out=tmp_path / "run", time_limit=1e-9, announce=lines.append)
    assert result.record["step"] == 1
    assert any("time limit: stopped after step 1 of 8; the result is usable" in line for line in lines)
    resumed = dm(tiny_file, steps=8, out=tmp_path / "run", resume=True)
    assert torch.equal(resumed.images, dm(tiny_file, steps=8).images)


def test_a_long_run_says_its_time_after_the_second_step(tiny_file: Path) -> None:
    """The first warms up. No step is made for the estimate alone."""
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        dm(tiny_file, steps=100, announce=lines.append, callback=_interrupt_after_two)
    assert sum("for 100 steps (" in line and "GiB on cpu" in line for line in lines) == 1


def _interrupt_after_two(report: StepReport) -> None:
    if report.step == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_writes_a_checkpoint(number: signal.Signals, tiny_file: Path, tmp_path: Path) -> None:
    def stop(report: StepReport) -> None:
        if report.step == 2:
            os.kill(os.getpid(), number)

    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, handler)  # which is ignored where the tests run in the background
    with pytest.raises(
        Interrupted, match="stopped after step 2 of 5; nothing is lost: continue with condense run"
    ):
        dm(tiny_file, steps=5, out=tmp_path / "run", callback=stop)
    assert signal.signal(number, before) is handler
    resumed = dm(tiny_file, steps=5, out=tmp_path / "run", resume=True)
    assert torch.equal(resumed.images, dm(tiny_file, steps=5).images)


def test_evaluation_on_the_way(tiny_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluate_at": (0, 2, 3), "protocol": FAST}
    result = dm(tiny_file, out=tmp_path / "run", **options)
    curve = json.loads((tmp_path / "run" / "curve.json").read_text())["accuracy"]
    assert [e["step"] for e in curve] == [0, 2, 3]
    assert all(e["n"] == 2 and 0 <= e["mean"] <= 1 and e["protocol"] == "fast" for e in curve)
    assert result.record["accuracies"] == condensery.load(tmp_path / "run").record["accuracies"] == curve
    assert torch.equal(result.images, dm(tiny_file).images)


def test_evaluations_survive_resuming(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, steps=2, out=tmp_path / "run", evaluate_at=(1,), protocol=FAST)
    options: dict[str, Any] = {"steps": 3, "evaluate_at": (1, 3), "protocol": FAST}
    resumed = dm(tiny_file, out=tmp_path / "run", resume=True, **options)
    whole = dm(tiny_file, **options)
    strip = [{k: v for k, v in e.items() if k != "seconds"} for e in resumed.record["accuracies"]]
    assert strip == [{k: v for k, v in e.items() if k != "seconds"} for e in whole.record["accuracies"]]


def test_resume_without_a_run_starts_one(tiny_file: Path, tmp_path: Path) -> None:
    assert dm(tiny_file, out=tmp_path / "run", resume=True).record["step"] == 3


def test_more_steps_on_resume(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, steps=2, out=tmp_path / "run")
    resumed = resume_run(tmp_path / "run", steps=6, options=Options(device="cpu"))
    assert torch.equal(resumed.images, dm(tiny_file, steps=6).images)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["steps"] == 6


def test_resuming_a_finished_run_gives_its_result(tiny_file: Path, tmp_path: Path) -> None:
    done = dm(tiny_file, out=tmp_path / "run")
    assert torch.equal(resume_run(tmp_path / "run", options=Options(device="cpu")).images, done.images)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 1}, "was started with seed 0, not 1"),
        ({"ipc": 2}, "was started with ipc 1, not 2"),
        ({"network": "mlp"}, "was started with network"),
        ({"real_batch": 5}, "was started with real_batch 4, not 5"),
    ],
)
def test_resume_with_other_settings_refused(
    change: dict[str, Any], match: str, tiny_file: Path, tmp_path: Path
) -> None:
    dm(tiny_file, out=tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    refused(match, lambda: dm(tiny_file, out=tmp_path / "run", resume=True, **change))
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_a_run_from_before_a_field_existed_goes_on_with_its_default(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, steps=2, out=tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    del settings["fields"]["augmentation"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(settings))
    refused(
        "was started with augmentation auto, not crop",
        lambda: dm(tiny_file, steps=4, out=tmp_path / "run", resume=True, augmentation="crop"),
    )
    resumed = dm(tiny_file, steps=4, out=tmp_path / "run", resume=True)
    assert torch.equal(resumed.images, dm(tiny_file, steps=4).images)


def test_resume_with_changed_data_refused(tiny_file: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(tiny_file))
    np.savez(tmp_path / "mine.npz", **arrays)
    dm(tmp_path / "mine.npz", out=tmp_path / "run")
    arrays["x_train"] = 255 - arrays["x_train"]
    np.savez(tmp_path / "mine.npz", **arrays)
    refused(
        r"mine\.npz has changed since the run", lambda: resume_run(tmp_path / "run", options=Options("cpu"))
    )
    refused(
        r"mine\.npz has changed since the run",
        lambda: dm(tmp_path / "mine.npz", out=tmp_path / "run", resume=True),
    )


def test_images_in_memory_can_be_resumed_with(tiny: ImageData, tmp_path: Path) -> None:
    nowhere = replace(tiny, source="made by hand")
    dm(nowhere, steps=1, out=tmp_path / "run")
    resumed = dm(nowhere, steps=3, out=tmp_path / "run", resume=True)
    assert torch.equal(resumed.images, dm(tiny).images)


def test_damaged_checkpoint_refused(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadFile, match=r"checkpoint\.safetensors is truncated, damaged"):
        resume_run(tmp_path / "run", options=Options(device="cpu"))


def test_checkpoint_of_another_run_refused(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "one")
    dm(tiny_file, out=tmp_path / "two", ipc=2)
    content = (tmp_path / "two" / "checkpoint.safetensors").read_bytes()
    (tmp_path / "one" / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(BadFile, match="belongs to another run"):
        resume_run(tmp_path / "one", options=Options(device="cpu"))


def test_a_taken_folder_is_refused_and_left_alone(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    refused("already holds a run", lambda: dm(tiny_file, out=tmp_path / "run"))
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ipc": 0}, "--ipc must be at least 1, not 0"),
        ({"ipc": -3}, "--ipc must be at least 1, not -3"),
        ({"ipc": "0=1"}, "--ipc says nothing of 1, 2"),
        ({"ipc": 2, "budget": "1kB"}, "leave out --ipc, or --budget"),
        ({"budget": "100B"}, "--budget 100B has no room for one image of each class"),
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"network": "transformer"}, "no network is called 'transformer'"),
        ({"network": "mlp"}, "dm matches embeddings and mlp has none"),
        ({"network": "convnet+depth=9"}, "too small for 9 poolings"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be positive seconds, not 0"),
        ({"time_limit": -1}, "--time-limit must be positive, not -1"),
        ({"evaluate_at": (-1,)}, "--evaluate-at takes numbers of steps, not -1"),
        ({"evaluate_at": (4,)}, "--evaluate-at 4 is never reached: the run makes 3 steps"),
        ({"protocol": "slow"}, "unknown protocol 'slow'"),
        ({"init": "zeros"}, "unknown initialisation 'zeros'"),
        ({"augmentation": "blur"}, "no augmentation is called 'blur'"),
        ({"image_lr": "fast"}, "must be a number"),
        ({"lr": 1.0}, "dm has no field 'lr'"),
    ],
    ids=str,
)
def test_bad_input_refused_before_anything_is_written(
    options: dict[str, Any], match: str, tiny_file: Path, tmp_path: Path
) -> None:
    refused(match, lambda: dm(tiny_file, out=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_bad_method_and_data(tiny_file: Path, tmp_path: Path) -> None:
    refused(
        f"unknown method 'dmm'; there are {', '.join(sorted(METHODS))}; did you mean 'dm'",
        lambda: condense(tiny_file, "dmm"),
    )
    refused("there is no file or folder", lambda: dm(tmp_path / "none.npz", out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    method = get_method("dm")
    refused("already configured", lambda: condense(tiny_file, method, image_lr=1.0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_refused(tiny_file: Path) -> None:
    refused(
        "--device cuda was asked for, but this machine has no usable CUDA GPU",
        lambda: dm(tiny_file, device="cuda"),
    )


def test_a_full_disk_during_a_run_loses_nothing(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dm(tiny_file, steps=2, out=tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        refused("the disk is full", lambda: resume_run(tmp_path / "run", steps=4, options=Options("cpu")))
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    resumed = resume_run(tmp_path / "run", steps=4, options=Options("cpu"))
    assert torch.equal(resumed.images, dm(tiny_file, steps=4).images)


def test_checkpoints_are_written_on_the_way(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies after step 3 leaves that step behind."""

    def die(report: StepReport) -> None:
        if report.step == 4:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        dm(tiny_file, steps=6, out=tmp_path / "run", checkpoint_every=1e-9, callback=die)
    assert condensery.load(tmp_path / "run").record["step"] == 3
    resumed = dm(tiny_file, steps=6, out=tmp_path / "run", resume=True)
    assert torch.equal(resumed.images, dm(tiny_file, steps=6).images)


def test_interrupted_has_its_exit_code() -> None:
    assert issubclass(Interrupted, condensery.CondenseryError)
    assert Interrupted("x").exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_readable_seconds(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text


def test_a_signal_during_an_evaluation_loses_nothing(tiny_file: Path, tmp_path: Path) -> None:
    """The evaluation is dropped after the epoch in hand, and made anew when the run goes on."""

    def press(spec: ImageSpec, network: NetworkFactory) -> None:
        if not pressed:
            pressed.append(os.kill(os.getpid(), signal.SIGINT))

    pressed: list[None] = []
    whole = dm(tiny_file, steps=4, evaluate_at=[2], protocol=FAST)
    endless = replace(FAST, augmenter=press, epochs=10**5, plain_epochs=10**5)
    with pytest.raises(Interrupted, match=r"stopped after step 2 of 4; nothing is lost"):
        dm(
            tiny_file,
            steps=4,
            out=tmp_path / "run",
            evaluate_at=[2],
            protocol=endless,
        )
    saved = RunFolder(tmp_path / "run").load()
    assert pressed and saved is not None and saved[1] == 2 and saved[2].accuracy == []
    result = dm(tiny_file, steps=4, out=tmp_path / "run", evaluate_at=[2], protocol=FAST, resume=True)
    assert torch.equal(result.images, whole.images)
    assert result.record["accuracies"][0]["mean"] == whole.record["accuracies"][0]["mean"]


def test_resuming_keeps_what_an_evaluation_noted(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    made = condensery.load(tmp_path / "run")
    noted = {"step": 3, "mean": 0.5, "std": 0.1, "n": 2, "protocol": "quick", "network": NETWORK}
    condensery.save(
        replace(made, record={**made.record, "accuracies": [noted]}), tmp_path / "run/set.safetensors"
    )
    resumed = resume_run(tmp_path / "run", steps=4, options=Options("cpu"))
    assert resumed.record["accuracies"] == [noted]


def test_fewer_steps_than_made_refused(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    refused("is at step 3 already", lambda: resume_run(tmp_path / "run", steps=2, options=Options("cpu")))
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_a_result_without_its_checkpoint_is_not_overwritten(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    (tmp_path / "run/checkpoint.safetensors").unlink()
    before = (tmp_path / "run/set.safetensors").read_bytes()
    refused(
        "no checkpoint.safetensors to go on from",
        lambda: resume_run(tmp_path / "run", options=Options("cpu")),
    )
    assert (tmp_path / "run/set.safetensors").read_bytes() == before


def test_files_do_not_decide_which_code_runs(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("import pathlib; pathlib.Path('PWNED').touch()")
    monkeypatch.chdir(tmp_path)
    dm(tiny_file, out=tmp_path / "run")
    settings = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**settings, "network": "evil:make"}))
    refused("repeat --network evil:make", lambda: resume_run(tmp_path / "run", options=Options("cpu")))
    made = condensery.load(tmp_path / "run")
    condensery.save(
        replace(made, record={**made.record, "network": "evil:make"}), tmp_path / "evil.safetensors"
    )
    refused("name one with --networks", lambda: condensery.evaluate(tmp_path / "evil.safetensors", tiny_file))
    assert not (tmp_path / "PWNED").exists()


def test_a_picture_is_kept_after_a_failure(tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(driver.NonFinite, match=r"the set after step .* is kept in"):
        dm(tiny_file, out=tmp_path / "run", image_lr=1e38, steps=9)
    assert (tmp_path / "run/set.png").exists() and (tmp_path / "run/set.safetensors").exists()


def test_a_run_that_is_to_outlive_its_terminal_does(tiny_file: Path, tmp_path: Path) -> None:
    """nohup starts it with the signal ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        made = dm(tiny_file, out=tmp_path / "run", callback=lambda _: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert made.record["step"] == 3


def test_an_unfinished_set_without_a_checkpoint_is_made_anew(tiny_file: Path, tmp_path: Path) -> None:
    """Version 0.1 wrote the set first, so a full disk could leave it alone."""
    lines: list[str] = []
    dm(tiny_file, steps=4, out=tmp_path / "run", time_limit=1e-9)
    (tmp_path / "run/checkpoint.safetensors").unlink()
    made = resume_run(tmp_path / "run", options=Options("cpu", announce=lines.append))
    assert any("holds a set but no checkpoint.safetensors: the run starts anew" in line for line in lines)
    assert torch.equal(made.images, dm(tiny_file, steps=4).images)


def crash_points() -> list[tuple[str, ...]]:
    """What is there of a run's files, in the order in which they are written, when a process dies between two."""
    order = (
        "run.json",
        "initial.safetensors",
        "checkpoint.safetensors",
        "set.safetensors",
        "curve.json",
        "set.png",
    )
    return [order[:count] for count in range(len(order) + 1)]


@pytest.mark.parametrize("there", crash_points(), ids=len)
def test_whatever_a_crash_leaves_goes_on_to_the_same_bits(
    there: tuple[str, ...], tiny_file: Path, tmp_path: Path
) -> None:
    dm(tiny_file, out=tmp_path / "whole")
    dm(tiny_file, out=tmp_path / "run", time_limit=1e-9)
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(crash_points()[-1])
    for path in (tmp_path / "run").iterdir():
        if path.name not in there:
            path.unlink()
    made = dm(tiny_file, out=tmp_path / "run", resume=True)
    assert torch.equal(made.images, condensery.load(tmp_path / "whole").images)
    initial, whole = (condensery.load(tmp_path / name / "initial.safetensors") for name in ("run", "whole"))
    assert torch.equal(initial.images, whole.images)


def test_a_folder_that_is_deleted_meanwhile_is_a_line(tiny_file: Path, tmp_path: Path) -> None:
    refused(
        f"cannot write {tmp_path}/run/checkpoint.safetensors: there is no folder {tmp_path}/run; make it",
        lambda: dm(tiny_file, out=tmp_path / "run", callback=lambda _: shutil.rmtree(tmp_path / "run", True)),
    )


def test_a_short_run_says_its_time_after_the_first_step(tiny_file: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    dm(tiny_file, steps=9, out=tmp_path / "run", announce=lines.append, time_limit=1e-9)
    dm(tiny_file, steps=9, out=tmp_path / "run", announce=lines.append, resume=True)
    said = [line for line in lines if " more steps (" in line]
    assert len(said) == 2 and "for 8 more steps (" in said[0] and "for 7 more steps (" in said[1]


def test_fields_do_not_decide_which_code_runs(tiny_file: Path, tmp_path: Path) -> None:
    dm(tiny_file, out=tmp_path / "run")
    settings = json.loads((tmp_path / "run/run.json").read_text())
    patches = {**settings, "method": "patches", "fields": {"teacher": "evil:make"}}
    (tmp_path / "run/run.json").write_text(json.dumps(patches))
    refused(
        "uses a teacher of your own: repeat --teacher evil:make to run its code",
        lambda: resume_run(tmp_path / "run", options=Options("cpu")),
    )
