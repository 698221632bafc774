"""The installed command in processes of its own: signals, pipes, what is imported."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cli_images import TINY
from processes import Command

import condensery

CONDENSE = (sys.executable, "-m", "condensery.cli.main")
LONG = ("run", "--data", "digits", "--ipc", "2", *TINY)
ENDLESS = (*LONG, "--steps", "1000000", "--checkpoint-every", "0.1", "--out", "demo")


def wait_for(pattern: str, process: Command, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not list(Path().glob(pattern)):
        assert process.running and time.monotonic() < end, process.end()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_goes_on_to_the_same_bits(number, condense):
    process = Command(ENDLESS)
    wait_for("demo/checkpoint.safetensors", process)
    process.send(number)
    done = process.end()
    assert done.code == 2
    assert done.err.startswith("condense: stopped after step ") and done.err.count("\n") == 1
    assert "condense run --resume --out demo" in done.err
    step = condensery.load("demo").record["step"]
    assert condense(f"run --resume --out demo --steps {step + 3}").code == 0
    assert condense(f"run --data digits --ipc 2 --out whole --steps {step + 3}", *TINY).code == 0
    assert torch.equal(condensery.load("demo").images, condensery.load("whole").images)


def test_only_one_process_goes_on_with_a_run_and_a_kill_lets_go(condense):
    process = Command(ENDLESS)
    wait_for("demo/checkpoint.safetensors", process)
    done = condense("run --resume --out demo")
    assert done.code == 2 and "another process goes on with the run in demo: wait for it" in done.err
    assert process.running, "the first one is not disturbed"
    process.send(signal.SIGKILL)
    assert process.end().code == -signal.SIGKILL
    step = condensery.load("demo").record["step"]
    assert condense(f"run --resume --out demo --steps {step + 3}").code == 0
    assert not Path("demo/lock").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_comparison_says_how_to_go_on(number):
    command = "compare --data digits --methods dm --steps 1000000 --out out".split()
    narrow = ["--condense-with", "convnet+width=8+depth=1", "--no-whole", "--repeats", "1"]
    process = Command([*command, *narrow])
    wait_for("out/sets/*/run.json", process)
    process.send(number)
    done = process.end()
    assert done.code == 2
    assert "stopped with 0 of 1 cells done; nothing is lost: the same command goes on" in done.err
    assert "Traceback" not in done.err


def test_a_pipe_whose_reader_has_gone(tmp_path):
    process = subprocess.Popen(
        [*CONDENSE, *LONG, "--steps", "2", "--out", "demo"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == ("", 0), (
        "the work is done though nobody reads about it"
    )
    process.stderr.close()
    assert (tmp_path / "demo" / "set.png").exists()


def test_the_installed_command():
    script = Path(sys.executable).with_name("condense")
    if not script.exists():
        pytest.skip("condensery is not installed as a command here")
    done = subprocess.run([script, "methods", "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)
    done = subprocess.run([script, "run", "--ipc"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("condense: error: ")


QUICK = """
import os, signal, sys
class Finger:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finger())
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from condensery.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_while_the_command_is_imported_is_one_line():
    done = subprocess.run(
        [sys.executable, "-c", QUICK, "methods"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "condense: interrupted\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_progress_on_a_terminal_only():
    reader, writer = os.openpty()
    terminal = {"COLUMNS": "100", "TERM": "xterm"}
    process = Command([*LONG, "--steps", "3", "--out", "demo"], err=os.ttyname(writer), environment=terminal)
    done = process.end()
    os.close(writer)
    drawn = os.read(reader, 100_000).decode()
    os.close(reader)
    assert done.code == 0
    assert "3/3" in drawn and "loss" in drawn and "left" in drawn
    assert "3/3" not in done.out and "demo/set.safetensors" in done.out, (
        "results go to stdout, the bar does not"
    )


def test_a_closed_terminal_loses_nothing(condense):
    """The terminal is gone, the kernel says so with SIGHUP, and nothing can be printed any more."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which is ignored where the tests run in the background
        os.execv(
            CONDENSE[0],
            [*CONDENSE, *ENDLESS],
        )
    end = time.monotonic() + 60
    while not Path("demo/checkpoint.safetensors").exists():
        assert time.monotonic() < end
        os.read(terminal, 1_000_000)
    before = condensery.load("demo").record["step"] if Path("demo/set.safetensors").exists() else 0
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 2, "stopped in good order"
    step = condensery.load("demo").record["step"]
    assert step > before
    assert condense(f"run --resume --out demo --steps {step + 1}").code == 0
