"""Bad input: exit code 2, exactly one line on stderr that says what is wrong, nothing left behind."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_images import TINY, make_photos
from PIL import Image

import condensery
from condensery.cli import main as main_module


def refused(done, *words: str, code: int = 2) -> str:
    """Assert that a command ended in one error line which has all of `words`."""
    assert done.code == code, done
    assert done.err.startswith("condense: error: ") and done.err.count("\n") == 1 and done.err.endswith("\n")
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err
    return done.err


def nothing_left(folder: str | Path = "demo") -> bool:
    return (
        not Path(folder).exists() and not list(Path().glob("**/*.tmp")) and not list(Path().glob("**/.*tmp"))
    )


def save_npz(labels, pixels=None, path="set.npz"):
    images = np.random.default_rng(0).random((8, 8, 8)) if pixels is None else pixels
    np.savez(path, images=images, labels=np.array(labels))
    return path


# ---- the images


def test_no_data(condense):
    refused(condense("run"), "--data", "digits", "condense datasets")


@pytest.mark.parametrize("data", ["nowhere/at/all", "nothing.npz", "nothing.parquet"])
def test_missing_source(condense, data):
    refused(condense(f"run --data {data} --out demo"), data)
    assert nothing_left()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("3,11", ("digits has no class '11'", "0, 1, 2")),
        ("3", ("at least 2 classes", "--classes")),
        ("", ("at least 2 classes", "--classes")),
        ("3,8,3", ("'3' twice", "--classes")),
        ('3,"8', ("--classes takes names separated by commas", "'3,\"8'")),
        ("3\n8", ("--classes takes names separated by commas",)),
    ],
)
def test_bad_classes(condense, classes, words):
    refused(condense("run --data digits --out demo --classes", classes), *words)
    assert nothing_left()


def test_empty_folder(condense, tmp_path):
    (tmp_path / "photos").mkdir()
    refused(condense("run --data photos --out demo"), "photos", "class")
    assert nothing_left()


def test_single_class(condense):
    make_photos(Path("photos"), ("cat",))
    refused(condense("run --data photos --out demo"), "'cat'", "2")
    assert nothing_left()


def test_class_with_fewer_images_than_ipc(condense, photos):
    for path in sorted((photos / "dog").iterdir())[2:]:
        path.unlink()
    done = condense("run --data photos --ipc 3 --steps 1 --out demo", *TINY)
    assert done.code == 0 and "repeated with augmentation: dog " in done.out
    refused(condense("run --data photos --ipc 3 --method patches --out other"), "--ipc 3", "dog")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and then nonsense"])
def test_damaged_image_among_good_ones(condense, photos, content):
    (photos / "cat" / "broken.png").write_bytes(content)
    refused(condense("run --data photos --out demo"), "broken.png")
    assert nothing_left()


def test_file_that_is_no_image_is_left_out_and_named(condense, photos):
    (photos / "cat" / "notes.txt").write_text("hello")
    done = condense("run --data photos --steps 1 --out demo", *TINY)
    assert done.code == 0 and "Not used: cat/notes.txt" in done.out, "said, and in nobody's way"
    (photos / "cat" / "broken.png").write_text("hello")
    refused(condense("run --data photos --out other"), "broken.png", "--skip-damaged")
    done = condense("run --data photos --skip-damaged --steps 1 --out other", *TINY)
    assert done.code == 0 and "1 damaged image (" in done.out


def test_parts_and_ranges_that_are_not_there(condense, photos):
    refused(condense("run --data photos --test-split exam --out demo"), "no part 'exam'", "cat")
    refused(condense("run --data photos --value-range 9,1 --out demo"), "value_range", "lower one first")
    refused(condense("run --data photos --value-range 9 --out demo"), "--value-range", "two numbers")
    refused(condense("run --data photos --value-range 0,3 --out demo"), "outside --value-range 0,3")
    assert nothing_left()


def test_sizes_that_differ(condense, photos):
    Image.new("RGB", (12, 12)).save(photos / "cat" / "large.png")
    refused(condense("run --data photos --out demo"), "large.png", "--size")
    assert nothing_left()
    assert condense("run --data photos --size 8 --steps 1 --out demo", *TINY).code == 0


def test_negative_label(condense):
    save_npz([0, 0, 0, 0, 1, 1, 1, -1])
    refused(condense("run --data set.npz --out demo"), "image 7", "-1")


def test_label_that_is_no_class(condense):
    images = np.zeros((8, 8, 8), np.uint8)
    np.savez("set.npz", x_train=images, y_train=np.arange(8) % 2, x_test=images, y_test=np.full(8, 5))
    refused(condense("run --data set.npz --out demo"), "label 5")


def test_pixels_that_are_not_finite(condense):
    pixels = np.random.default_rng(0).random((8, 8, 8))
    pixels[3, 0, 0] = np.nan
    save_npz([0, 1] * 4, pixels)
    refused(condense("run --data set.npz --out demo"), "set.npz")


def test_unknown_column(condense):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"pic": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b"])})
    rows = {"pic": [Image.new("L", (8, 8), 9 * i) for i in range(8)], "kind": [0, 1] * 4}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=features).to_parquet("set.parquet")
    refused(condense("run --data set.parquet --label-column colour --out demo"), "colour", "kind")
    assert nothing_left()


@pytest.mark.parametrize("flag", ["--image-column", "--label-column"])
@pytest.mark.parametrize("data", ["digits", "photos", "set.npz"])
def test_column_of_what_is_no_table(condense, photos, data, flag):
    save_npz([0, 1] * 4)
    refused(condense(f"run --data {data} {flag} colour --out demo"), data, "'colour'", flag, "Parquet")
    assert nothing_left()


def test_images_of_one_colour(condense):
    save_npz([0, 1] * 4, np.full((8, 8, 8), 0.5))
    refused(condense("run --data set.npz --out demo"), "set.npz", "same plain area")
    assert nothing_left()


def test_npz_that_is_none(condense):
    Path("junk.npz").write_text("junk")
    assert "pickle" not in refused(condense("run --data junk.npz --out demo"), "junk.npz", "is no .npz file")
    assert nothing_left()


def test_hub_id_without_network(condense, monkeypatch):
    def offline(*_, **__):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", offline)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    done = condense("run --data some-owner/some-set --out demo")
    refused(done, "some-owner/some-set", "no network")
    assert nothing_left()


# ---- numbers and names


@pytest.mark.parametrize("ipc", [0, -1, 100000])
def test_ipc_out_of_range(condense, ipc):
    refused(condense(f"run --data digits --out demo --ipc {ipc}", *TINY), f"{ipc}")
    assert nothing_left()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--method dmm", ["unknown method 'dmm'", "'dm'"]),
        ("--network convnex", ["convnex", "convnet"]),
        ("--network convnet+depht=3", ["depht", "depth"]),
        ("--network no.such.module:Net", ["no.such.module:Net"]),
        ("--protocol quik", ["unknown protocol 'quik'", "quick"]),
        ("--steps 0", ["--steps must be at least 1"]),
        ("--size 3", ["size", "8"]),
        ("--channels 2", ["channels"]),
        ("--test-fraction 1.5", ["1.5"]),
        ("--checkpoint-every 0", ["--checkpoint-every must be positive"]),
        ("--time-limit 0", ["--time-limit must be positive"]),
        ("--time-limit soon", ["--time-limit takes", "'soon'"]),
        ("--evaluate-at 1,x", ["--evaluate-at takes", "'1,x'"]),
        ("--evaluate-at -1", ["--evaluate-at"]),
        ("--device tpu", ["unknown device 'tpu'"]),
        ("--real-batch -4", ["real_batch", "-4"]),
        ("--init zeros", ["zeros"]),
        ("--augmentation colour", ["colour"]),
        ("--method dc --distance manhattan", ["manhattan"]),
    ],
)
def test_bad_values(condense, flags, words):
    refused(condense(f"run --data digits --out demo {flags}"), *words)
    assert nothing_left()


SELECT = "select --data digits --out demo --network convnet+width=8+depth=1"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--method k-centre", ["unknown selector 'k-centre'", "did you mean 'k-center'?"]),
        ("--method dm", ["'dm' makes synthetic images", "condense run"]),
        ("--ipc 0", ["--ipc must be at least 1"]),
        ("--ipc 100000", ["--ipc 100000", "the 1,438 real ones"]),
        ("--network mlp", ["herding compares features and mlp has none", "convnet"]),
        ("--network convnex", ["convnex", "convnet"]),
        ("--weights imagenet", ["unknown weights 'imagenet'", "trained, random"]),
        ("--epochs 0", ["herding.epochs", "1 or more, not 0"]),
        ("--keep easy", ["method herding has no --keep", "condense methods herding"]),
        ("--method el2n --keep best", ["'best'", "easy, hard"]),
        ("--method el2n --networks -1", ["el2n.networks", "-1"]),
        ("--method consistency --share 1", ["--share 1 of 1438 images", "such as 0.5"]),
        ("--method consistency --share nan", ["consistency.share", "nan"]),
        ("--method grand --candidates 2 --ipc 3", ["--candidates 2", "--ipc 3"]),
        ("--method optimal-random --held-out 2", ["--held-out 2", "class '0'"]),
        ("--method random --epochs 3", ["method random has no --epochs"]),
        ("--device tpu", ["unknown device 'tpu'"]),
        ("--size 3", ["size", "8"]),
    ],
)
def test_select_bad_values(condense, flags, words):
    refused(condense(f"{SELECT} {flags}"), *words)
    assert nothing_left()


def test_select_without_data(condense):
    refused(condense("select --method random"), "--data", "digits", "condense datasets")


def test_run_with_a_selector(condense):
    refused(condense("run --data digits --method herding --out demo"), "'herding'", "condense select")
    assert nothing_left()


def test_select_into_a_folder_that_is_taken(condense):
    condense("select --data digits --method random --out demo")
    before = {path: path.read_bytes() for path in Path("demo").iterdir()}
    refused(condense("select --data digits --method random --seed 1 --out demo"), "demo already holds a set")
    refused(condense("run --data digits --steps 1 --out demo", *TINY), "demo already holds a set")
    refused(condense("run --resume --out demo"), "holds no run to resume")
    assert before == {path: path.read_bytes() for path in Path("demo").iterdir()}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody can write to")
def test_select_into_an_unwritable_folder(condense):
    refused(
        condense("select --data digits --method random --out /proc/condensery"),
        "cannot write /proc/condensery",
    )


def test_select_that_fails_leaves_no_empty_folder(condense, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("condensery.coresets.networks.fit", stop)
    done = condense(f"{SELECT} --epochs 1")
    assert (done.code, done.err) == (main_module.BAD_INPUT, "condense: interrupted\n")
    assert nothing_left()


def test_cuda_where_there_is_none(condense, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(condense("run --data digits --out demo --device cuda"), "CUDA", "--device cpu")
    assert nothing_left()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --nonsense", ["--nonsense", "condense run --help"]),
        ("run --ipc", ["--ipc", "condense run --help"]),
        ("run --ipc three", ["--ipc takes a whole number", "'three'"]),
        ("run --ipc=2.5", ["--ipc takes a whole number", "not '2.5'"]),
        ("run --image-lr fast", ["--image-lr takes a valid number, not 'fast'"]),
        ("run stray", ["stray"]),
        ("condens", ["condens", "condense --help"]),
        ("--nonsense", ["--nonsense", "condense --help"]),
        ("evaluate", ["RUN", "condense evaluate --help"]),
        ("export demo", ["--format"]),
        ("methods dn", ["unknown method 'dn'"]),
    ],
)
def test_command_lines_that_make_no_sense(condense, line, words):
    refused(condense(line), *words)


# ---- where results go


def test_folder_of_another_run(condense):
    condense("run --data digits --steps 1 --out demo", *TINY)
    before = {path: path.read_bytes() for path in Path("demo").iterdir()}
    refused(condense("run --data digits --steps 2 --out demo"), "already holds a run", "--resume")
    assert before == {path: path.read_bytes() for path in Path("demo").iterdir()}


def test_folder_with_other_things(condense):
    Path("demo").mkdir()
    Path("demo/thesis.tex").write_text("precious")
    refused(condense("run --data digits --steps 1 --out demo"), "not empty")
    refused(condense("run --data digits --steps 1 --out demo/thesis.tex"), "is a file")
    refused(condense("run --resume --out demo"), "holds no run to resume", "--data")
    assert [path.name for path in Path("demo").iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody can write to")
def test_unwritable_folder(condense):
    refused(
        condense("run --data digits --steps 1 --out /proc/condensery", *TINY), "cannot write /proc/condensery"
    )


def test_full_disk_keeps_the_last_good_files(condense, monkeypatch):
    condense("run --data digits --steps 2 --out demo", *TINY)
    before = {path: path.read_bytes() for path in Path("demo").iterdir() if path.name != "run.json"}

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(condense("run --resume --out demo --steps 3"), "the disk is full", "cannot write")
    assert before == {path: path.read_bytes() for path in before}
    assert not list(Path("demo").glob(".*"))


def test_damaged_runs(condense):
    condense("run --data digits --steps 1 --out demo", *TINY)
    checkpoint = Path("demo/checkpoint.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    refused(condense("run --resume --out demo"), "checkpoint.safetensors", "truncated")
    Path("demo/set.safetensors").write_bytes(b"\x80\x04nonsense")
    for line in ("evaluate demo", "show demo", "export demo --format npz --out x.npz"):
        refused(condense(line), "set.safetensors")
    Path("demo/run.json").write_text("[]")
    refused(condense("run --resume --out demo"), "run.json is damaged")


def test_data_that_changed_since(condense, photos):
    condense("run --data photos --steps 1 --out demo", *TINY)
    (photos / "cat" / "0.png").unlink()
    refused(condense("run --resume --steps 2 --out demo"), "has changed since the run")


# ---- evaluate and show


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--protocol fast", ["unknown protocol 'fast'"]),
        ("--repeats 0", ["--repeats must be at least 1"]),
        ("--baselines herding", ["unknown baseline 'herding'"]),
        ("--networks convnet,nosuch", ["nosuch"]),
        ("--whole-epochs 0", ["--whole-epochs"]),
        ("--results nowhere/x.jsonl", ["nowhere/x.jsonl"]),
        ("--device tpu", ["unknown device"]),
        ("--data photos", ["the set holds images of shape (1, 8, 8), photos of (3, 8, 8)"]),
        ("--soft-labels --teacher-epochs 0", ["--teacher-epochs must be at least 1"]),
        ("--soft-labels --temperature 0", ["--temperature must be a positive number"]),
        ("--soft-labels --teacher nosuch", ["nosuch"]),
        ("--teacher mlp", ["add --soft-labels"]),
        ("--w 2", ["w must be a fraction between 0 and 1, not 2.0"]),
        ("--gamma -1", ["gamma must be"]),
    ],
)
def test_evaluate_bad_values(condense, photos, flags, words):
    condense("run --data digits --steps 1 --out demo", *TINY)
    refused(condense(f"evaluate demo {flags}"), *words)
    assert not Path("demo/evaluations.jsonl").exists()


@pytest.mark.parametrize(
    "line", ["evaluate gone", "show gone", "export gone --format pt --out x.pt", "show ."]
)
def test_runs_that_are_none(condense, line):
    refused(condense(line), "run folder")


def test_show_bad_values(condense):
    condense("run --data digits --steps 1 --out demo", *TINY)
    refused(condense("show demo --per-class 0"), "--per-class must be at least 1")
    refused(condense("show demo --out nowhere/x.png"), "cannot write nowhere/x.png")
    refused(condense("show demo --out x.jpg"), ".png", "not x.jpg")
    refused(condense("export demo --format npz --out foo.bar"), ".npz", "not foo.bar")
    assert not Path("x.jpg").exists() and not Path("foo.bar").exists()


# ---- what nobody foresaw


def test_work_that_fails_exits_with_1(condense):
    done = condense("run --data digits --steps 50 --image-lr 1e38 --out demo", *TINY)
    refused(done, "step", "--image-lr", "kept in demo", code=1)
    assert torch.isfinite(condensery.load("demo").images).all()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ZeroDivisionError("division\nby zero"), 1, ["unexpected ZeroDivisionError", "CONDENSERY_DEBUG=1"]),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, ["No space left on device"]),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, ["Permission denied"]),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), 1, ["out of memory", "--real-batch"]),
    ],
)
def test_unforeseen_errors_are_one_line(condense, monkeypatch, error, code, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("condensery.runner.condense", fail)
    refused(condense("run --data digits --out demo"), *words, code=code)


@pytest.mark.parametrize(
    ("line", "advised"),
    [
        ("run --data digits --out demo", True),
        ("run --data digits --method=dsa --out demo", True),
        ("run --data digits --method patches --out demo", False),
        ("select --data digits --out demo", False),
    ],
)
def test_out_of_memory_names_only_what_the_command_has(condense, monkeypatch, line, advised):
    def fail(*_, **__):
        raise MemoryError("cannot allocate 3 GB")

    monkeypatch.setattr("condensery.runner.condense", fail)
    monkeypatch.setattr("condensery.selection.select", fail)
    said = refused(condense(line), "out of memory: cannot allocate 3 GB", code=1)
    assert ("--real-batch" in said) == advised


def test_debug_shows_where_it_comes_from(condense, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("condensery.runner.condense", fail)
    monkeypatch.setenv("CONDENSERY_DEBUG", "1")
    done = condense("run --data digits --out demo")
    assert (
        done.code == 1
        and "Traceback" in done.err
        and done.err.endswith("CONDENSERY_DEBUG=1 to see where it comes from\n")
    )


def test_second_ctrl_c_is_one_line(condense, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("condensery.runner.condense", stop)
    done = condense("run --data digits --out demo")
    assert (done.code, done.err) == (main_module.BAD_INPUT, "condense: interrupted\n")
