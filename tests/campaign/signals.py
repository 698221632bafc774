"""Signals at random times: a checkpoint or nothing is left, and the command that is said goes on to the same bits."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from disks import _check_compare, _check_evaluate, _check_export, _check_report, _check_run, _check_select
from forks import Ended
from harness import COMPARE, EVALUATE, FORMATS, RUN, SELECT, Campaign

KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
_TAKES: dict[str, float] = {}  # seconds of a command that nothing stops


def stopped(campaign: Campaign, cases: int) -> None:
    """Send so many signals of each kind, over all commands in turn."""
    commands = {
        "run": ([*RUN, "--out", "case/run"], _check_run),
        "select": ([*SELECT, "--out", "case/selected"], _check_select),
        "evaluate": (["evaluate", "case/run", *EVALUATE], _check_evaluate),
        "compare": ([*COMPARE, "--out", "case/compared"], _check_compare),
        "report": (["report", "run", "--no-scatter", "--out", "case/report.html"], _check_report),
        "export": (
            ["export", "run", "--format", "png", "--out", f"case/{FORMATS['png']}"],
            _check_export("png"),
        ),
    }
    for case in range(cases * len(KINDS)):
        number = KINDS[case % len(KINDS)]
        name = list(commands)[case // len(KINDS) % len(commands)]
        arguments, check = commands[name]
        with campaign.fresh() as place:
            if name == "evaluate":
                shutil.copytree(campaign.run, place / "run")
            if name not in _TAKES:
                _TAKES[name] = _time(campaign, arguments, place, name)
            after = campaign.draws.uniform(0, 1.1 * _TAKES[name])
            ended = campaign.forks.call(arguments, campaign.place, signalled=number, after=after)
            killed = number == signal.SIGKILL or ended.code == -number  # or after its last line
            campaign.well(f"{signal.Signals(number).name}: {name}", ended, killed)
            campaign.nothing_half(name, place, killed)

            def again(arguments: list[object]) -> Ended:
                return campaign.forks.call(arguments, campaign.place)

            check(campaign, place, again)


def _time(campaign: Campaign, arguments: list[object], place: Path, name: str) -> float:
    """Seconds that the command takes; the folder is as it was before."""
    ended = campaign.forks.call(arguments, campaign.place)
    campaign.well(f"no signal: {name}", ended)
    for one in place.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()
    if name == "evaluate":
        shutil.copytree(campaign.run, place / "run")
    return ended.seconds
