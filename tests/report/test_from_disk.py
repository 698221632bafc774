"""Reports of real runs: everything found, nothing counted twice, nothing mixed that does not belong together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_runs import NETWORK, make_run, note_evaluation

import condensery
from condensery import BadFile, BadInput
from condensery.data.sources import silent
from condensery.export.picture import eight_bit
from condensery.report import write_report
from condensery.report.contents import Report
from condensery.report.from_disk import find, report_of_found
from condensery.report.page import html


def report_of_runs(
    paths: Sequence[str | Path], *, command: str = "", scatter: bool = True, announce=silent
) -> Report:
    """What `condense report` shows of paths that are no comparisons."""
    found = [find(Path(path), announce) for path in paths]
    return report_of_found(found, title="", command=command, scatter=scatter, announce=announce)


NOT_MIXED = "a report shows runs on one image set; make one for each"


@pytest.fixture(scope="module")
def report(runs):
    return report_of_runs(list(runs.values()), scatter=False, command="condense report a b c")


def only(report, **wanted):
    (found,) = [m for m in report.measurements if all(getattr(m, k) == v for k, v in wanted.items())]
    return found


def test_seeds_of_a_kind_are_one_measurement(report, runs):
    document = json.loads((runs["a"] / "evaluations.jsonl").read_text())
    m = only(report, subject="dm", ipc=1)
    assert [list(row) for row in m.accuracies] == document["scores"][0]["accuracies"]
    assert len(m.accuracies) == 2 and m.n == 4, "two sets, two networks each, though both logs hold the line"
    assert m.make_seconds == tuple(document["condense_seconds"])
    assert (m.condensed_with, m.network, m.protocol, m.labels) == (NETWORK, NETWORK, "fast", "hard")
    assert (m.images, m.steps, m.published_steps, m.epochs) == (3, 3, 20000, 3)
    assert m.memory is not None and m.memory > 2**20
    assert m.commands[-1] == "condense evaluate a b" and len(m.commands) == 3
    assert m.commands[0].startswith("condense run --data ") and "--seed 1" in m.commands[1]
    assert m.record["set_seeds"] == [0, 1] and "scores" not in m.record


def test_baselines_and_other_networks(report):
    chance = only(report, subject="random", ipc=1)
    assert (
        chance.n == 4 and chance.condensed_with is None and chance.steps is None and not chance.make_seconds
    )
    assert only(report, subject="whole", network="mlp").ipc is None
    assert only(report, subject="dm", ipc=2, network="mlp").condensed_with == NETWORK


def test_order_of_a_table(report):
    order = [(m.ipc, m.subject) for m in report.measurements]
    assert order[:2] == [(1, "random"), (1, "dm")]
    assert [ipc for ipc, _ in order] == [1, 1, 2, 2, 2, 2, None, None]


def test_galleries_show_the_set_before_and_after(report, runs):
    assert [(g.subject, g.ipc, g.seed) for g in report.galleries] == [
        ("dm", 1, 0),
        ("dm", 1, 1),
        ("dm", 2, 0),
    ]
    gallery = report.galleries[2]
    assert np.array_equal(gallery.final, eight_bit(condensery.load(runs["c"])))
    assert np.array_equal(gallery.initial, eight_bit(condensery.load(runs["c"] / "initial.safetensors")))
    assert gallery.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_curves_hold_losses_and_accuracies(report, runs):
    saved = json.loads((runs["a"] / "curve.json").read_text())
    curve = report.curves[0]
    assert list(curve.loss) == saved["loss"] and len(curve.loss) == 3
    assert [point[0] for point in curve.accuracy] == [0, 3]
    assert curve.accuracy[0][1:] == (saved["accuracy"][0]["mean"], saved["accuracy"][0]["std"], 2)


def test_the_page_of_real_runs(report):
    page = html(report)
    assert "condense report a b c" in page and "images per class" in page


def test_facts(report):
    facts = dict(report.facts)
    assert facts["Images"] == "tiny.npz: 3 classes, 8 x 8, grey" and facts["Protocol"] == "fast"
    assert {"Hardware", "Versions", "Measured"} <= set(facts)


def test_features_of_real_and_synthetic_images(runs):
    found = report_of_runs([runs["a"], runs["c"]]).scatters
    assert [plot.projection for plot in found] == ["PCA", "t-SNE"]
    assert found[0].real.shape == (36, 2), "all training images there are"
    assert found[0].synthetic.shape == (6, 2), "of one method, the set with more images per class"
    assert "dm, 2 per class" == found[0].title
    assert "convnet+width=32 after 10 epochs on 36 real images" == found[0].network


def test_without_its_data_a_run_is_shown_without_features(runs, tiny_file, tmp_path):
    copy = shutil.copy(tiny_file, tmp_path / "gone.npz")
    run = make_run(copy, tmp_path / "run", steps=1)
    Path(copy).unlink()
    lines: list[str] = []
    report = report_of_runs([run], announce=lines.append)
    assert report.scatters == () and len(report.galleries) == 1 and report.measurements == ()
    assert any("no evaluation was found" in line and "condense evaluate" in line for line in lines)
    assert any(line.startswith("no picture of features: ") and "gone.npz" in line for line in lines)


def test_an_older_run_has_no_initial_images(runs, tmp_path):
    old = shutil.copytree(runs["a"], tmp_path / "old")
    (old / "initial.safetensors").unlink()
    (old / "curve.json").unlink()
    report = report_of_runs([old], scatter=False)
    assert report.galleries[0].initial is None and report.curves == ()


def test_set_files_and_lines_of_results(runs, tmp_path):
    results = shutil.copy(runs["c"] / "evaluations.jsonl", tmp_path / "results.jsonl")
    report = report_of_runs([results, runs["c"] / "set.safetensors"], scatter=False)
    assert len(report.galleries) == 1 and report.curves == ()
    assert report.measurements and report.measurements[0].memory is None
    assert report_of_runs([results]).galleries == ()


def test_lines_of_measurements(report, runs, tmp_path):
    lines = tmp_path / "measured.jsonl"
    write_report(report, lines)
    again = report_of_runs([lines], scatter=False)
    assert again.measurements == report.measurements
    assert again.title == report.title and dict(again.facts)["Protocol"] == "fast"
    both = report_of_runs([*runs.values(), lines], scatter=False)
    assert both.measurements == report.measurements, "what is there already is not shown twice"


def test_a_selection_at_random_is_random_images(tiny_file, tmp_path):
    chosen = condensery.select(
        tiny_file, "random", ipc=1, network=NETWORK, device="cpu", out=tmp_path / "run"
    )
    note_evaluation([tmp_path / "run"], baselines=("random",))
    report = report_of_runs([tmp_path / "run"], scatter=False)
    (m,) = report.measurements
    own, fresh = json.loads((tmp_path / "run/evaluations.jsonl").read_text())["scores"]
    assert (m.subject, m.condensed_with, m.n) == ("random", None, 4)
    assert [list(row) for row in m.accuracies] == [*own["accuracies"], *fresh["accuracies"]]
    (gallery,) = report.galleries
    assert (gallery.subject, gallery.condensed_with) == ("random", None) and len(gallery.final) == len(chosen)


# ---- what is refused


def refused(match: str, *paths: object) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        report_of_runs(paths, scatter=False)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_runs_that_disagree_on_classes(runs, tiny, tmp_path):
    pixels, labels = tiny.train.pixels, tiny.train.labels
    folder = tmp_path / "photos"
    from PIL import Image

    for c, name in enumerate(("0", "1", "seven")):
        (folder / name).mkdir(parents=True)
        for k, image in enumerate(pixels[labels == c]):
            Image.fromarray(image[..., 0]).save(folder / name / f"{k}.png")
    other = make_run(folder, tmp_path / "other", steps=1)
    refused(rf"class 2 is '2' in .*/a and 'seven' in {other}: {NOT_MIXED}", runs["a"], other)


def test_runs_of_other_numbers_of_classes(runs, tmp_path):
    other = make_run("digits", tmp_path / "other", steps=1)
    refused(rf"/a has 3 classes and {other} has 10: {NOT_MIXED}", runs["a"], other)


def test_runs_of_other_images_with_the_same_classes(runs, tiny_file, tmp_path):
    other = make_run(tiny_file, tmp_path / "other", steps=1, size=12, network="convnet+width=8+depth=1")
    refused(
        rf"/a is about .* and {other} about .*, which are different images: {NOT_MIXED}", runs["a"], other
    )


def test_results_of_other_images(runs, tmp_path):
    document = json.loads((runs["c"] / "evaluations.jsonl").read_text())
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps({**document, "data": "mnist", "fingerprint": "0" * 64}) + "\n")
    refused(rf"{results} about mnist, which are different images", runs["a"], results)


@pytest.mark.parametrize("name", ["nowhere", "nothing.jsonl", "nothing.safetensors"])
def test_paths_that_do_not_exist(tmp_path, name):
    refused(f"{name} does not exist", tmp_path / name)


def test_folders_that_hold_nothing(tmp_path):
    refused("holds no set.safetensors", tmp_path)
    refused("no run to report")


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"scores": 3}', '{"scores": [{}]}', '{"data": 1}', "[" * 100_000]
)
def test_damaged_evaluations(runs, tmp_path, line):
    """A line that is none is left out and named; the good ones count."""
    good = (runs["c"] / "evaluations.jsonl").read_text()
    results, lines = tmp_path / "results.jsonl", []
    results.write_text(good + line + "\n" + good.splitlines()[0])
    found = report_of_runs([results], announce=lines.append)
    assert found.measurements == report_of_runs([runs["c"] / "evaluations.jsonl"]).measurements
    (said,) = (one for one in lines if "was left out" in one)
    assert f"line 2 of {results} is no evaluation (" in said and "\n" not in said
    results.write_text(line)
    with pytest.raises(BadFile, match=r"results\.jsonl holds no evaluation"):
        report_of_runs([results])


def test_damaged_curve(runs, tmp_path):
    copy = shutil.copytree(runs["a"], tmp_path / "copy")
    (copy / "curve.json").write_text('{"loss": ["much"]}')
    refused(r"curve\.json is damaged", copy)
