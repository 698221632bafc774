"""Disks that fill at random points: what is there stays whole, and with more room everything goes on to the same bits.

A disk is a tmpfs of a random size where this user may mount one. Otherwise, and for some cases anyway, no file may
grow beyond a random length, which writing reports as a file that is too large.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forks import Ended
from harness import COMPARE, EVALUATE, FORMATS, RUN, SELECT, Campaign, Wrong, can_mount, disk

import condensery

_ROOM, _BLOCK = 64 << 20, 4096
_NEEDED: dict[str, int] = {}  # bytes that a case takes when nothing is in its way


@dataclass(frozen=True)
class Kind:
    """What is done on a full disk.

    Attributes:
        prepare: puts what it needs on the disk.
        arguments: of the command, given the disk.
        check: what must hold when it has failed or not: (campaign, disk, run the command anew with room).
    """

    prepare: Callable[[Campaign, Path], object]
    arguments: Callable[[Path], list[object]]
    check: Callable[[Campaign, Path, Callable[[list[object]], Ended]], object]


def _nothing(campaign: Campaign, place: Path) -> None:
    """It begins on an empty disk."""


def _check_run(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
    out = place / "run"
    begun = (out / "run.json").exists()
    ended = again(["run", "--resume", "--out", out] if begun else [*RUN, "--out", out])
    campaign.well("disk: run, gone on with", ended)
    campaign.same_set("disk: run", out, "run")


def _check_select(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
    out = place / "selected"
    if not (out / "set.safetensors").exists():
        campaign.well("disk: select, again", again([*SELECT, "--out", out]))
    campaign.same_set("disk: select", out, "selected")


def _copy_run(campaign: Campaign, place: Path) -> None:
    """With a log that nearly fills its last block, so that the next line needs another one."""
    log = Path(shutil.copytree(campaign.run, place / "run")) / "evaluations.jsonl"
    document = json.loads(log.read_text().splitlines()[0])
    empty = len(json.dumps({**document, "note": ""})) + 1
    room = 2 * _BLOCK - (log.stat().st_size + empty) % _BLOCK - campaign.draws.randint(1, 400)
    with log.open("a") as file:
        file.write(json.dumps({**document, "note": "x" * room}) + "\n")


def _check_evaluate(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
    log = place / "run/evaluations.jsonl"
    before = [json.loads(line) for line in log.read_text().splitlines()]
    if campaign.outcome(again(["evaluate", place / "run", *EVALUATE])) != "done":
        raise Wrong("disk: evaluate, again")
    after = [json.loads(line) for line in log.read_text().splitlines()]
    if after[:-1] != before:
        raise Wrong("disk: an evaluation is lost")
    campaign.same_set("disk: evaluate", place / "run", "run")


def _check_compare(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
    campaign.well("disk: compare, gone on with", again([*COMPARE, "--out", place / "compared"]))
    (made,) = (place / "compared/sets").iterdir()
    if not (reference := campaign.place / "compared").exists():
        shutil.copytree(made, reference)
    campaign.same_set("disk: compare", made, "compared")


def _check_report(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
    page = place / "report.html"
    if page.exists() and not page.read_text().rstrip().endswith("</html>"):
        raise Wrong("disk: half a page")
    campaign.well("disk: report, again", again(["report", campaign.run, "--no-scatter", "--out", page]))


def _check_export(name: str) -> Callable[[Campaign, Path, Callable[[list[object]], Ended]], None]:
    def check(campaign: Campaign, place: Path, again: Callable[[list[object]], Ended]) -> None:
        out = place / FORMATS[name]
        if not out.exists():
            ended = again(["export", campaign.run, "--format", name, "--out", out])
            campaign.well("disk: export, again", ended)
        if name == "png" and len(list(out.rglob("*.png"))) != len(condensery.load(campaign.run)):
            raise Wrong("disk: half an export")

    return check


def _kinds(campaign: Campaign) -> dict[str, Kind]:
    run = campaign.run
    return {
        "run": Kind(_nothing, lambda place: [*RUN, "--out", place / "run"], _check_run),
        "select": Kind(_nothing, lambda place: [*SELECT, "--out", place / "selected"], _check_select),
        "evaluate": Kind(_copy_run, lambda place: ["evaluate", place / "run", *EVALUATE], _check_evaluate),
        "compare": Kind(_nothing, lambda place: [*COMPARE, "--out", place / "compared"], _check_compare),
        "report": Kind(
            _nothing,
            lambda place: ["report", run, "--no-scatter", "--out", place / "report.html"],
            _check_report,
        ),
        **{
            f"export {name}": Kind(
                _nothing,
                lambda place, name=name: ["export", run, "--format", name, "--out", place / FORMATS[name]],
                _check_export(name),
            )
            for name in FORMATS
        },
    }


def full_disks(campaign: Campaign, cases: int, only: Sequence[str] = ()) -> None:
    """Fill so many disks, over all commands in turn, or over some."""
    kinds = [(name, kind) for name, kind in _kinds(campaign).items() if name in only or not only]
    mounts = can_mount(campaign.place)
    for case in range(cases):
        name, kind = kinds[case % len(kinds)]
        with campaign.fresh() as place:
            if mounts and case % 5 != 4:
                _full(campaign, name, kind, place)
            else:
                _short(campaign, name, kind, place)


def _full(campaign: Campaign, name: str, kind: Kind, place: Path) -> None:
    with disk(place, _ROOM) as found:
        kind.prepare(campaign, place)
        used = found.used()
        if name not in _NEEDED:  # how much it takes, by doing it once with room
            campaign.well(
                f"disk: {name}, with room", campaign.forks.call(kind.arguments(place), campaign.place)
            )
            _NEEDED[name] = found.used() - used
            return
        found.resize(used + _BLOCK * campaign.draws.randint(0, _NEEDED[name] * 3 // 2 // _BLOCK + 1))
        campaign.well(f"disk: {name}", campaign.forks.call(kind.arguments(place), campaign.place))
        campaign.nothing_half(name, place)
        found.resize(_ROOM)
        kind.check(campaign, place, lambda arguments: campaign.forks.call(arguments, campaign.place))


def _short(campaign: Campaign, name: str, kind: Kind, place: Path) -> None:
    kind.prepare(campaign, place)
    longest = int(10 ** campaign.draws.uniform(0, 5.3))
    ended = campaign.forks.call(kind.arguments(place), campaign.place, longest_file=longest)
    campaign.well(f"short files: {name}", ended)
    campaign.nothing_half(name, place)
    kind.check(campaign, place, lambda arguments: campaign.forks.call(arguments, campaign.place))
