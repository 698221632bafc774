"""Logs of evaluations: a line is added whole or not at all, and nothing but the log is written to."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from condensery import BadFile, BadInput, disk
from condensery.evaluation import log

SCORE = {
    "subject": "dm",
    "network": "mlp",
    "accuracies": [[0.5]],
    "images": 1,
    "bytes": 1,
    "epochs": 1,
    "seconds": 0,
}
GOOD = {"data": "digits", "protocol": "quick", "seed": 0, "scores": [SCORE]}


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: the write that would is cut short, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 30, 5000])
def test_a_line_that_does_not_fit_leaves_nothing(tmp_path: Path, room: int) -> None:
    path = tmp_path / "evaluations.jsonl"
    log.write(GOOD, [path])
    before = path.read_bytes()
    with files_up_to(len(before) + room), pytest.raises(BadInput, match="the disk is full; free some space"):
        log.write({**GOOD, "note": "x" * 10_000}, [path])
    assert path.read_bytes() == before
    log.write(GOOD, [path])
    assert log.read(path, pytest.fail) == [GOOD, GOOD]


def test_an_unfinished_last_line_is_ended_and_named(tmp_path: Path) -> None:
    path, lines = tmp_path / "evaluations.jsonl", []
    path.write_text(json.dumps(GOOD) + '\n{"data": "di')
    log.write(GOOD, [path])
    assert log.read(path, lines.append) == [GOOD, GOOD]
    assert lines == [f"line 2 of {path} is no evaluation (it is not JSON) and was left out"]


@pytest.mark.parametrize(
    "bad", [b"\xff", b"[" * 100_000, b'{"scores": 3}', b"\0", json.dumps({**GOOD, "seed": 1.5}).encode()]
)
def test_lines_that_are_none_are_left_out(tmp_path: Path, bad: bytes) -> None:
    path, lines = tmp_path / "evaluations.jsonl", []
    path.write_bytes(b"\n".join([bad, json.dumps(GOOD).encode(), b"", bad]))
    assert log.read(path, lines.append) == [GOOD]
    assert len(lines) == 1 and "line 1 of" in lines[0] and lines[0].endswith("and so were 1 more")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        log.read(tmp_path, pytest.fail)


@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_in_a_run_folder_is_not_followed(tmp_path: Path, target: str) -> None:
    precious = tmp_path / "there"
    precious.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    (run / "evaluations.jsonl").symlink_to(tmp_path / target)
    with pytest.raises(BadInput, match="it is a link, which is not followed"):
        log.of([run])
    with pytest.raises(BadInput, match="it is a link, which is not followed"):
        disk.append_line(run / "evaluations.jsonl", "more")
    assert precious.read_text() == "precious" and not (tmp_path / "missing").exists()


def test_a_link_that_was_asked_for_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "results.jsonl")
    log.write(GOOD, log.of([], tmp_path / "link"))
    assert log.read(tmp_path / "results.jsonl", pytest.fail) == [GOOD]


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "evaluations.jsonl")
    with pytest.raises(BadInput, match="it is not a file"):
        log.of([tmp_path])
