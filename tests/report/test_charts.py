"""Charts: coordinates by hand."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from reports import HOSTILE, scatter

from condensery.report.contents import Scatter
from condensery.report.page import charts, templates
from condensery.report.page.charts import Axis, Bar, Figure, Line, nice_ticks, shares


def markup(figure: Figure) -> str:
    return templates().get_template("charts.svg.jinja").module.figure(figure)  # type: ignore[attr-defined]


def drawn(figure: Figure) -> ET.Element:
    """The drawing, which is well-formed XML."""
    (svg,) = ET.fromstring(markup(figure)).findall("svg")
    return svg


def of_kind(figure: Figure, kind: str) -> list[ET.Element]:
    return [e for e in drawn(figure).iter() if kind in e.get("class", "").split()]


def test_bar_and_whisker_coordinates():
    # The axis ends at 100 %, so 0..1 lies on 6..348, 342 units: 0.5 ends at 177, 0.4 and 0.6 at 142.8 and 211.2.
    figure = charts.bars(
        "t", "d", [Bar("dm", 0.5, 0.1, 2, (0.9, 0.01)), Bar("dc", 0.25, None, 1)], ceiling=1.0
    )
    first, second = of_kind(figure, "bar")
    assert (first.get("x"), first.get("width")) == ("6", "171.0")
    assert second.get("width") == "85.5" and float(second.get("y", 0)) > float(first.get("y", 0))
    (whisker,) = of_kind(figure, "whisker")  # the second has no spread
    assert whisker.get("d") == "M142.8 26H211.2M142.8 22v8M211.2 22v8"
    (published,) = of_kind(figure, "published")
    assert published.get("d", "").startswith("M313.8 20l")
    assert of_kind(figure, "ceiling")[0].get("d") == "M348.0 0V82"


def test_values_and_names_are_texts():
    figure = charts.bars("Accuracy", "two bars", [Bar(HOSTILE, 0.5, 0.1, 2), Bar("dc", 0.25, None, 1)])
    texts = [e.text for e in drawn(figure).iter("text")]
    assert {HOSTILE, "dc", "50.0 ± 10.0", "25.0", "test accuracy, %"} <= set(texts)
    assert drawn(figure).get("aria-label") == "Accuracy" and drawn(figure).find("desc").text == "two bars"  # type: ignore[union-attr]


def test_whiskers_end_at_zero():
    (whisker,) = of_kind(charts.bars("t", "d", [Bar("dm", 0.05, 0.1, 0)]), "whisker")
    assert whisker.get("d", "").startswith("M6.0 ")


def test_line_coordinates():
    # x: log from 1 to 100 on 52..342, so 10 lies at 197; y: 0..1 on 208..26, so 0.5 lies at 117, 0.75 at 71.5.
    x = Axis("ipc", 1, 100, (1, 10, 100), log=True)
    line = Line("dm", ((1, 0, None), (10, 0.5, 0.25), (100, 1, None)), 3)
    figure = charts.lines("t", "d", [line], x, shares("%", [0, 1]), ceiling=(0.5, "whole"))
    assert of_kind(figure, "line")[0].get("d") == "M52.0 208.0L197.0 117.0L342.0 26.0"
    assert of_kind(figure, "whisker")[0].get("d") == "M197.0 162.5V71.5M194.0 162.5h6M194.0 71.5h6"
    assert of_kind(figure, "ceiling")[0].get("d") == "M44 117.0H350"
    assert len(of_kind(figure, "mark")) == 3
    assert "whole" in [e.text for e in drawn(figure).iter("text")]


def test_lines_at_one_budget_stand_beside_each_other():
    x = Axis("ipc", 1, 10, (1, 10), log=True)
    two = [Line(n, ((1, 0.5, 0.1), (10, 0.6, 0.1)), k) for k, n in enumerate("ab")]
    starts = [
        re.match(r"M([\d.]+)", e.get("d", "")).group(1)
        for e in of_kind(charts.lines("t", "d", two, x, shares("%", [0, 1])), "line")
    ]  # type: ignore[union-attr]
    assert starts == ["50.5", "53.5"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0, 47, (0, 10, 20, 30, 40, 50)),
        (0.81, 0.94, (0.8, 0.85, 0.9, 0.95)),
        (3, 3, (3, 4)),
        (0, 0, (0, 0.2)),
    ],
)
def test_ticks(low, high, ticks):
    found = nice_ticks(low, high)
    assert found[0] <= low and found[-1] >= high
    assert len(found) <= 8
    assert found == pytest.approx(ticks)


def test_shares_stay_between_nothing_and_all():
    axis = shares("%", [0.93, 0.999])
    assert axis.low <= 0.93 and axis.high == 1.0 and axis.show(0.5) == "50"
    assert shares("%", [-0.1, 0.2]).low == 0
    assert shares("%", [0.9, 1.1]).high >= 1.1, "a share of the whole set's accuracy may be above it"


def test_scatter_coordinates():
    # Width and height 2 and 1: 168 units per 1, 12 of margin; y grows upward.
    plot = Scatter("t", "PCA", ("a", "b"), np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([0, 1]),
                   np.array([[1.0, 0.5]]), np.array([0]))  # fmt: skip
    figure = charts.scatter(plot)
    assert [e.get("d") for e in of_kind(figure, "real")] == ["M12.0 180.0h0", "M348.0 12.0h0"]
    assert [e.get("d") for e in of_kind(figure, "synthetic")] == ["M180.0 96.0h0"]
    assert drawn(figure).get("viewBox") == "0 0 360 192"
    assert [e.text for e in of_kind(figure, "place")] == ["a", "b"]


def test_scatter_of_one_place():
    plot = Scatter(
        "t", "PCA", ("a", "b"), np.zeros((2, 2)), np.array([0, 1]), np.zeros((1, 2)), np.array([0])
    )
    assert "nan" not in markup(charts.scatter(plot))


def test_hostile_names_in_drawings():
    line = Line(HOSTILE, ((1, 0.5, None), (2, 0.6, None)), 1)
    axis = Axis("x", 1, 2, (1, 2))
    named = charts.lines(HOSTILE, HOSTILE, [line], axis, shares("%", [0, 1]), ceiling=(0.5, HOSTILE))
    for found in map(markup, (charts.scatter(scatter()), named)):
        assert HOSTILE not in found and "alert" in found
