"""A report as one HTML page that needs nothing but itself: no network, no library, legible without its script."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from condensery.report.contents import Report
from condensery.report.page import numbers, origins, pictures
from condensery.report.page.names import colours_of
from condensery.report.page.sprites import sprites
from condensery.words import accuracy

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "<!-- condensery report -->"
_SIGNS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # that no page can hold


def html(report: Report) -> str:
    """The page, as text to be written in UTF-8."""
    colours = colours_of(m.subject for m in (*report.measurements, *report.curves))
    made, left_out = sprites(report.galleries)
    sections = (
        ("outcome", "In short", numbers.outcome(report)),
        ("accuracy", "Accuracy", numbers.accuracy_table(report)),
        ("bars", "Side by side", numbers.bar_charts(report, colours)),
        ("budget", "Accuracy against budget", numbers.budget_charts(report, colours)),
        ("networks", "Across architectures", numbers.heat_maps(report)),
        ("honest", "Due to the images", numbers.honest_table(report)),
        ("images", "Images", pictures.galleries(report, made, left_out)),
        ("curves", "Curves", pictures.curves(report, colours)),
        ("scatter", "Features", pictures.scatters(report)),
        ("costs", "Time, memory, bytes", origins.costs(report)),
        ("skipped", "Not measured", origins.skipped(report)),
        ("details", "Every number", origins.details(report)),
    )
    page = templates().get_template("page.html.jinja")
    shown = [section for section in sections if section[2]]
    text = page.render(mark=MARK, report=report, sections=shown, sprites=made, style=_file("style.css"),
                       script=_file("script.js"))  # fmt: skip
    return without_control_signs(text)


def without_control_signs(text: str) -> str:
    """Text in which signs that a page cannot hold are replaced."""
    return _SIGNS.sub("�", text)


@cache
def templates() -> Environment:
    """The templates, which escape whatever is put into them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # needed only where a page is made

    loader = PackageLoader("condensery.report.page")
    found = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters |= {"fixed": "{:.1f}".format, "accuracy": accuracy}
    return found


def _file(name: str) -> str:
    return files("condensery.report.page").joinpath(name).read_text("utf-8")
