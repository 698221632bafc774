"""Write the measured tables of the pages in PAGES from the JSON lines here: python results/update_tables.py

Every line was written by `condense evaluate --results`. Nothing in a table is typed by hand, and published values
come from `condensery.published`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from condensery.coresets import SELECTORS
from condensery.methods import METHODS, get_method
from condensery.methods.gradient_matching import GradientMatching
from condensery.published import Published, lookup, tables
from condensery.text import readable_bytes

HERE = Path(__file__).parent
PAGES = tuple(HERE.parent / page for page in ("README.md", "docs/results.md", "results/README.md"))
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
SUBJECTS = {
    "random": "random images",
    "herding": "herding",
    "k-center": "k-center",
    "forgetting": "forgetting",
    "dm": "DM",
    "dc": "DC",
    "dsa": "DSA",
    "dcc": "DCC",
    "dsac": "DSAC",
    "dd": "DD",
    "ld": "LD",
    "kip": "KIP",
    "rfad": "RFAD",
    "frepo": "FRePo",
    "mtt": "MTT",
    "cafe": "CAFE",
    "gtn": "GTN",
    "generative": "generative",
    "cgan": "conditional GAN",
    "vae": "VAE",
    "gmmn": "GMMN",
    "mmd": "MMD",
    "it-gan": "IT-GAN",
    "dim": "DiM",
    "patches": "patches",
    "whole": "the whole set",
}
NETWORKS = {
    "mlp": "MLP",
    "convnet": "ConvNet",
    "lenet": "LeNet",
    "alexnet": "AlexNet",
    "vgg11": "VGG11",
    "resnet18": "ResNet18",
    "vgg11+norm=batch": "VGG11, batch norm",
    "resnet18-ap": "ResNet18, average pooling",
}
MAIN = "convnet"  # the architecture of the main tables, to condense with and to train
OTHER_NETWORKS = {
    "dc": "dc-cross-architecture",
    "dsa": "dsa-cross-architecture",
}  # published tables of the same cells
CONTRAST = "contrast.jsonl"  # runs for one question alone, which no other table shows
MINUTES = "minutes.jsonl"  # sets made in minutes, by benchmarks/minutes.py: a table of their own
CURVES = (
    "curves.jsonl"  # sets of one run after several numbers of updates: the picture of accuracy over minutes
)
PHOTOS = "photos.jsonl"  # photos of hand signs: likewise
METHODS_TABLE = "methods.jsonl"  # every method for the same minutes, by benchmarks/methods.py: likewise
_OTHER = (
    "speed.jsonl",
    "students.jsonl",
    "starts.jsonl",
    "size.jsonl",
    "fast_settings.jsonl",
    "dm_settings.jsonl",
    "generators.jsonl",
    "generative.jsonl",
)
_NO_SCORES = (MINUTES, PHOTOS, METHODS_TABLE, CURVES, *_OTHER)


def rows() -> list[dict[str, Any]]:
    """One row for each line and subject: the run, its score and the published value; in a stable order."""
    found = []
    for file in sorted(HERE.glob("*.jsonl")):
        if file.name in _NO_SCORES:
            continue
        in_table = file.name != CONTRAST
        for line in file.read_text(encoding="utf-8").splitlines():
            run = json.loads(line)
            for score in run["scores"]:
                value = published(run, score) if in_table else "-"
                found.append({"run": run, "score": score, "published": value, "in_table": in_table})
    order = list(SUBJECTS)
    return sorted(
        found,
        key=lambda r: (r["run"]["data"] != "mnist", r["run"]["ipc"], order.index(r["score"]["subject"])),
    )


def published(run: dict[str, Any], score: dict[str, Any]) -> str:
    """The mean published for a score in percent, or "-"."""
    if trained_as(score):
        return "-"
    made_with = condensed_with(run) or MAIN
    value = lookup(run["data"], score["subject"], run["ipc"], score["network"], made_with)
    return "-" if value is None else f"{100 * value.mean:.1f}"


def in_percent(value: Published) -> str:
    """ "91.7 ± 0.5" """
    std = "" if value.std is None else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{std}"


def condensed_with(run: dict[str, Any]) -> str | None:
    """The architecture that a set was learned with; None for real images, whatever features they were chosen by."""
    return None if run["method"] in SELECTORS else run["condensed_with"]


def main_rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the main tables: made with the ConvNet or no network, judged with it, hard labels."""
    of_main = [r for r in found if r["score"]["network"] == MAIN and condensed_with(r["run"]) in (MAIN, None)]
    return [r for r in of_main if r["in_table"] and not trained_as(r["score"])]


