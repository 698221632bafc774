"""Engines of one machine: equal outcomes, lost workers, no process left behind. Ray's are in test_ray.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from performers import make_job, perform, surroundings

from condensery import BadInput, FailedWork
from condensery.comparison.engines import InProcess, LocalProcesses, pick_engine
from condensery.comparison.jobs import Engine, Job, Outcome

HERE = Path(__file__).parent


def gather(engine: Engine, jobs: Sequence[Job]) -> dict[str, Outcome]:
    """All outcomes by key, without where they were made."""
    for job in jobs:
        engine.submit(job)
    outcomes = [engine.next() for _ in jobs]
    assert all(outcome.worker for outcome in outcomes)
    return {outcome.key: replace(outcome, worker="") for outcome in outcomes}


def images(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """What decides the work of a job; the file of a set also holds the time."""
    return {k: (o.document, o.files.get("images"), o.skipped, o.failed) for k, o in outcomes.items()}


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalProcesses]:
    engine = LocalProcesses(perform, 2)
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=["in process", "processes"])
def engine(request: pytest.FixtureRequest, pool: LocalProcesses) -> Engine:
    return InProcess(perform) if request.param == "in process" else pool


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and only waits to be noticed does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    patience = time.monotonic() + seconds
    while not condition() and time.monotonic() < patience:
        time.sleep(0.05)
    return condition()


def test_outcomes_are_equal_bit_for_bit_and_in_any_order(pool: LocalProcesses) -> None:
    jobs = [make_job(seed, ipc=1 + seed % 2) for seed in range(4)]
    here = images(gather(InProcess(perform), jobs))
    assert len({files for _, files, _, _ in here.values()}) == 4
    assert images(gather(pool, jobs)) == here
    assert images(gather(pool, jobs[::-1])) == here


def test_an_evaluation_travels_with_its_set(pool: LocalProcesses) -> None:
    made = InProcess(perform)
    made.submit(make_job(0))
    job = Job("score", "evaluate", {}, made.next().files, device="cpu", threads=1)
    assert gather(InProcess(perform), [job]) == gather(pool, [job])


def test_large_results_pass_a_pipe(pool: LocalProcesses) -> None:
    (outcome,) = gather(pool, [make_job(0, ipc=100)]).values()
    assert len(outcome.files["images"]) == 100 * 10 * 64 * 4


def test_skipped_and_failed_jobs_pass_through(engine: Engine) -> None:
    jobs = [make_job(0, skip="too few"), make_job(1, raises="bad"), make_job(2, raises="odd"), make_job(3)]
    skipped, refused, broken, fine = (gather(engine, jobs)[job.key] for job in jobs)
    assert (skipped.skipped, skipped.failed) == ("too few", "")
    assert refused.failed == "no such thing"
    assert broken.failed == "ZeroDivisionError: no such thing"
    assert fine.files and not fine.failed


def test_nothing_to_wait_for(engine: Engine) -> None:
    with pytest.raises(LookupError, match="no job was submitted"):
        engine.next()


def test_a_killed_worker_is_replaced_and_its_job_done_again(pool: LocalProcesses, tmp_path: Path) -> None:
    jobs = [make_job(0), make_job(1, dies_once=str(tmp_path / "died")), make_job(2)]
    outcomes = images(gather(pool, jobs))
    assert (tmp_path / "died").exists()
    assert outcomes == images(gather(InProcess(perform), [make_job(seed) for seed in range(3)]))


def test_a_job_that_always_kills_its_worker_is_named_and_the_others_go_on() -> None:
    engine = LocalProcesses(perform, 1)
    engine.submit(make_job(7, dies=True))
    engine.submit(make_job(0))
    with pytest.raises(
        FailedWork, match="job dm-ipc1-seed7 lost its worker 3 times, the last one killed by SIG"
    ):
        engine.next()
    assert engine.next().key == "dm-ipc1-seed0"
    engine.close()


def test_an_idle_worker_that_dies_is_replaced(pool: LocalProcesses) -> None:
    for _ in range(2):
        gather(pool, [make_job(0), make_job(1)])
        os.kill(pool._workers[0].process.pid or 0, signal.SIGKILL)
    assert len(gather(pool, [make_job(0), make_job(1)])) == 2


def test_threads_and_folder() -> None:
    jobs = [Job("a", "make", {}, folder="/f"), Job("b", "make", {}, threads=3), Job("c", "make", {})]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        here = gather(InProcess(surroundings), jobs)
        assert torch.get_num_threads() == 5
        engine = LocalProcesses(surroundings, 2)
    finally:
        torch.set_num_threads(before)
    there = gather(engine, jobs)
    engine.close()
    assert [here[k].document["threads"] for k in "abc"] == [5, 3, 5]
    assert [there[k].document["threads"] for k in "abc"] == [2, 3, 2]
    assert here["a"].document["folder"] == there["a"].document["folder"] == "/f"


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two GPUs that this machine need not have: nothing here runs on them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert LocalProcesses(surroundings, 2)._gpus == [None, None] or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert LocalProcesses(surroundings, 3)._gpus == ["0", "1", "0"]
    assert LocalProcesses(surroundings, 4, 0.5)._gpus == ["0", "1", "0", "1"]
    assert LocalProcesses(surroundings, 2, 0)._gpus == ["", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    engine = LocalProcesses(surroundings, 2, 1)
    there = gather(engine, [Job(key, "make", {}) for key in "abcd"])
    engine.close()
    assert {outcome.document["gpu"] for outcome in there.values()} <= {"3", "5"}
    with pytest.raises(
        BadInput, match=r"5 workers with 0.5 GPUs per job need more than this machine's 2 GPUs"
    ):
        LocalProcesses(surroundings, 5, 0.5)


def test_close_ends_the_workers_in_mid_job(tmp_path: Path) -> None:
    engine = LocalProcesses(perform, 2)
    for job in (make_job(0, waits_for=str(tmp_path)), make_job(1), make_job(2)):
        engine.submit(job)
    assert {engine.next().key, engine.next().key} == {"dm-ipc1-seed1", "dm-ipc1-seed2"}
    pids = [worker.process.pid or 0 for worker in engine._workers]
    assert eventually(lambda: any(tmp_path.iterdir()))
    assert all(alive(pid) for pid in pids)
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 5
    assert not any(alive(pid) for pid in pids)


SCRIPT = """
import sys
from performers import make_job, perform
from condensery.comparison.engines import LocalProcesses

