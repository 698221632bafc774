"""Run folders that somebody has changed: a command shows the right thing or refuses, and writes nowhere else."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import EVALUATE, STEPS, Campaign, Wrong
from safetensors import safe_open
from safetensors.torch import save_file

import condensery
from condensery import artifact

_SETS = ("set.safetensors", "initial.safetensors", "checkpoint.safetensors")
_TEXTS = ("run.json", "curve.json", "evaluations.jsonl")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), -0.0, 1e308),
    *(
        "",
        "text",
        "../../outside",
        "/etc/passwd",
        "\ud800",
        "\x1b]0;x\x07",
        "evil:make",
        "\u202e",
        "a" * 5000,
        "nan",
    ),
    *([], {}, [[]], [1, "2"], {"cache_dir": "outside"}, ["0", "1"], "0123456789"),
)


def tampered(campaign: Campaign, cases: int) -> None:
    """Change so many run folders, one thing each, and let every command work on them."""
    outside = campaign.place / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "precious").write_text("precious\n")
    (campaign.place / "evil.py").write_text("import pathlib\npathlib.Path('outside/ran').touch()\n")
    for case in range(cases):
        with campaign.fresh() as place:
            run = Path(shutil.copytree(campaign.run, place / "run"))
            change, what = campaign.draws.choice(_CHANGES), None
            try:
                what = change(run, campaign.draws, outside)
                _use(campaign, run, place, case)
            except Wrong as wrong:
                raise Wrong(f"{change.__name__} {what}: {wrong}") from None
            kept = [path.name for path in outside.iterdir()]
            if kept != ["precious"] or (outside / "precious").read_text() != "precious\n":
                raise Wrong(f"{change.__name__} {what}: something was written outside: {kept}")


def _use(campaign: Campaign, run: Path, place: Path, case: int) -> None:
    commands: list[tuple[str, list[object]]] = [
        ("show", ["show", run, "--out", place / "set.png"]),
        ("show --json", ["show", run, "--json"]),
        ("report", ["report", run, "--no-scatter", "--out", place / "report.html"]),
        ("export npz", ["export", run, "--format", "npz", "--out", place / "set.npz"]),
        ("export png", ["export", run, "--format", "png", "--out", place / "pictures"]),
        ("resume", ["run", "--resume", "--out", run, "--steps", STEPS + 1]),
        ("evaluate", ["evaluate", run, "--repeats", "1", *EVALUATE]),
    ]
    chosen = [commands[case % 5], commands[5]] if case % 4 else [commands[6]]
    for name, arguments in chosen:
        if name == "evaluate" and "resume" in name:
            continue
        ended = campaign.forks.call(arguments, campaign.place)
        outcome = campaign.well(f"tampered: {name}", ended)
        campaign.nothing_half(name, place)
        if outcome == "done" and name == "show --json":
            json.loads(ended.out, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise Wrong(f"{constant} is no JSON")


# ---- changes


def _another_value(run: Path, draws: random.Random, outside: Path) -> str:
    """A value of a JSON file."""
    path = run / draws.choice(_TEXTS)
    *lines, last = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    document, what = _changed(json.loads(last), draws)
    path.write_text("\n".join([*lines, json.dumps(document)]) + "\n")
    return f"{path.name} {what}"


def _another_header(run: Path, draws: random.Random, outside: Path) -> str:
    """A value of the record of a set or a checkpoint, with a checksum that fits."""
    path = run / draws.choice(_SETS)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        header = json.loads(file.metadata()["condensery"])
    header, what = _changed(header, draws)
    if isinstance(header, dict) and "sha256" in header and not what.startswith("sha256"):
        header["sha256"] = artifact.checksum(tensors, header)
    save_file(tensors, path, {"condensery": json.dumps(header)})
    return f"{path.name} {what}"


def _other_tensors(run: Path, draws: random.Random, outside: Path) -> str:
    """A tensor of another kind, with a checksum that fits."""
    path = run / draws.choice(_SETS)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        header = json.loads(file.metadata()["condensery"])
    name = draws.choice(list(tensors))
    how = draws.choice(("gone", "double", "flat", "nan", "more", "large"))
    tensor = tensors.pop(name)
    if how == "more":
        tensors |= {name: tensor, "views.evil": torch.zeros(3)}
    elif how != "gone":
        other = {"double": tensor.double(), "flat": tensor.reshape(-1), "large": tensor + 2**30}
        tensors[name] = other.get(how, tensor * float("nan")).contiguous()
    if "sha256" in header:
        header["sha256"] = artifact.checksum(tensors, header)
    save_file(tensors, path, {"condensery": json.dumps(header)})
    return f"{path.name} {name} {how}"


def _changed(document: Any, draws: random.Random) -> tuple[Any, str]:
    """The document with one value changed, gone or added, and where."""
    places: list[tuple[Any, Any, str]] = []

    def walk(value: Any, where: str) -> None:
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, one in list(pairs)[:40]:
            places.append((value, key, f"{where}/{key}"))
            walk(one, f"{where}/{key}")

    walk(document, "")
    depth = draws.randint(1, 6)
    near = [one for one in places if one[2].count("/") <= depth]
    within, key, where = draws.choice(near)
    value = draws.choice(_VALUES)
    how = draws.random()
    if how < 0.1 and isinstance(within, dict):
        del within[key]
        return document, f"{where} gone"
    if how < 0.2 and isinstance(within, dict):
        within[draws.choice(("cache_dir", "progress", "x\ud800", ""))] = value
        return document, f"{where} with a neighbour {value!r:.40}"
    within[key] = value
    return document, f"{where} = {value!r:.40}"


def _bytes(run: Path, draws: random.Random, outside: Path) -> str:
    """Some bytes of a file."""
    path = run / draws.choice(_SETS + _TEXTS)
    content = bytearray(path.read_bytes())
    at = [draws.randrange(len(content)) for _ in range(draws.choice((1, 1, 5)))]
    for place in at:
        content[place] = draws.randrange(256)
    path.write_bytes(content)
    return f"{path.name} {at}"


def _end(run: Path, draws: random.Random, outside: Path) -> str:
    """A file that ends early, or not where it should."""
    path = run / draws.choice(_SETS + _TEXTS)
    content = path.read_bytes()
    length = draws.randrange(len(content) + 1)
    path.write_bytes(content[:length] if draws.random() < 0.8 else content + b"\0" * length)
    return f"{path.name} {length}"


def _link(run: Path, draws: random.Random, outside: Path) -> str:
    """A link in the place of a file."""
    path = run / draws.choice((*_SETS, *_TEXTS, "set.png", "lock"))
    path.unlink(missing_ok=True)
    path.symlink_to(
        draws.choice((outside / "precious", outside / "new", "/dev/full", path.name, "/dev/null"))
    )
    return path.name


def _folder(run: Path, draws: random.Random, outside: Path) -> str:
    """A folder in the place of a file, or nothing."""
    path = run / draws.choice((*_SETS, *_TEXTS, "set.png"))
    path.unlink()
    if draws.random() < 0.5:
        path.mkdir()
    return path.name


def _swap(run: Path, draws: random.Random, outside: Path) -> str:
    """The content of one file in the place of another."""
    one, other = draws.sample(_SETS + _TEXTS, 2)
    shutil.copy(run / one, run / other)
    return f"{other} is {one}"


def _labels(run: Path, draws: random.Random, outside: Path) -> str:
    """Class names that no folder can have."""
    path = run / "set.safetensors"
    found = condensery.load(path)
    names = tuple(
        draws.choice(("CON", "..", "/", "猫" * 86, "\u202e", "\x7f", "a. ", "nul.x", "A")) for _ in range(10)
    )
    condensery.save(type(found)(found.images, found.labels, _named(found, names), found.record), path)
    return str(names)


def _named(found: condensery.SyntheticSet, names: tuple[str, ...]) -> condensery.ImageSpec:
    return condensery.ImageSpec.from_json({**found.spec.to_json(), "class_names": list(names)})


_CHANGES: tuple[Callable[[Path, random.Random, Path], str], ...] = (
    *[_another_value] * 4,
    *[_another_header] * 4,
    *(_other_tensors, _bytes, _end, _link, _folder, _swap, _labels),
)
