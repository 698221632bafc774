"""A comparison within minutes: settings of its methods, networks and epochs of its judging that fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from condensery.budgets import average, in_record
from condensery.comparison.entries import all_fields
from condensery.comparison.estimate import Stopwatch, impossible
from condensery.comparison.jobs import ComparisonJob, cells
from condensery.comparison.plan import Entry, Plan
from condensery.evaluation import Protocol
from condensery.evaluation.plan import within as judged_within
from condensery.method import Task
from condensery.methods import METHODS, get_method
from condensery.minutes import require_minutes
from condensery.minutes import within as made_within
from condensery.presets import with_preset
from condensery.provenance import pick_device
from condensery.records import ImageData


def shortened(
    plan: Plan,
    minutes: float,
    images: ImageData,
    device: str,
    kept: Plan | None,
    repeats_given: bool,
    announce: Callable[[str], None],
) -> Plan:
    """The plan with ordinary settings that fit: half of the time makes sets, half judges them.

    Methods start from the fast preset; fields that are not at their defaults stay. Networks stay as they are. A
    comparison that was begun keeps what was chosen then.

    Args:
        kept: the plan of the folder, if there is one.
        repeats_given: whether the networks for each set were asked for and stay.

    Raises:
        BadInput: not even the least fits.
    """
    require_minutes(minutes)
    before = {one.label: one for one in kept.entries} if kept else {}
    found = []
    for entry in plan.entries:
        if (old := before.get(entry.label)) and old.method == entry.method:
            found.append(old)
        elif entry.method not in METHODS or entry.steps is not None:
            found.append(entry)
        else:
            found.append(_fitting(entry, plan, minutes / 2, images, device, announce))
    plan = replace(plan, entries=tuple(found))
    if kept:
        announce(
            "goes on with the settings that were chosen when it began: --minutes is for new methods alone"
        )
        return replace(plan, protocol=kept.protocol, repeats=kept.repeats)
    return _judged(plan, minutes / 2, images, device, repeats_given, announce)


def _fitting(
    entry: Entry,
    plan: Plan,
    minutes: float,
    images: ImageData,
    device: str,
    announce: Callable[[str], None],
) -> Entry:
    """A method's settings and steps for its largest set, in its share of the minutes."""
    counts = max((in_record(ipc, images.spec.num_classes) for ipc in plan.budgets), key=sum)
    methods = sum(one.method in METHODS for one in plan.entries)
    share = minutes / (methods * len(plan.budgets) * len(plan.condense_with) * len(plan.seeds))
    defaults = asdict(get_method(entry.method))
    given = {name for name, value in entry.fields.items() if value != defaults[name]}
    network = plan.condense_with[0]
    method, wanted = with_preset(
        "fast", get_method(entry.method, **entry.fields), given, images, average(counts), network, announce
    )
    task = Task.on(images, network, counts, pick_device(device))
    found = made_within(share, method, task, fixed={*given, "network"}, wanted=wanted, seed=plan.seeds[0])
    announce(f"{entry.label}: {found.lines[0]}")
    settings = asdict(found.method)
    return replace(entry, fields=all_fields(entry.method, **settings), steps=found.steps)


def _judged(
    plan: Plan,
    minutes: float,
    images: ImageData,
    device: str,
    repeats_given: bool,
    announce: Callable[[str], None],
) -> Plan:
    """Fewer networks, then fewer epochs, until the judging fits."""
    stopwatch = Stopwatch(plan, images, device)
    rows: dict[str, list[ComparisonJob]] = {}
    for cell in cells(plan):
        rows.setdefault(cell.row, []).append(cell)
    problems, _ = impossible(rows, images)
    hopeless = {_place(cell) for cell in cells(plan) if cell.key in problems}

    def with_judge(protocol: Protocol, repeats: int) -> Plan:
        return replace(plan, protocol=protocol.to_json(), repeats=repeats)

    def seconds(protocol: Protocol, repeats: int) -> float:
        stopwatch.judge_by(protocol)
        jobs = cells(with_judge(protocol, repeats))
        return sum(stopwatch.seconds(job) for job in jobs if _place(job) not in hopeless)

    protocol = Protocol.from_json(plan.protocol)
    chosen, repeats, cuts = judged_within(minutes, protocol, plan.repeats, repeats_given, seconds)
    if cuts:
        announce(f"judging{cuts}")
    return with_judge(chosen, repeats)


def _place(cell: ComparisonJob) -> tuple[str, str]:
    return cell.row, cell.record["network"]
