"""`condense run`: flags, files, stopping, resuming."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from cli_images import TINY, make_photos

import condensery
from condensery.cli import arguments
from condensery.cli.declared import methods, owners
from condensery.cli.output import Output
from condensery.cli.progress import Progress
from condensery.commands import run_command
from condensery.errors import BadInput
from condensery.evaluation.news import Trained, Training
from condensery.methods import METHODS
from condensery.session import StepReport

ONE_EPOCH = replace(condensery.PROTOCOLS["quick"], name="one epoch", epochs=1, plain_epochs=1)


def test_run_writes_the_result_and_says_where_it_is(condense, tmp_path):
    done = condense("run --data digits --steps 3 --ipc 2 --out demo", *TINY)
    assert done.code == 0 and done.err == ""
    assert "demo/set.safetensors" in done.out and "demo/set.png" in done.out
    assert "condense evaluate demo" in done.out
    synthetic = condensery.load("demo")
    assert len(synthetic) == 20 and synthetic.record["step"] == 3
    assert synthetic.record["fields"]["real_batch"] == 8
    assert (tmp_path / "demo" / "set.png").stat().st_size > 0


def test_default_out_names_data_method_ipc_and_seed(condense, photos):
    assert condense("run --steps 1 --ipc 2 --seed 7 --data", photos, *TINY).code == 0
    assert Path("runs/photos-dm-ipc2-seed7/set.safetensors").exists()


@pytest.mark.parametrize(
    ("data", "expected"),
    [("uoft-cs/cifar10", "cifar10"), ("digits", "digits"), ("a/b c!.npz", "b_c_.npz"), ("..", None)],
)
def test_default_out_is_one_plain_folder_name(data, expected):
    name = arguments.default_out(data, "dm", 1, 0)
    assert len(name.parts) == 2 and not name.name.startswith(".")
    assert expected is None or name == Path(f"runs/{expected}-dm-ipc1-seed0")


def test_json_is_one_document_on_stdout_and_lines_go_to_stderr(condense):
    done = condense("run --data digits --steps 2 --out demo --json", *TINY)
    document = json.loads(done.out)
    assert done.code == 0
    assert document["set"] == "demo/set.safetensors" and document["images"] == 10
    assert document["record"]["steps"] == 2
    assert "Siamese augmentation" in done.err


def test_resume_needs_no_other_flag_and_gives_the_same_bits(condense):
    flags = ("run --data digits --seed 3 --out", *TINY)
    condense(flags[0], "whole", *TINY, "--steps", 4)
    condense(flags[0], "parts", *TINY, "--steps", 2)
    done = condense("run --resume --out parts --steps 4")
    assert done.code == 0 and "resuming after step 2 of 4" in done.out
    assert torch.equal(condensery.load("whole").images, condensery.load("parts").images)
    assert condense("run --resume --out parts").code == 0, (
        "a finished run can be resumed: nothing is left to do"
    )


def test_resume_accepts_flags_that_agree(condense, photos):
    line = f"run --data {photos} --method dm --ipc 2 --seed 1 --size 8 --out demo --resume"
    assert condense(line, *TINY, "--steps", 1).code == 0, "no run there yet: it is started"
    assert condense(line, *TINY, "--steps", 2).code == 0
    assert condensery.load("demo").record["step"] == 2


def test_classes_are_chosen_recorded_and_found_again(condense):
    line = "run --data digits --classes 8,3 --out demo"
    assert condense(line, *TINY, "--steps", 1).code == 0
    synthetic = condensery.load("demo")
    assert synthetic.spec.class_names == ("8", "3")
    assert synthetic.record["data"]["options"] == {"classes": ["8", "3"]}
    assert condense("run --resume --out demo --steps 2").code == 0
    assert condense(line, "--resume", *TINY, "--steps", 3).code == 0
    refused = condense("run --resume --out demo --classes 3,8")
    assert refused.code == 2 and "was started with options {'classes': ['8', '3']}, not" in refused.err
    evaluation = condensery.evaluate("demo", repeats=1, baselines=[], protocol=ONE_EPOCH)
    assert evaluation.record["data"] == "digits[8,3]"
    assert "--data digits --method dm --ipc 1 --steps 3 " in evaluation.record["made_with"][0]
    assert " --classes 8,3 " in evaluation.record["made_with"][0] + " "


def test_class_names_with_commas(condense, tmp_path):
    make_photos(tmp_path / "photos", ("cat, black", "dog", "owl"))
    done = condense("run --steps 1 --data photos --out demo --classes", 'dog,"cat, black"', *TINY)
    assert done.code == 0
    record = condensery.load("demo").record
    assert record["data"]["options"] == {"classes": ["dog", "cat, black"]}
    words = shlex.split(run_command(record))
    assert words[words.index("--classes") + 1] == 'dog,"cat, black"'


def test_a_folder_named_like_a_known_set_changes_nothing(condense):
    Path("digits").mkdir()
    condense("run --data digits --steps 1 --out demo", *TINY)
    assert condense("run --resume --data digits --steps 2 --out demo").code == 0


@pytest.mark.parametrize(
    "flag",
    ["--seed 9", "--ipc 2", "--method dc", "--network lenet", "--real-batch 4", "--data other", "--size 16"],
)
def test_resume_refuses_flags_that_disagree(condense, flag):
    condense("run --data digits --steps 1 --out demo", *TINY)
    done = condense(f"run --resume --out demo {flag}")
    assert done.code == 2 and "was started with" in done.err and done.err.count("\n") == 1


def test_time_limit_stops_with_a_usable_result(condense):
    done = condense("run --data digits --steps 100000 --time-limit 0.2s --out demo", *TINY)
    assert done.code == 0 and "time limit: stopped after step" in done.out
    assert 0 < condensery.load("demo").record["step"] < 100000


def test_evaluation_on_the_way_is_stored(condense, fast_protocol):
    done = condense("run --data digits --steps 3 --evaluate-at 0,2 --out demo", *TINY)
    assert done.code == 0 and "step 2:" in done.out
    curve = json.loads(Path("demo/curve.json").read_text())
    assert [point["step"] for point in curve["accuracy"]] == [0, 2]
    assert len(curve["loss"]) == 3
    assert [point["step"] for point in condensery.load("demo").record["accuracies"]] == [0, 2]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_field_of_a_method_has_a_flag(condense, method):
    """Given at their defaults, all flags together change nothing."""
    values = [word for field in methods()[method].fields for word in (field.flag, field.default)]
    defaults = {f.name: f.default for f in fields(METHODS[method])}
    quick = {
        "real_batch": 4,
        "teacher_epochs": 1,
        "crops": 1,
        "experts": 1,
        "max_start_epoch": 1,
        "syn_steps": 1,
        "gan_steps": 2,
        "training_steps": 2,
        "generator_width": 8,
    }
    smaller = {name: value for name, value in quick.items() if name in defaults}
    small = [word for name, value in smaller.items() for word in (f"--{name.replace('_', '-')}", value)]
    command = f"run --data digits --steps 1 --method {method} --preset paper --out demo"
    done = condense(command, *values, *small, "--network", TINY[1])
    assert done.code == 0, done.err
    assert condensery.load("demo").record["fields"] == {**defaults, **smaller}


def test_every_flag_is_explained_in_the_help(condense, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = condense("run --help-all").out
    for name, having in owners("methods").items():
        assert f"--{name.replace('_', '-')} " in text
        assert all(field.doc for field in having.values())


OWN = """
from torch import nn
class Lazy(nn.Module):
    def __init__(self, channels, image_size, num_classes):
        super().__init__()
        self.first, self.last = nn.LazyConv2d(4, 3), nn.LazyLinear(num_classes)
    def embed(self, x):
        return self.first(x).relu().flatten(1)
    def forward(self, x):
        return self.last(self.embed(x))
