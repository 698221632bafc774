"""What the jobs of these tests do: small but real work, and accidents. Importable by name, as workers need it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

import condensery
from condensery.jobs.job import Job, Result

NETWORK = "convnet+width=8+depth=1"


class DiesWhileSent(Exception):
    """The worker is to die when half of its result is in the pipe."""


class _Deadly:
    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Called when all before it is packed: sending begins in a moment, and takes longer."""
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return _Deadly, ()


def make_job(seed: int, *, ipc: int = 1, **record: object) -> Job:
    """Condense digits; `record` may name an accident."""
    return Job(
        f"dm-ipc{ipc}-seed{seed}", "make", {"seed": seed, "ipc": ipc, **record}, device="cpu", threads=1
    )


def perform(job: Job) -> Result:
    """Meet with the accident that the record names, if any, then do the work."""
    try:
        _accident(job)
    except DiesWhileSent:
        return Result(job.key, files={"large": bytes(400 * 2**20), "last": _Deadly()})  # type: ignore[dict-item]
    if job.record.get("skip"):
        return Result(job.key, skipped=job.record["skip"])
    return _evaluate(job) if job.kind == "evaluate" else _condense(job)


def surroundings(job: Job) -> Result:
    """What a job finds: threads of torch, GPUs it may see, its folder."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    document = {"threads": torch.get_num_threads(), "gpu": gpu, "folder": job.folder, "pid": os.getpid()}
    return Result(job.key, {**document, "device": job.device})


def _condense(job: Job) -> Result:
    synthetic = condensery.condense(
        "digits",
        "dm",
        network=NETWORK,
        ipc=job.record["ipc"],
        steps=2,
        seed=job.record["seed"],
        device=job.device,
        real_batch=16,
    )
    with tempfile.TemporaryDirectory() as folder:
        condensery.save(synthetic, Path(folder) / "set.safetensors")
        saved = (Path(folder) / "set.safetensors").read_bytes()
    images = synthetic.images.numpy().tobytes()
    return Result(job.key, {"loss": synthetic.record["loss"]}, {"images": images, "set.safetensors": saved})


def _evaluate(job: Job) -> Result:
    protocol = replace(condensery.PROTOCOLS["quick"], epochs=2, repeats=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.safetensors"
        path.write_bytes(job.files["set.safetensors"])
        evaluation = condensery.evaluate(path, protocol=protocol, baselines=(), device=job.device)
    return Result(job.key, {"accuracies": evaluation.scores[0].to_json()["accuracies"]})


def _accident(job: Job) -> None:
    record = job.record
    if "dies_once" in record and not Path(record["dies_once"]).exists():
        Path(record["dies_once"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "dies" in record:
        os.kill(os.getpid(), signal.SIGKILL)
    if "dies_while_sending" in record and not Path(record["dies_while_sending"]).exists():
        Path(record["dies_while_sending"]).touch()
        raise DiesWhileSent
    if "raises" in record:
        raise {"bad": condensery.BadInput, "odd": ZeroDivisionError}[record["raises"]]("no\nsuch thing")
    if "waits_for" in record:
        _wait(Path(record["waits_for"]), job.key)


def _wait(folder: Path, key: str) -> None:
    """Leave word of where this job has begun, then wait for the file "go"."""
    node = "here"
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        node = ray.get_runtime_context().get_node_id()
    (folder / f"{key}.{node}.{os.getpid()}").touch()
    patience = time.monotonic() + 120
    while not (folder / "go").exists() and time.monotonic() < patience:
        time.sleep(0.05)
