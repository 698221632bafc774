"""The files of a run."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from condensery import BadFile, BadInput, ImageData, Rng, artifact
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.run_folder import Curve, RunFolder, RunSettings

SETTINGS = RunSettings(
    source="digits",
    options={"size": 16},
    fingerprint="abc",
    method="dm",
    fields={"image_lr": 1.0},
    ipc=2,
    network="convnet",
    seed=3,
    steps=100,
)
TENSORS = {"synthetic.0": torch.randn(4, 3, generator=Rng(0).torch()), "network.n": torch.tensor(7)}


def saved(folder: RunFolder, data: ImageData) -> Curve:
    curve = Curve([3.5, 1e-30, 2.0], [{"step": 2, "mean": 0.5}], 1.25)
    pool = ClassPool(data.train, data.spec, torch.device("cpu"))
    folder.save(TENSORS, 3, curve, random_selection(pool, 1, Rng(0)))
    return curve


def test_settings_round_trip(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a" / "b", SETTINGS)
    assert folder.exists
    assert RunFolder(tmp_path / "a" / "b").settings() == SETTINGS


def test_checkpoint_round_trip(tmp_path: Path, tiny: ImageData) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    assert folder.load() is None
    curve = saved(folder, tiny)
    loaded = folder.load()
    assert loaded is not None
    tensors, step, again = loaded
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)
    assert (step, again) == (3, curve)
    assert json.loads((tmp_path / "run" / "curve.json").read_text())["loss"] == curve.loss
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {"run.json", "set.safetensors", "checkpoint.safetensors", "curve.json"}


def test_one_session_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    for _ in range(2):
        with folder.locked():
            with pytest.raises(BadInput, match="another process goes on"), folder.locked():
                pass
        assert {path.name for path in folder.path.iterdir()} == {"run.json"}
    (folder.path / "lock").write_text("left by a kill")
    with folder.locked():
        pass
    with pytest.raises(ZeroDivisionError), folder.locked():
        _ = 1 / 0
    with folder.locked():
        pass


def test_of_many_that_want_a_run_one_has_it(tmp_path: Path) -> None:
    """Threads that take and leave the lock as fast as they can: never two at once, and the file is gone again."""
    folder, inside, most, had = RunFolder.create(tmp_path / "run", SETTINGS), [0], [0], []

    def often(_: int) -> None:
        for _ in range(200):
            try:
                with folder.locked():
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
                    had.append(True)
            except BadInput:
                pass

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(often, range(8)))
    assert most[0] == 1 and len(had) > 8
    assert not (folder.path / "lock").exists()


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, SETTINGS).exists


def test_a_folder_with_a_run_is_taken(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", SETTINGS)
    with pytest.raises(
        BadInput,
        match=r"already holds a run \(dm, 2 per class, digits\): continue it with condense run --resume",
    ):
        RunFolder.create(tmp_path / "run", SETTINGS)


def test_a_folder_with_other_things_is_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="is not empty and holds no run"):
        RunFolder.create(tmp_path, SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file: choose a folder"):
        RunFolder.create(tmp_path / "file", SETTINGS)
    with pytest.raises(BadInput, match="cannot write"):
        RunFolder.create(tmp_path / "file" / "below", SETTINGS)


def test_no_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no run to resume"):
        RunFolder(tmp_path).settings()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"ipc": 1}', "null", "3", "\0", "[" * 100_000])
def test_damaged_settings(text: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    (tmp_path / "run" / "run.json").write_text(text)
    with pytest.raises(BadFile, match=r"run\.json is damaged"):
        folder.settings()
    (tmp_path / "run" / "run.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BadFile, match=r"run\.json is damaged"):
        folder.settings()


def test_damaged_checkpoint(tmp_path: Path, tiny: ImageData) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    saved(folder, tiny)
    path = tmp_path / "run" / "checkpoint.safetensors"
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(BadFile, match=r"checkpoint\.safetensors"):
            folder.load()


@pytest.mark.parametrize(
    "change", [{"options": 3}, {"steps": "many"}, {"fields": []}, {"source": None}], ids=str
)
def test_settings_of_the_wrong_type(change: dict[str, object], tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    (tmp_path / "run" / "run.json").write_text(json.dumps({**asdict(SETTINGS), **change}))
    with pytest.raises(BadFile, match=r"run\.json is damaged"):
        folder.settings()


def test_a_set_in_place_of_a_checkpoint(tmp_path: Path, tiny: ImageData) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    saved(folder, tiny)
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(
        (tmp_path / "run" / "set.safetensors").read_bytes()
    )
    with pytest.raises(BadFile, match="is not a checkpoint of this version"):
        folder.load()


def test_leftovers_of_a_killed_process_do_not_take_a_folder(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = (f".run.json.{dead.pid}.tmp", f".condensery-{dead.pid}-abc.tmp")
    for name in names:
        (tmp_path / name).write_text("half")
    (tmp_path / f".condensery-{os.getpid()}-abc.tmp").write_text("being written")
    RunFolder.create(tmp_path, SETTINGS)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run.json", f".condensery-{os.getpid()}-abc.tmp"}


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path, tiny: ImageData) -> None:
    folder, lines = RunFolder.create(tmp_path / "run", SETTINGS), []
    (tmp_path / "run/set.png").mkdir()
    pool = ClassPool(tiny.train, tiny.spec, torch.device("cpu"))
    folder.save_picture(random_selection(pool, 1, Rng(0)), lines.append)
    (line,) = lines
    assert line.startswith("no picture was drawn: cannot write") and line.endswith(
        f"condense show {folder.path} draws it"
    )


def test_files_that_are_links_are_replaced(tmp_path: Path, tiny: ImageData) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    names = ("run.json", "set.safetensors", "checkpoint.safetensors", "curve.json")
    for name in names:
        (folder.path / name).unlink(missing_ok=True)
        (folder.path / name).symlink_to(precious)
    folder.write_settings(SETTINGS)
    saved(folder, tiny)
    assert precious.read_text() == "mine" and not any((folder.path / name).is_symlink() for name in names)


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    (folder.path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="it is a link, which is not followed"), folder.locked():
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that never ends")
@pytest.mark.parametrize("name", ["run.json", "checkpoint.safetensors", "set.safetensors"])
def test_a_device_or_a_pipe_is_not_read(name: str, tmp_path: Path, tiny: ImageData) -> None:
    folder = RunFolder.create(tmp_path / "run", SETTINGS)
    saved(folder, tiny)
    for make in (lambda path: path.symlink_to("/dev/full"), os.mkfifo):
        (folder.path / name).unlink()
        make(folder.path / name)
        readers = {"run.json": folder.settings, "set.safetensors": lambda: artifact.load(folder.path)}
        with pytest.raises(BadFile, match=name):
            readers.get(name, folder.load)()
