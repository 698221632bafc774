"""Engines of one machine: equal outcomes, lost workers, no process left behind. Ray's are in test_ray.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from performers import NETWORK, make_job, perform, surroundings

import condensery
from condensery import BadInput, FailedWork
from condensery.jobs.engines import Engine, InProcess, LocalProcesses, pick_engine, results
from condensery.jobs.job import Job, Result

HERE = Path(__file__).parent


def gather(engine: Engine, jobs: Sequence[Job]) -> dict[str, Result]:
    """All results by key, without where they were made."""
    left = iter(jobs)
    found = {job.key: result for job, result in results(engine, lambda: next(left, None))}
    assert all(result.worker for result in found.values())
    return {key: replace(result, worker="") for key, result in found.items()}


def images(found: dict[str, Result]) -> dict[str, Any]:
    """What decides the work of a job; the file of a set also holds the time."""
    return {k: (r.document, r.files.get("images"), r.skipped, r.failed) for k, r in found.items()}


def pids(engine: Engine, jobs: Sequence[Job]) -> dict[str, int]:
    """Which processes did jobs."""
    left = iter(jobs)
    found = results(engine, lambda: next(left, None))
    return {job.key: int(result.worker.removeprefix("process ")) for job, result in found}


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
    (made,) = gather(InProcess(perform), [make_job(0)]).values()
    job = Job("score", "evaluate", {}, made.files, device="cpu", threads=1)
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


def test_nothing_to_do(engine: Engine) -> None:
    assert gather(engine, []) == {}


def test_a_killed_worker_is_replaced_and_its_job_done_again(pool: LocalProcesses, tmp_path: Path) -> None:
    jobs = [make_job(0), make_job(1, dies_once=str(tmp_path / "died")), make_job(2)]
    outcomes = images(gather(pool, jobs))
    assert (tmp_path / "died").exists()
    assert outcomes == images(gather(InProcess(perform), [make_job(seed) for seed in range(3)]))


def test_a_worker_killed_in_mid_job_takes_that_job_alone(pool: LocalProcesses, tmp_path: Path) -> None:
    """The other goes on in its own process, and so does the killed one, from its beginning."""
    (tmp_path / "began").mkdir()
    jobs = [make_job(seed, waits_for=str(tmp_path / "began")) for seed in range(2)]

    def kill_first() -> None:
        assert eventually(lambda: len(list((tmp_path / "began").iterdir())) == 2, 60)
        (first,) = (tmp_path / "began").glob("dm-ipc1-seed0.*")
        os.kill(int(first.suffix[1:]), signal.SIGKILL)
        assert eventually(lambda: len(list((tmp_path / "began").glob("dm-ipc1-seed0.*"))) == 2, 60)
        (tmp_path / "began/go").touch()

    killer = threading.Thread(target=kill_first)
    killer.start()
    found = gather(pool, jobs)
    killer.join()
    began = sorted(path.name.split(".")[0] for path in (tmp_path / "began").iterdir())
    assert began == ["dm-ipc1-seed0", "dm-ipc1-seed0", "dm-ipc1-seed1", "go"]
    assert images(found) == images(gather(InProcess(perform), [make_job(seed) for seed in range(2)]))


def test_a_worker_killed_while_it_sends(pool: LocalProcesses, tmp_path: Path) -> None:
    """Half of a result in the pipe is no beginning of the next."""
    jobs = [make_job(0, dies_while_sending=str(tmp_path / "died")), make_job(1), make_job(2)]
    found = images(gather(pool, jobs))
    assert (tmp_path / "died").exists()
    assert found == images(gather(InProcess(perform), [make_job(seed) for seed in range(3)]))


def test_a_job_that_always_kills_its_worker_is_named_and_the_engine_goes_on() -> None:
    engine = LocalProcesses(perform, 1)
    with pytest.raises(
        FailedWork, match="job dm-ipc1-seed7 lost its worker 3 times, the last one killed by SIG"
    ):
        gather(engine, [make_job(7, dies=True), make_job(0)])
    assert gather(engine, [make_job(0)])["dm-ipc1-seed0"].files
    engine.close()


def test_an_idle_worker_that_dies_is_replaced(pool: LocalProcesses) -> None:
    for pause in (0.0, 1.0):  # before it is noticed, and after
        for pid in set(pids(pool, [make_job(0), make_job(1)]).values()):
            os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
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
    by_process = {(r.document["gpu"], r.document["pid"]) for r in there.values()}
    assert {gpu for gpu, _ in by_process} <= {"3", "5"} and len(by_process) == 2
    with pytest.raises(
        BadInput, match=r"5 workers with 0.5 GPUs per job need more than this machine's 2 GPUs"
    ):
        LocalProcesses(surroundings, 5, 0.5)


def test_close_ends_the_workers_in_mid_job(tmp_path: Path) -> None:
    engine = LocalProcesses(perform, 2)
    engine.submit(make_job(0, waits_for=str(tmp_path)))
    engine.submit(make_job(1, waits_for=str(tmp_path)))
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2, 60)
    found = [int(path.suffix[1:]) for path in tmp_path.iterdir()]
    assert all(alive(pid) for pid in found)
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 5
    assert not any(alive(pid) for pid in found)


SCRIPT = """
import sys
from performers import make_job, perform
from condensery.jobs.engines import LocalProcesses, results