class Frozen(nn.Module):
    def __init__(self, channels, image_size, num_classes):
        super().__init__()
        self.last = nn.Linear(image_size[0] * image_size[1], num_classes).requires_grad_(False)
    def embed(self, x):
        return x.flatten(1)
    def forward(self, x):
        return self.last(x.flatten(1))
"""


@pytest.mark.parametrize("method", ["dm", "dc", "dcc", "frepo"])
def test_own_networks_with_lazy_layers(condense, tmp_path, method):
    (tmp_path / "lazynets.py").write_text(OWN)
    for out in ("one", "two"):
        done = condense(f"run --data digits --method {method} --steps 1 --network lazynets:Lazy --out {out}")
        assert done.code == 0, done.err
    assert torch.equal(condensery.load("one").images, condensery.load("two").images)


def test_own_networks_with_nothing_to_train(condense, tmp_path):
    (tmp_path / "lazynets.py").write_text(OWN)
    said = "the network Frozen has no trainable parameters"
    for method in ("dc", "frepo"):
        done = condense(f"run --data digits --method {method} --steps 1 --network lazynets:Frozen --out x")
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err
        assert not Path("x").exists()
    condense("select --data digits --method random --ipc 1 --out set")
    done = condense("evaluate set --networks lazynets:Frozen --repeats 1 --baselines none")
    assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err


def test_a_flag_of_another_method_is_refused(condense):
    done = condense("run --data digits --method dm --inner-loop 3")
    assert done.code == 2
    assert done.err == (
        "condense: error: method dm has no --inner-loop (it belongs to dc, dcc, dsa and dsac): "
        "see condense methods dm\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("0.5", 0.5)]
)
def test_times(text, expected):
    assert arguments.seconds("--time-limit", text) == expected


@pytest.mark.parametrize("text", ["", "soon", "10 minutes", "m", "nan", "inf", "1h30"])
def test_times_that_are_none(text):
    with pytest.raises(BadInput, match="--time-limit takes"):
        arguments.seconds("--time-limit", text)


def test_how_images_are_read_is_typed_kept_and_told(condense, photos, fast_protocol):
    """Parts by name, damaged images left out: the set's command repeats it, and --resume takes no other."""
    make_photos(Path("sets/learning"), count=6)
    make_photos(Path("sets/check"), count=3)
    Path("sets/learning/cat/broken.png").write_bytes(b"no picture")
    line = "run --data sets --train-split learning --test-split check --steps 1 --out demo"
    assert condense(line, *TINY).code == 2
    done = condense(f"{line} --skip-damaged", *TINY)
    assert done.code == 0 and "broken.png" in done.out, done
    options = condensery.load("demo").record["data"]["options"]
    assert options == {"train_split": "learning", "test_split": "check", "skip_damaged": True}
    command = run_command(condensery.load("demo").record)
    assert "--train-split learning --test-split check --skip-damaged --real-batch" in command
    assert condense(command.removeprefix("condense "), "--out", "again").code == 0
    assert torch.equal(condensery.load("demo").images, condensery.load("again").images)
    assert "started with" in condense("run --resume --out demo --test-split learning").err


