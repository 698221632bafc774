"""Tables of a report: values by hand."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from reports import full, measurement

from condensery.report.contents import Published, Report
from condensery.report.page import html
from condensery.report.tables import COLUMNS, csv_text, from_json, json_lines, markdown, sets_by_networks

ONE = measurement(
    "dm",
    10,
    accuracies=((0.4, 0.6), (0.5, 0.7)),
    published=Published(0.489, 0.006, "a paper, Table 2", "dm-2023"),
    steps=150,
    published_steps=20000,
    make_seconds=(60.0, 180.0),
    memory=2_500_000_000,
    labels="soft",
)  # mean 0.55; std: sqrt((0.15² + 0.05² + 0.05² + 0.15²) / 4) = 0.1118


def report(*measurements) -> Report:
    return Report("a | title", (), measurements, skipped=(("dc", "too | few"),))


def test_markdown_by_hand():
    assert markdown(report(ONE)).splitlines()[2:] == [
        r"# a \| title",
        "",
        "| data | subject | ipc | condensed with | network | protocol | labels | accuracy, % | n | published, % | "
        "published by | steps | minutes | bytes | memory |",
        "| --- | --- | ---: | --- | --- | --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
        "| photos | dm | 10 | convnet | convnet | quick | soft | 55.0 ± 11.2 | 2 x 2 | 48.9 ± 0.6 | "
        "dm-2023 | 150 of 20,000 | 2.0 | 100 B | 2.5 GB |",
        "",
        "Mean ± standard deviation over n networks (sets x networks trained on each).",
        "A protocol beside a published value: it was judged by that one, not by the row's.",
        r"* not measured: dc: too \| few",
    ]


def test_columns_without_a_value_are_left_out():
    head = markdown(report(measurement("random", 1))).splitlines()[4]
    assert head == "| data | subject | ipc | network | protocol | labels | accuracy, % | n | bytes |"


def test_a_published_value_of_the_same_protocol_needs_no_word():
    said = markdown(report(replace(ONE, protocol="dm-2023")))
    assert "48.9 ± 0.6 | 150" in said and "published by" not in said


def test_csv_holds_fractions():
    (found,) = csv.DictReader(io.StringIO(csv_text(report(ONE))))
    assert tuple(found) == COLUMNS
    assert float(found["mean"]) == ONE.mean and float(found["std"]) == pytest.approx(0.1118, abs=1e-4)
    wanted = {
        "data": "photos",
        "ipc": "10",
        "sets": "2",
        "n": "4",
        "published_mean": "0.489",
        "published_protocol": "dm-2023",
        "make_minutes": "2.0",
    }
    assert {key: found[key] for key in wanted} == wanted
    (chance,) = csv.DictReader(io.StringIO(csv_text(report(measurement("random", 1)))))
    assert chance["published_mean"] == chance["memory"] == chance["make_minutes"] == ""


def test_csv_quotes_what_needs_it():
    (found,) = csv.DictReader(io.StringIO(csv_text(report(measurement('d,m "x"\n', 1)))))
    assert found["subject"] == 'd,m "x"\n'


def test_json_lines_hold_everything():
    (line,) = json_lines(report(ONE)).splitlines()
    found = json.loads(line)
    assert found["accuracies"] == [[0.4, 0.6], [0.5, 0.7]] and found["mean"] == ONE.mean and found["n"] == 4
    assert found["published"] == {
        "mean": 0.489,
        "std": 0.006,
        "source": "a paper, Table 2",
        "protocol": "dm-2023",
    }


def test_every_measurement_has_its_row():
    everything = full()
    count = len(everything.measurements)
    assert len(csv_text(everything).splitlines()) == count + 1
    assert len(json_lines(everything).splitlines()) == count
    assert sum(line.startswith("| photos") for line in markdown(everything).splitlines()) == count


def test_a_report_without_measurements_has_no_table():
    empty = Report("nothing", (), ())
    assert "|" not in markdown(empty) and json_lines(empty) == ""
    assert csv_text(empty).splitlines() == [",".join(COLUMNS)]


def test_markup_in_names_is_shown_as_it_is():
    assert r"\<b\>\*x\*" in markdown(report(measurement("<b>*x*", 1)))


def test_sets_by_networks():
    assert sets_by_networks(measurement(accuracies=((0.1,), (0.2,)))) == "2 x 1"
    assert sets_by_networks(measurement(accuracies=((0.1, 0.2), (0.2,)))) == "3 on 2"


def test_counts_that_differ_from_class_to_class_are_said_as_they_are():
    uneven = replace(ONE, ipc=(5, 20, 7))
    assert "| 5 to 20 |" in markdown(report(uneven))
    assert next(csv.DictReader(io.StringIO(csv_text(report(uneven)))))["ipc"] == "[5, 20, 7]"
    assert from_json(json.loads(json_lines(report(uneven)))).ipc == (5, 20, 7)
    page = html(report(replace(ONE, ipc=1), uneven))
    assert "5 to 20" in page and "images per class" in page