if __name__ == "__main__":
    engine = LocalProcesses(perform, 2)
    jobs = iter([make_job(seed, waits_for=sys.argv[1]) for seed in range(2)])
    try:
        print("starting", flush=True)
        list(results(engine, lambda: next(jobs, None)))
    except KeyboardInterrupt:
        sys.exit(2)
    finally:
        engine.close()
"""


def start(*words: str) -> subprocess.Popen[str]:
    """Python in a process group of its own, to which a terminal would send Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def workers_of(parent: int) -> list[int]:
    """The workers that another process has started: children of its server."""
    return [worker for server in children(parent, b"forkserver") for worker in children(server, b"")]


def children(parent: int, words: bytes) -> list[int]:
    """Processes with such words in their command line that another has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            child = f"\nPPid:\t{parent}\n" in status.read_text()
            if child and words in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with two workers that start, and then are in the middle of jobs that never end."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "began").mkdir()
    process = start(str(tmp_path / "script.py"), str(tmp_path / "began"))
    assert process.stdout and process.stderr and process.stdout.readline() == "starting\n"
    assert eventually(lambda: len(workers_of(process.pid)) == 2)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("when", ["while workers start", "in mid-job"])
def test_ctrl_c_ends_everything_without_a_word(
    waiting: subprocess.Popen[str], when: str, tmp_path: Path
) -> None:
    found = workers_of(waiting.pid)
    if when == "in mid-job":
        assert eventually(lambda: len(list((tmp_path / "began").iterdir())) == 2, 120)
    os.killpg(waiting.pid, signal.SIGINT)
    _, errors = waiting.communicate(timeout=60)
    assert (waiting.returncode, errors) == (2, "")
    assert not any(alive(pid) for pid in found)


def test_workers_end_when_their_parent_is_killed(waiting: subprocess.Popen[str], tmp_path: Path) -> None:
    found = workers_of(waiting.pid)
    assert eventually(lambda: len(list((tmp_path / "began").iterdir())) == 2, 120)
    waiting.kill()
    assert eventually(lambda: not any(alive(pid) for pid in found))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_are_stopped_write_their_checkpoints_first(number: int, tmp_path: Path) -> None:
    words = "compare --data digits --methods dm --seeds 0,1 --steps 1000000 --workers 2 --set real_batch=16"
    words += f" --condense-with {NETWORK} --no-whole --out {tmp_path}/out"
    process = start("-m", "condensery.cli.main", *words.split())
    try:
        assert eventually(lambda: len(list(tmp_path.glob("out/sets/*/initial.safetensors"))) == 2, 120)
        found = workers_of(process.pid)
        time.sleep(1)  # for some steps; the first checkpoint of its own accord comes after a minute
        assert len(found) == 2 and not list(tmp_path.glob("out/sets/*/checkpoint.safetensors"))
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2 and "Traceback" not in errors
    assert "stopped with 0 of 2 cells done; nothing is lost: the same command goes on" in errors
    assert not any(alive(pid) for pid in found)
    made = list(tmp_path.glob("out/sets/*/checkpoint.safetensors"))
    assert len(made) == 2 and all(condensery.load(path.parent).record["step"] > 0 for path in made)


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    unguarded = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "script.py").write_text(unguarded)
    _, errors = start(str(tmp_path / "script.py"), str(tmp_path)).communicate(timeout=120)
    assert "below `if __name__" in errors.strip().splitlines()[-1]


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


def test_without_pebble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pebble", None)
    with pytest.raises(BadInput, match="--workers needs Pebble, which is not installed: pip install pebble"):
        pick_engine(2, None, None, perform)