@pytest.mark.parametrize("text", ["1", "a,b", "1,2,3", ""])
def test_ranges_of_values_that_are_none(condense, text):
    done = condense("run --data digits --value-range", text)
    assert done.code == 2 and "--value-range takes two numbers, the lower one first" in done.err


def test_a_log_file_gets_a_line_now_and_then(capsys):
    """With the measured rate: the estimate before the first step may have met a busy machine."""
    progress = Progress(Output())
    progress.wanted = False
    for step in range(1, 200):
        progress.condensing(StepReport(step, 1000, 0.5, 8.4 * step, None))
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= 10
    assert lines[0] == "step 8/1000  loss 0.5  8.4 s/step  1 min 7 s, 2 h 18 min left"


def test_a_log_file_hears_of_networks_that_take_long(capsys):
    progress = Progress(Output())
    progress.wanted = False
    news = [Trained("dm", "convnet", 0.5, done, 7) for done in range(1, 8)]
    progress.evaluating(news[0])
    assert capsys.readouterr().out == "", "a short evaluation is quiet"
    progress.began -= 140
    for one in news[1:]:
        progress.evaluating(one)
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "2/7 networks  dm, convnet: 50.0 %  2 min 20 s, about 5 min 50 s left"


def test_a_log_file_hears_of_networks_while_they_train_at_once(capsys):
    """Those that are trained are tested one after the other: what is left counts them all."""
    progress = Progress(Output())
    progress.wanted = False
    progress.began -= 140
    for epoch in (100, 250):
        progress.training(Training("dm", "convnet", epoch, 1000, 8, 0, 10))
    progress.training(Training("dm", "convnet", 1000, 1000, 8, 0, 10))
    progress.began -= 660
    for done in range(1, 9):
        progress.evaluating(Trained("dm", "convnet", 0.5, done, 10))
    assert capsys.readouterr().out.splitlines() == [
        "0/10 networks  dm, convnet: epoch 100 of 1,000, 8 at once  2 min 20 s, about 26 min 50 s left",
        "1/10 networks  dm, convnet: 50.0 %  13 min 20 s, about 3 min 20 s left",
    ]


def test_minutes_choose_settings_that_the_command_of_the_set_repeats(condense, monkeypatch):
    monkeypatch.setattr("condensery.minutes.fitting._rounded", lambda steps: 2)
    done = condense("run --data digits --minutes 5 --out demo", *TINY)
    assert done.code == 0 and "5 minutes: 2 steps of " in done.out
    made = condensery.load("demo")
    command = run_command(made.record)
    assert "--minutes" not in command and "--steps 2" in command
    again = condense(*shlex.split(command)[1:], "--out", "again")
    assert again.code == 0 and torch.equal(condensery.load("again").images, made.images)
    default = condense("run --data digits --device cpu --out default", *TINY)
    assert "preset fast: 600 steps" in default.out and "15 minutes: 2 steps of " in default.out
    resumed = condense("run --resume --minutes 7 --steps 3 --out demo", "--network", TINY[1])
    assert resumed.code == 0 and "--minutes is for new runs" in resumed.out
    assert condensery.load("demo").record["step"] == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [("--minutes 0", "--minutes must be a positive number"), ("--minutes 3 --steps 5", "both say how long")],
)
def test_minutes_that_cannot_be(condense, flags, message):
    done = condense(f"run --data digits --out demo {flags}")
    assert done.code == 2 and message in done.err and not Path("demo").exists()
