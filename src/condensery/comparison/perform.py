"""Does one job of a comparison, wherever it runs: a function of the job's record and files alone."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.jobs import EVALUATE, MAKE, ON_THE_WAY, options_of
from condensery.evaluation import Protocol, SoftLabels, evaluate
from condensery.evaluation.evaluator import data_name
from condensery.evaluation.scoring import Scorer
from condensery.jobs.images import recalled
from condensery.jobs.job import Done, Job, Result, perform_by
from condensery.jobs.work import SET
from condensery.methods import METHODS
from condensery.models.registry import resolve
from condensery.provenance import environment, pick_device, reset_peak_memory
from condensery.report.contents import WHOLE
from condensery.runner import condense
from condensery.selection import select

_FILES = ("run.json", "initial.safetensors", SET, "set.png", "curve.json")
_OPTION_TYPES = {"soft_labels": SoftLabels}  # of options of an evaluation that are no plain values


def perform(job: Job) -> Result:
    """Do a job. One that cannot be done as asked is skipped; what breaks is raised, and told by the engine."""
    return perform_by(_KINDS[job.kind], job)


def evaluation_options(job: Job) -> dict[str, Any]:
    """The further options of a set's evaluation, as `condensery.evaluate` takes them."""
    return {
        name: _OPTION_TYPES[name](**value) if value is not None and name in _OPTION_TYPES else value
        for name, value in options_of(job).items()
    }


def _make(job: Job) -> Done:
    """A set, with the files of its run folder."""
    record, out = job.record, Path(job.folder)
    measurable = reset_peak_memory(pick_device(job.device))
    settings: dict[str, Any] = {
        "ipc": record["ipc"],
        "seed": record["seed"],
        "device": job.device,
        "out": out,
    }
    settings |= {"network": record["network"]} if record["network"] else {}
    if record["method"] in METHODS:
        settings |= {"steps": record["steps"], "resume": True}
        if asked := record.get(ON_THE_WAY):
            settings["protocol"] = replace(Protocol.from_json(asked["protocol"]), repeats=asked["repeats"])
            settings["evaluate_at"] = asked["steps"]
        condense(recalled(record["data"]), record["method"], **settings, **record["fields"])
    else:
        select(recalled(record["data"]), record["method"], **settings, **record["fields"])
    made = artifact.load(out)
    document = {
        "seconds": made.record.get("seconds"),
        "steps": made.record.get("step"),
        "memory": made.record.get("memory") if measurable else None,  # of this job alone
        "sha256": artifact.digest(made),
    }
    return document, {name: (out / name).read_bytes() for name in _FILES if (out / name).exists()}


def _evaluate(job: Job) -> Done:
    """Accuracies of networks trained on the set among the job's files."""
    record = job.record
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SET
        path.write_bytes(job.files[SET])
        made = artifact.load(path)
    evaluation = evaluate(
        made,
        recalled(record["data"]),
        protocol=Protocol.from_json(record["protocol"]),
        networks=[record["network"]],
        repeats=record["repeats"],
        seed=record["seed"],
        device=job.device,
        **{"baselines": (), **evaluation_options(job)},
    )
    return evaluation.to_json(), {}


def _whole(job: Job) -> Done:
    """Accuracies of networks trained on the whole training set."""
    record, device = job.record, pick_device(job.device)
    images, protocol = recalled(record["data"]), Protocol.from_json(record["protocol"])
    scorer = Scorer(images, protocol, record["seed"], device)
    score = scorer.score_whole(resolve(record["network"]), record["repeats"], record["epochs"])
    about = {"data": data_name(images), "fingerprint": images.fingerprint, "protocol": protocol.name}
    about["precision"] = protocol.precision
    return {**about, "seed": record["seed"], **environment(device), "scores": [score.to_json()]}, {}


_KINDS = {MAKE: _make, EVALUATE: _evaluate, WHOLE: _whole}