def summary(found: list[dict[str, Any]]) -> list[str]:
    """Training sets down, data sets and budgets across; published means and shares of the updates in brackets."""
    found = main_rows(found)
    columns = list(dict.fromkeys((r["run"]["data"], r["run"]["ipc"]) for r in found))
    heads = [f"{NAMES.get(data, data)}, {ipc} per class" for data, ipc in columns]
    lines = [f"| test accuracy, % | {' | '.join(heads)} |", "|---|" + "---|" * len(columns)]
    for subject, name in SUBJECTS.items():
        cells = {
            (
                r["run"]["data"],
                r["run"]["ipc"],
            ): f"{narrow(r['score'])} ({r['published']}{share(r['run'], subject).replace(' % of the updates', '%')})"
            for r in reversed(found)  # the first line on a cell counts
            if r["score"]["subject"] == subject
        }
        if cells:
            lines.append(f"| {name} | " + " | ".join(cells.get(column, "") for column in columns) + " |")
    return lines


def share(run: dict[str, Any], subject: str) -> str:
    """How much of the published updates a set had, where that is not all of them."""
    if subject not in METHODS:
        return ""
    part = run["steps"] / get_method(subject).steps(run["ipc"])
    return f"; {100 * part:.2g} % of the updates" if part < 1 else ""


def cross_architecture(found: list[dict[str, Any]]) -> list[str]:
    """For each method: the architecture it condensed with down, the one that was trained across."""
    lines = []
    made = [r for r in found if condensed_with(r["run"]) and r["score"]["subject"] not in ("random", "whole")]
    made = [r for r in made if r["in_table"] and not trained_as(r["score"])]
    if unknown := {condensed_with(r["run"]) for r in made} - set(NETWORKS):
        raise SystemExit(f"name {', '.join(map(str, unknown))} in NETWORKS")
    for data, ipc, subject in dict.fromkeys(
        (r["run"]["data"], r["run"]["ipc"], r["score"]["subject"]) for r in made
    ):
        cells = {
            (r["run"]["condensed_with"], r["score"]["network"]): f"{narrow(r['score'])} ({in_its_table(r)})"
            for r in made
            if (r["run"]["data"], r["run"]["ipc"], r["score"]["subject"]) == (data, ipc, subject)
        }
        trained = [network for network in NETWORKS if any(network == t for _, t in cells)]
        if len(trained) < 2:
            continue
        lines += [
            f"{SUBJECTS[subject]}, {NAMES[data]}, {ipc} per class:",
            "",
            f"| condensed with | {' | '.join(NETWORKS[t] for t in trained)} |",
            "|---|" + "---|" * len(trained),
        ]
        for c in NETWORKS:
            if any((c, t) in cells for t in trained):
                lines.append(
                    f"| {NETWORKS[c]} | " + " | ".join(cells.get((c, t), "") for t in trained) + " |"
                )
        lines.append("")
    return lines[:-1]


