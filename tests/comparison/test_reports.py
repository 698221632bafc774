"""The report of a comparison's folder is that of the comparison, and of all commands that worked there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import condensery
from condensery import BadFile, BadInput, SoftLabels
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison, report_of
from condensery.jobs.engines import InProcess
from condensery.jobs.job import Job, Result
from condensery.report import write_report
from condensery.report.contents import Measurement, Report
from condensery.report.page import html

NARROW = "convnet+depth=1+width=8"
Run = Callable[..., Comparison]
SKIPPING = {"condense_with": [NARROW, "mlp"], "networks": [NARROW]}  # DM cannot be done with the second
TWO = {"settings": {"real_batch": 8, "mine.init": "noise"}, "methods": ["dm", "mine=dm", "random"]}


def of_folder(*paths: Path, **options: Any) -> Report:
    return report_of(paths, scatter=False, **options)


def named(report: Report) -> list[tuple[Any, ...]]:
    return [(g.subject, g.ipc, g.condensed_with, g.seed, g.initial is None) for g in report.galleries]


def scored(of: Report | Comparison) -> list[Measurement]:
    """The measurements that come to something beside random images or the whole set."""
    return [m for m in of.measurements if m.extra]


def require_equal(found: Report, wanted: Report) -> None:
    """All but the command that asked for it."""
    assert found.measurements == wanted.measurements
    assert found.skipped == wanted.skipped
    assert found.curves == wanted.curves
    assert named(found) == named(wanted)
    for ours, theirs in zip(found.galleries, wanted.galleries, strict=True):
        assert np.array_equal(ours.final, theirs.final)
    assert (found.title, found.facts) == (wanted.title, wanted.facts)


def test_a_folder_shows_what_its_comparison_shows(run: Run, tmp_path: Path) -> None:
    asked = {**SKIPPING, "networks": ["mlp", NARROW]}
    made = run(**TWO, **asked, ipc=[2, 1], seeds=[0, 1], scale=None, command="it")
    wanted = made.report(scatter=False)
    found = of_folder(tmp_path / "out", command="condense report out")
    require_equal(found, wanted)
    assert found.command == "condense report out"
    assert {m.subject for m in found.measurements} == {"dm", "mine", "random", "whole"}
    assert {m.subject for m in scored(found)} == {"dm", "mine"}
    assert all("improvement_over_random" in m.extra for m in scored(found))
    assert [cell for cell, _ in found.skipped] == [
        f"{subject}, {ipc} per class, made with mlp" for ipc in (2, 1) for subject in ("dm", "mine")
    ]
    page = html(found)
    assert "with no random images beside it" not in page and 'id="skipped"' in page and 'id="honest"' in page
    assert "random set" not in page and "init=noise" not in page
    assert of_folder(tmp_path / "out", title="Mine").title == "Mine"


def test_scores_about_labels_and_augmentation(run: Run, tmp_path: Path) -> None:
    made = run(networks=["mlp"], soft_labels=SoftLabels(epochs=1), augmentation_robustness=True)
    require_equal(of_folder(tmp_path / "out"), made.report(scatter=False))
    assert all("augmentation_robust_score" in m.extra for m in scored(made))


def test_two_commands_in_one_folder(run: Run, tmp_path: Path) -> None:
    first = run(**SKIPPING, whole_epochs=4)
    second = run(["mine=dm", "random"], settings={"real_batch": 8, "mine.init": "noise"}, ipc=[1, 2])
    found = of_folder(tmp_path / "out")
    assert [(m.subject, m.ipc) for m in found.measurements] == [
        ("dm", 1),
        ("random", 1),
        ("mine", 1),
        ("mine", 2),
        ("random", 2),
        ("whole", None),
        ("whole", None),
    ], "the first trains longer on the whole set"
    assert {m.accuracies for m in (*first.measurements, *second.measurements)} == {
        m.accuracies for m in found.measurements
    }
    assert [(h.subject, h.ipc) for h in scored(found)] == [("dm", 1), ("mine", 1), ("mine", 2)]
    assert {name[0] for name in named(found)} == {"dm", "mine", "random"} and len(found.galleries) == 7
    assert [cell for cell, _ in found.skipped] == ["dm, 1 per class, made with mlp"], (
        "what the first could not do is not forgotten"
    )
    assert dict(found.facts)["Seeds of the sets"] == "0, 1" and found.title == "tiny.npz: dm, random, mine"


def test_a_label_that_stood_for_other_settings_before(run: Run, tmp_path: Path) -> None:
    run(["dm"])
    run(["dm"], steps=3, settings={"real_batch": 4})
    found = of_folder(tmp_path / "out")
    assert [m.subject for m in found.measurements] == [
        "dm real_batch=8 steps=2",
        "dm real_batch=4 steps=3",
        "whole",
    ]
    assert [name[0] for name in named(found)] == ["dm real_batch=8 steps=2", "dm real_batch=4 steps=3"]


def test_networks_of_two_commands_count_once(run: Run, tmp_path: Path) -> None:
    run(["random"], repeats=1, whole=False)
    more = run(["random"], repeats=3, whole=False)
    (m,) = of_folder(tmp_path / "out").measurements
    assert m.accuracies == more.measurements[0].accuracies and m.n == 3
    other = run(["random"], evaluation_seed=7, whole=False)
    (m,) = of_folder(tmp_path / "out").measurements
    assert sorted(m.accuracies[0]) == sorted(
        more.measurements[0].accuracies[0] + other.measurements[0].accuracies[0]
    )


def test_labels_of_several_teachers_are_told_apart(run: Run, tmp_path: Path) -> None:
    for epochs in (1, 2):
        run(["dm", "random"], networks=["mlp"], soft_labels=SoftLabels(epochs=epochs), whole=False)
    found = of_folder(tmp_path / "out")
    kinds = {"hard", "soft epochs=1", "soft epochs=2"}
    assert {(m.subject, m.labels) for m in found.measurements} == {
        (subject, labels) for subject in ("dm", "random") for labels in kinds
    }
    assert {h.labels for h in scored(found)} == kinds and len(found.measurements) == 6


def test_folders_of_older_versions(run: Run, tmp_path: Path) -> None:
    """They know the labels of the last command alone, no keys of problems, and maybe a label for random."""
    run(["old=dm"], settings={"real_batch": 4})
    run(**TWO, **SKIPPING, whole_epochs=4)
    settings, problems = tmp_path / "out/comparison.json", tmp_path / "out/problems.json"
    known = json.loads(settings.read_text())
    del known["labels"]
    known["plan"]["contenders"][2]["label"] = "chance"
    settings.write_text(json.dumps(known))
    listed = [{k: v for k, v in one.items() if k != "keys"} for one in json.loads(problems.read_text())]
    problems.write_text(json.dumps(listed))
    found = of_folder(tmp_path / "out")
    assert [m.subject for m in found.measurements] == [
        "dm real_batch=8",
        "mine",
        "random",
        "dm real_batch=4",
        "whole",
        "whole",
    ]
    assert {h.subject for h in scored(found)} == {"dm real_batch=8", "mine", "dm real_batch=4"}
    assert len(found.skipped) == 2
    settings.unlink()
    found = of_folder(tmp_path / "out")
    assert {m.subject for m in found.measurements} >= {"random", "whole"} and len(found.measurements) == 6


def test_a_folder_that_is_not_finished(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out/cells").mkdir(parents=True)
    with pytest.raises(BadInput, match="holds a comparison in which nothing is done yet: let it run first"):
        of_folder(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    def no_cells(job: Job) -> Result:
        return perform(job) if job.kind == "make" else Result(job.key, failed="broken")

    run(**SKIPPING, engine=InProcess(no_cells))
    lines: list[str] = []
    found = of_folder(tmp_path / "out", announce=lines.append)
    assert len(found.galleries) == 3 and found.measurements == () and len(found.skipped) == 5
    assert lines == ["no cell is done yet, so there are no accuracies: let the comparison go on"]
    run(**SKIPPING)
    assert len(of_folder(tmp_path / "out").skipped) == 1, "what was mended is not listed any more"


def test_a_comparison_beside_other_runs(run: Run, tmp_path: Path, tiny_file: Path, short: Any) -> None:
    made = run(**TWO, **SKIPPING, seeds=[0, 1])
    condensery.condense(
        str(tiny_file), "dm", ipc=1, network=NARROW, steps=2, seed=2, real_batch=8, out=tmp_path / "more"
    )
    evaluation = condensery.evaluate(tmp_path / "more", protocol=short, baselines=["random"])
    (tmp_path / "more/evaluations.jsonl").write_text(json.dumps(evaluation.to_json()) + "\n")
    found = of_folder(tmp_path / "out", tmp_path / "more")
    assert [m.subject for m in found.measurements] == ["random", "dm", "mine", "whole"]
    random, dm, mine, _ = found.measurements
    ours = {m.subject: m for m in made.measurements}
    assert dm.accuracies == (*ours["dm"].accuracies, *evaluation.scores[0].accuracies)
    assert random.accuracies == (*ours["random"].accuracies, *evaluation.scores[1].accuracies)
    assert random.condensed_with is None and mine.accuracies == ours["mine"].accuracies
    assert {name[:3] for name in named(found)} == {
        ("dm", 1, NARROW),
        ("mine", 1, NARROW),
        ("random", 1, None),
    }
    assert len(scored(found)) == 2 and len(found.skipped) == 2
    again = of_folder(tmp_path / "out", tmp_path / "out")
    assert [m.accuracies for m in again.measurements] == [
        ours[name].accuracies for name in ("random", "dm", "mine", "whole")
    ], "nothing counts twice"


def test_lines_of_a_comparison_give_its_measurements(run: Run, tmp_path: Path) -> None:
    made = run(**TWO, networks=["mlp"], augmentation_robustness=True).report(scatter=False)
    write_report(made, tmp_path / "results.jsonl")
    found = of_folder(tmp_path / "results.jsonl")
    assert sorted(map(str, found.measurements)) == sorted(map(str, made.measurements))


def test_evaluations_by_hand_are_pointed_out(run: Run, tmp_path: Path, short: Any) -> None:
    run(["random"], repeats=1)
    (folder,) = (tmp_path / "out/sets").iterdir()
    document = condensery.evaluate(folder, protocol=short, networks=["lenet"], baselines=[]).to_json()
    (folder / "evaluations.jsonl").write_text(json.dumps(document) + "\n")
    lines: list[str] = []
    assert len(of_folder(tmp_path / "out", announce=lines.append).measurements) == 2
    assert lines == [
        f"1 evaluation of its sets by condense evaluate: condense report {tmp_path}/out/sets/* shows them"
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("comparison.json", '{"format": 99, "plan": {}}', "was written by a newer condensery: upgrade condensery"),
        ("comparison.json", "{", "is damaged: delete it"),
        ("problems.json", "{", "is damaged: delete it"),
        ("problems.json", "[3]", "is damaged: delete it"),
        ("cells/*.json", "{", "is damaged: delete it, and it is done again"),
        ("cells/*.json", '{"record": {}}', "is damaged: delete it, and it is done again"),
        ("sets/*/made.json", '{"record": 3}', "is damaged: delete it, and it is done again"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(run: Run, tmp_path: Path, name: str, content: str, words: str) -> None:
    run(["random"])
    file = next((tmp_path / "out").glob(name))
    file.write_text(content)
    with pytest.raises(BadFile, match=words) as caught:
        of_folder(tmp_path / "out")
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    if name == "problems.json":
        assert run(["random"]).complete and of_folder(tmp_path / "out").skipped == ()


def test_damaged_labels_are_named(run: Run, tmp_path: Path) -> None:
    run(["random"])
    settings = tmp_path / "out/comparison.json"
    known = json.loads(settings.read_text())
    for labels in (3, {"key": "dm"}, {"key": [1]}):
        settings.write_text(json.dumps({**known, "labels": labels}))
        with pytest.raises(
            BadFile, match=r"comparison\.json is damaged: delete it, and the same command goes on"
        ):
            of_folder(tmp_path / "out")


def test_results_from_before_a_method_got_a_field_stay_in_its_row(run: Run, tmp_path: Path) -> None:
    """Documents of then do not name the field, those of now do; the key is the same."""
    run(["dm"], seeds=[0], whole=False)
    (cell,) = (tmp_path / "out/cells").glob("*.json")
    document = json.loads(cell.read_text())
    assert "factor" in document["fields"] and "factor" not in document["record"]["set"]["fields"]
    del document["fields"]["factor"]
    cell.write_text(json.dumps(document))
    (dm,) = run(["dm"], seeds=[0, 1], whole=False).measurements
    assert (dm.subject, len(dm.accuracies)) == ("dm", 2)


def test_a_method_that_is_not_there_any_more(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    wanted = run(["mine=dm", "random"])
    monkeypatch.delitem(condensery.METHODS, "dm")
    found = of_folder(tmp_path / "out")
    assert [m.accuracies for m in found.measurements] == [m.accuracies for m in wanted.measurements]