if __name__ == "__main__":
    engine = LocalProcesses(perform, 2)
    for seed in range(2):
        engine.submit(make_job(seed, waits_for=sys.argv[1]))
    print(*[worker.process.pid for worker in engine._workers], flush=True)
    try:
        engine.next()
    except KeyboardInterrupt:
        sys.exit(2)
    finally:
        engine.close()
"""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process with two workers in the middle of jobs that never end, and the workers' ids."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "began").mkdir()
    paths = [str(HERE), *sys.path]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "began")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, to which a terminal would send Ctrl-C
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout and process.stderr
    pids = [int(word) for word in process.stdout.readline().split()]
    yield process, pids
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("when", ["while workers start", "in mid-job"])
def test_ctrl_c_ends_everything_without_a_word(
    waiting: tuple[subprocess.Popen[str], list[int]], when: str, tmp_path: Path
) -> None:
    process, pids = waiting
    assert len(pids) == 2
    if when == "in mid-job":
        assert eventually(lambda: len(list((tmp_path / "began").iterdir())) == 2, 120)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (2, "")
    assert not any(alive(pid) for pid in pids)


def test_workers_end_when_their_parent_is_killed(
    waiting: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, pids = waiting
    assert eventually(lambda: len(list((tmp_path / "began").iterdir())) == 2, 120)
    process.kill()
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    unguarded = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "script.py").write_text(unguarded)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "below `if __name__" in done.stderr.strip().splitlines()[-1]


def test_picking() -> None:
    assert isinstance(pick_engine(None, None, None, perform), InProcess)
    assert isinstance(pick_engine(1, None, None, perform), InProcess)
    engine = pick_engine(3, None, 0, perform)
    assert isinstance(engine, LocalProcesses) and engine.slots == 3


@pytest.mark.parametrize(
    ("workers", "ray", "gpus", "message"),
    [
        (0, None, None, "--workers must be at least 1, not 0"),
        (2, "auto", None, "leave out --workers"),
        (2, None, 1.5, "--gpus-per-job must be from 0 to 1, .* not 1.5"),
        (2, None, -1, "--gpus-per-job must be from 0 to 1, .* not -1"),
        (None, None, 0.5, "ask for one of them"),
    ],
)
def test_bad_requests(workers: int | None, ray: str | None, gpus: float | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        pick_engine(workers, ray, gpus, perform)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"not installed: pip install 'condensery\[ray\]'"):
        pick_engine(None, "auto", None, perform)