def in_its_table(row: dict[str, Any]) -> str:
    """What the table of other networks prints for the cell, which may differ from the paper's main table."""
    name = OTHER_NETWORKS.get(row["score"]["subject"])
    place = (row["run"]["data"], row["run"]["ipc"], row["run"]["condensed_with"], row["score"]["network"])
    for table in tables():
        for cell in table.cells if table.name == name else ():
            if (cell.data, cell.ipc, cell.condensed_with, cell.network) == place and cell.value:
                return f"{100 * cell.value.mean:.1f}"
    return row["published"]


def lines_of(name: str) -> list[dict[str, Any]]:
    """The lines of a file here."""
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def curves() -> dict[str, list[tuple[float, float]]]:
    """Name -> (minutes to make a set, its accuracy in %) in order of time; the best last point comes first."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in lines_of(CURVES):
        factor = row["fields"].get("factor", 1)
        name = SUBJECTS[row["method"]] + (f", {factor**2} tiles" if factor > 1 else "")
        seconds = row["condense_seconds"]
        found.setdefault(name, []).append((sum(seconds) / len(seconds) / 60, 100 * row["scores"][0]["mean"]))
    in_order = {name: sorted(points) for name, points in found.items()}
    return dict(sorted(in_order.items(), key=lambda one: -one[1][-1][1]))


def curves_table() -> list[str]:
    lines = ["| method | accuracy, % (minutes) |", "|---|---|"]
    for name, points in curves().items():
        lines.append(f"| {name} | " + ", ".join(f"{y:.1f} ({x:.1f})" for x, y in points) + " |")
    return lines


def minutes() -> list[str]:
    """Sets made in minutes: images alone, and with labels of views; random images beside both."""
    runs = lines_of(MINUTES)
    columns = list(dict.fromkeys((run["data"], run["ipc"]) for run in sorted(runs, key=_place)))
    heads = [f"{NAMES[data]}, {ipc} per class" for data, ipc in columns]
    lines = [f"| test accuracy, % | {' | '.join(heads)} |", "|---|" + "---|" * len(columns)]

    def row(name: str, cell: Callable[[dict[str, Any]], str | None], with_labels: bool) -> None:
        """`cell` of the runs of one track, with labels of the last teacher; the last line on a place counts."""
        of_track = [run for run in runs if bool(run["labelled_by"]) == with_labels]
        last = {run["data"]: run["labelled_by"] for run in of_track}
        of_track = [
            run for run in of_track if _architecture(run["labelled_by"]) == _architecture(last[run["data"]])
        ]
        cells = {(run["data"], run["ipc"]): said for run in of_track if (said := cell(run))}
        if cells:
            lines.append(f"| {name} | " + " | ".join(cells.get(column, "") for column in columns) + " |")

    def score(subject: str) -> Callable[[dict[str, Any]], str | None]:
        return lambda run: next(
            (f"{accuracy(s)} (n = {s['n']})" for s in run["scores"] if s["subject"] == subject), None
        )

    def size(subject: str) -> Callable[[dict[str, Any]], str | None]:
        return lambda run: next(
            (readable_bytes(s["bytes"]) for s in run["scores"] if s["subject"] == subject), None
        )

    row("**condensed images**", score("dm"), False)
    row("random images, as many bytes", score("random"), False)
    values = [lookup(data, "dm", ipc, MAIN, MAIN) for data, ipc in columns]
    said = " | ".join("" if v is None else in_percent(v) for v in values)
    lines.append(f"| DM as published: as many images in 32 bits, 20,000 updates | {said} |")
    row("bytes", size("dm"), False)
    row("minutes to make one, one core", _minutes, False)
    row("condensed images, labels of views", score("dm"), True)
    row("patches of real images, labels of views", score("patches"), True)
    row("random images, labels of views", score("random set"), True)
    row(
        "bytes of each",
        lambda run: next((s for of in ("dm", "patches", "random set") if (s := size(of)(run))), None),
        True,
    )
    row("their teacher itself; its bytes and minutes", lambda run: teacher(run["labelled_by"]), True)
    return lines


def _architecture(teacher: dict[str, Any] | None) -> str:
    return teacher["network"] if teacher else ""


def _minutes(run: dict[str, Any]) -> str:
    """Of a set on average, and of the first, for which something was trained before."""
    each = sum(run["condense_seconds"]) / len(run["condense_seconds"]) / 60
    before = max(run.get("seconds_before", [0])) / 60
    return f"{each:.1f}; the first {each + before:.1f}" if before else f"{each:.1f}"


def teacher(record: dict[str, Any]) -> str:
    """ "82.0 (n = 1); 347 kB; 8.1 min", without the minutes where the record does not say them."""
    seconds = record.get("training_seconds")
    said = [f"{100 * record['accuracy']:.1f} (n = 1)", readable_bytes(record["bytes"])]
    return "; ".join([*said, *([] if seconds is None else [f"{seconds / 60:.1f} min"])])


def photos() -> list[str]:
    """Sets of photos: one line for each score, the best first, with all the minutes that it took, teacher included."""
    runs = [json.loads(line) for line in (HERE / PHOTOS).read_text(encoding="utf-8").splitlines()]
    last = {(s["subject"].removesuffix(" set"), s["labels"]): (s, run) for run in runs for s in run["scores"]}
    scores = sorted(last.values(), key=lambda pair: -pair[0]["mean"])
    lines = ["| trained on | test accuracy, % (n) | bytes | minutes to make |", "|---|---|---|---|"]
    for score, run in scores:
        teacher = run["labelled_by"] or {}
        seconds = sum(run["condense_seconds"]) / len(run["condense_seconds"])
        seconds += teacher.get("training_seconds", 0) + teacher.get("seconds", 0)
        made = score["subject"] not in ("random", "whole")
        name = SUBJECTS.get(score["subject"], "random images")
        labels = "" if score["labels"] == "hard" else f", labels of {score['labels']}"
        lines.append(
            f"| {name}{labels} | {narrow(score)} ({score['n']}) | {readable_bytes(score['bytes'])} | "
            f"{f'{seconds / 60:.0f}' if made else ''} |"
        )
    return lines


def methods() -> list[str]:
    """Every method for the same minutes: methods down, data sets and budgets across; a table for each time."""
    rows = method_rows()
    lines = [] if rows else ["Not measured yet.", ""]
    for budget in sorted({row["cell"]["minutes"] for row in rows}):
        of_budget = [row for row in rows if row["cell"]["minutes"] == budget]
        columns = list(
            dict.fromkeys((r["cell"]["data"], r["cell"]["ipc"]) for r in sorted(of_budget, key=_cell_place))
        )
        heads = [f"{NAMES.get(data, data)}, {ipc} per class" for data, ipc in columns]
        lines += [f"{budget:g} minutes for each set:", ""]
        lines += [f"| test accuracy, % | {' | '.join(heads)} |", "|---|" + "---|" * len(columns)]
        for method, name in SUBJECTS.items():
            if method not in METHODS and method != "random":
                continue
            cells = {  # the last line on a cell counts
                (row["cell"]["data"], row["cell"]["ipc"]): _method_cell(row)
                for row in of_budget
                if row["cell"]["method"] == method
            }
            said = (cells.get(column, "not measured") for column in columns)
            lines.append(f"| {name} | " + " | ".join(said) + " |")
        lines.append("")
    return lines[:-1]


def method_rows() -> list[dict[str, Any]]:
    return lines_of(METHODS_TABLE) if (HERE / METHODS_TABLE).exists() else []


def _cell_place(row: dict[str, Any]) -> tuple[bool, int]:
    return row["cell"]["data"] != "mnist", row["cell"]["ipc"]


def _method_cell(row: dict[str, Any]) -> str:
    """Accuracy by each recipe, what is published, minutes, bytes and n, a line each; or why there is no set."""
    if "failed" in row:
        return "not made: " + row["failed"].partition(": give")[0]
    cell, scores = row["cell"], row["scores"]
    own = [s for s in scores if s["recipe"] == "own recipe"]
    common = [s for s in scores if s["recipe"] != "own recipe"]
    learned = [s for s in common if s["labels"] == "learned"]
    shown = learned[0] if learned else common[0]
    classes = f"; with classes {_mean(common[0])}" if learned and common[0] is not shown else ""
    lines = [f"own recipe {_mean(own[0])}"] if own else []
    lines.append(f"common {_mean(shown)}{classes}")
    found = own_paper(cell["data"], cell["method"], cell["ipc"])
    if found:
        value, network = found
        with_it = "" if network == MAIN else f" with {network}"
        again = judged_again(cell["data"], cell["method"], cell["ipc"])
        more = f", judged again {in_percent(again)}" if again else ""
        part = share(row, cell["method"]) if row["steps"] else ""
        lines.append(f"published {in_percent(value)}{with_it}{more}{part}")
    minutes = sum(row["wall_seconds"]) / len(row["wall_seconds"]) / 60
    narrow = "" if row["condensed_with"] in (MAIN, None) else f", {row['condensed_with']}"
    lines.append(f"{minutes:.1f} min{narrow}, {readable_bytes(shown['bytes'])}, n = {shown['n']}")
    return "<br>".join(lines)


def _mean(score: dict[str, Any]) -> str:
    """With its spread, where there is more than one network."""
    return accuracy(score) if score["n"] > 1 else f"{100 * score['mean']:.1f}"


def judged_again(data: str, method: str, ipc: int) -> Published | None:
    """What others found who trained on the sets that a method's authors published."""
    for table in tables():
        for one in table.cells:
            if (one.data, one.method, one.ipc, one.column) == (data, method, ipc, "Its sets judged again"):
                return one.value
    return None


