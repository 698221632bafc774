"""Does one job of a comparison, wherever it runs: a function of the job's record and files alone."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.jobs import Job, Outcome
from condensery.comparison.plan import ON_THE_WAY
from condensery.comparison.protocol_record import protocol_from
from condensery.data import load
from condensery.driver import reset_peak_memory
from condensery.errors import BadInput, one_line
from condensery.evaluation import Evaluation, SoftLabels, evaluate
from condensery.evaluation.evaluator import data_name
from condensery.evaluation.scoring import Scorer
from condensery.methods import METHODS
from condensery.models.registry import resolve
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.runner import condense
from condensery.selection import select

SET = "set.safetensors"
_KEPT = ("run.json", "initial.safetensors", SET, "set.png", "curve.json")
_given: dict[str, ImageData] = {}  # images that this process was handed, by fingerprint


def lend(images: ImageData) -> None:
    """Jobs in this process that name these images take them instead of loading them."""
    _given[images.fingerprint] = images


def perform(job: Job) -> Outcome:
    """Do a job. One that cannot be done as asked is skipped; what breaks is raised, and told by the engine."""
    try:
        return Outcome(job.key, *_KINDS[job.kind](job))
    except BadInput as error:
        return Outcome(job.key, skipped=one_line(error))


def _make(job: Job) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A set, with the files of its run folder."""
    measurable = reset_peak_memory(pick_device(job.device))
    with _folder(job) as folder:
        if job.record["method"] in METHODS:
            _condense(job, folder)
        else:
            _select(job, folder)
        made = artifact.load(folder)
        files = {name: (folder / name).read_bytes() for name in _KEPT if (folder / name).exists()}
    return set_document(made, made.record.get("memory") if measurable else None), files


def set_document(made: SyntheticSet, memory: int | None) -> dict[str, Any]:
    """What a comparison writes down of a set; `memory` is the peak of making it alone, None if it is not known."""
    return {
        "seconds": made.record.get("seconds"),
        "steps": made.record.get("step"),
        "memory": memory,
        "sha256": artifact.digest(made),
    }


def _condense(job: Job, folder: Path) -> None:
    record = job.record
    on_the_way = record.get(ON_THE_WAY)
    judged: dict[str, Any] = {}
    if on_the_way:
        protocol = replace(protocol_from(on_the_way["protocol"]), repeats=on_the_way["repeats"])
        judged = {"evaluate_at": on_the_way["steps"], "protocol": protocol}
    condense(
        _images(record["data"]),
        record["method"],
        **{name: record[name] for name in ("ipc", "network", "steps", "seed")},
        device=job.device,
        out=folder,
        resume=True,
        shard=record.get("shard", ()),
        **judged,
        **record["fields"],
    )


def _select(job: Job, folder: Path) -> None:
    record = job.record
    select(
        _images(record["data"]),
        record["method"],
        ipc=record["ipc"],
        seed=record["seed"],
        device=job.device,
        out=folder,
        **({"network": record["network"]} if record["network"] else {}),
        **record["fields"],
    )


def _evaluate(job: Job) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Accuracies of networks trained on the set among the job's files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SET
        path.write_bytes(job.files[SET])
        made = artifact.load(path)
    soft = job.record["soft_labels"]
    evaluation: Evaluation = evaluate(
        made,
        _images(job.record["data"]),
        protocol=protocol_from(job.record["protocol"]),
        networks=[job.record["network"]],
        repeats=job.record["repeats"],
        baselines=(),
        soft_labels=None if soft is None else SoftLabels(**soft),
        augmentation_robustness=job.record["augmentation_robustness"],
        seed=job.record["seed"],
        device=job.device,
    )
    return evaluation.to_json(), {}


def _whole(job: Job) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Accuracies of networks trained on the whole training set."""
    record = job.record
    images, protocol, device = (
        _images(record["data"]),
        protocol_from(record["protocol"]),
        pick_device(job.device),
    )
    scorer = Scorer(images, protocol, record["seed"], device, None, None)
    score = scorer.score_whole(resolve(record["network"]), record["repeats"], record["epochs"])
    document = {
        "data": data_name(images),
        "fingerprint": images.fingerprint,
        "protocol": protocol.name,
        "seed": record["seed"],
        **environment(device),
        "scores": [score.to_json()],
    }
    return document, {}


_KINDS = {"make": _make, "evaluate": _evaluate, "whole": _whole}


def _images(data: Mapping[str, Any]) -> ImageData:
    """The images of a record.

    Raises:
        BadInput: this machine has other images under that name.
    """
    if data["fingerprint"] in _given:
        return _given[data["fingerprint"]]
    images = _loaded(data["source"], json.dumps(data["options"], sort_keys=True))
    if images.fingerprint != data["fingerprint"]:
        raise BadInput(
            f"{data['source']} on {platform.node()} holds other images than where the comparison was started "
            f"(fingerprint {images.fingerprint[:12]}, not {data['fingerprint'][:12]}): give every worker the same files"
        )
    return images


@lru_cache(maxsize=2)
def _loaded(source: str, options: str) -> ImageData:
    return load(source, progress=False, **json.loads(options))


@contextmanager
def _folder(job: Job) -> Iterator[Path]:
    """Where the run's files go: the job's folder, or one that vanishes."""
    if job.folder is not None:
        yield Path(job.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run"