def own_paper(data: str, method: str, ipc: int) -> tuple[Published, str] | None:
    """The published value of a method with the ConvNet, or else with its authors' network; and which one that is."""
    if value := lookup(data, method, ipc, MAIN, MAIN):
        return value, MAIN
    for table in tables():
        for one in table.cells if table.main else ():
            if (one.data, one.method, one.ipc) == (data, method, ipc) and one.value:
                return one.value, one.network
    return None


def method_commands() -> list[str]:
    """Where the cells of `methods` were measured, and what each set was made with."""
    made = [row for row in method_rows() if "failed" not in row]
    if not made:
        return ["Not measured yet."]
    places = dict.fromkeys((row["hardware"], row["commit"]) for row in made)
    where = "; ".join(f"{hardware}, commit `{commit}`" for hardware, commit in places)
    judged = ", ".join(dict.fromkeys(f"`{row['protocol']}`" for row in made))
    return [
        f"Common protocol {judged}. {where}. A set is made again by:",
        "",
        "```",
        *(command for row in made for command in row["made_with"]),
        "```",
    ]


def _place(run: dict[str, Any]) -> tuple[bool, int]:
    return run["data"] != "mnist", run["ipc"]


def contrast(found: list[dict[str, Any]]) -> list[str]:
    """Runs at 1 image per class on CIFAR-10 beside the same with other loops, updates and rates."""
    lines = [
        "| method | start | updates | loops | image rate | classes at once | accuracy, % (n) |",
        "|---|---|---|---|---|---|---|",
    ]
    methods = ("dc", "dcc", "dsa", "dsac")
    for subject in methods:
        for row in found:
            run, score = row["run"], row["score"]
            wanted = run["data"] == "cifar10" and run["ipc"] == 1 and run["method"] == subject
            if not wanted or score["subject"] != subject or score["network"] != MAIN:
                continue
            fields = run["fields"]
            outer, inner = cast(GradientMatching, get_method(subject, **fields)).loops(1)
            cells = (
                SUBJECTS[subject],
                fields["init"],
                run["steps"],
                f"{outer}, {inner}" if outer > 1 else "1, -",
                fields["image_lr"],
                at_once(fields),
                f"{narrow(score)} ({score['n']})",
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def at_once(fields: dict[str, Any]) -> str:
    """From which update on DCC matches all classes together."""
    if "warmup" not in fields:
        return "never"
    if fields["warmup"] == "none":
        return "always"
    return f"after {fields['outer_warmup'] * fields['inner_warmup']}"


def trained_as(score: dict[str, Any]) -> str:
    """How a score differs from training with hard labels and the protocol's augmentation; "" for not at all."""
    soft = ", soft labels" if score.get("labels") == "soft" else ""
    return soft + (", no augmentation" if score.get("augmentation") == "none" else "")


def accuracy(score: dict[str, Any]) -> str:
    """Mean and standard deviation in percent."""
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"


def narrow(score: dict[str, Any]) -> str:
    """The same without spaces, for tables of many columns."""
    return accuracy(score).replace(" ", "")


def details(found: list[dict[str, Any]]) -> list[str]:
    """The commands behind every number, with n, minutes and commit; a block for each data set and budget."""
    lines: list[str] = []
    for data, ipc in dict.fromkeys((r["run"]["data"], r["run"]["ipc"]) for r in found):
        of_place = [r["run"] for r in found if (r["run"]["data"], r["run"]["ipc"]) == (data, ipc)]
        lines += [f"{NAMES.get(data, data)}, {ipc} per class:", "", "```"]
        made: list[str] = []
        for run in {run["command"]: run for run in of_place}.values():
            # Recorded before there were presets: what a command leaves out is a method's default.
            commands = [c.replace("condense run ", "condense run --preset paper ") for c in run["made_with"]]
            lines += [_found(run), *(command for command in commands if command not in made)]
            lines += [re.sub(r" --results [^ ]+", "", run["command"])]
            made += commands
        lines += ["```", ""]
    return lines[:-1]


def _found(run: dict[str, Any]) -> str:
    """ "# DM 89.3±0.5 n=5; 12+14 min; 19b6d7dfaf0b": minutes to make and to judge it."""
    scores = [
        f"{SUBJECTS[s['subject']]}{'' if s['network'] == MAIN else ' ' + NETWORKS[s['network']]}{trained_as(s)} "
        f"{narrow(s)} n={s['n']}"
        for s in run["scores"]
    ]
    minutes = (
        sum(seconds) / 60 for seconds in (run["condense_seconds"], [s["seconds"] for s in run["scores"]])
    )
    making, judging = (f"{m:.0f}" for m in minutes)
    return f"# {', '.join(scores)}; {making}+{judging} min; {run['commit']}"


def machines(found: list[dict[str, Any]]) -> str:
    """Where the rows were measured."""
    return "; ".join(dict.fromkeys(row["run"]["hardware"] for row in found))


def render() -> dict[str, str]:
    """The generated parts of the pages by the name of their marks."""
    found = rows()
    return {
        "summary": "\n".join(summary(found)),
        "minutes": "\n".join(minutes()),
        "curves": "\n".join(curves_table()),
        "photos": "\n".join(photos()),
        "methods": "\n".join(methods()),
        "method-commands": "\n".join(method_commands()),
        "contrast": "\n".join(contrast(found)),
        "cross-architecture": "\n".join(cross_architecture(found)),
        "details": "\n".join([f"All on {machines(found)}.", "", *details(found)]),
    }


def marked(name: str, text: str) -> str:
    """A generated part between its marks."""
    return f"<!-- {name}: begin -->\n{text}\n<!-- {name}: end -->"


def main() -> int:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, part in render().items():
            if f"<!-- {name}: begin -->" in text:
                before, rest = text.split(f"<!-- {name}: begin -->")
                text = before + marked(name, part) + rest.split(f"<!-- {name}: end -->")[1]
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
