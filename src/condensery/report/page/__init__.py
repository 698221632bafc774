"""A report as one HTML page that needs nothing but itself: no network, no library, legible without its script."""

from __future__ import annotations

import json
import re
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING

from condensery import budgets, text
from condensery.report import tables
from condensery.report.contents import Report
from condensery.report.page import names, numbers, origins, pictures
from condensery.report.page.sprites import sprites

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "<!-- condensery report -->"
_SIGNS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # that no page can hold


def html(report: Report) -> str:
    """The page, as text to be written in UTF-8."""
    colours = names.colours_of(m.subject for m in (*report.measurements, *report.curves))
    made, left_out = sprites(report.galleries)
    sections = (  # the macro of sections.html.jinja, the name, and what is shown if there is any
        ("outcome", "In short", numbers.outcome(report)),
        ("tables", "Results", report.tables),
        ("plots", "Charts", pictures.plots(report)),
        ("accuracy", "Accuracy", numbers.accuracy_table(report)),
        ("bars", "Side by side", numbers.bar_charts(report, colours)),
        ("budget", "Accuracy against budget", numbers.budget_charts(report, colours)),
        ("networks", "Across architectures", numbers.heat_maps(report)),
        ("honest", "Due to the images", numbers.honest_table(report)),
        ("images", "Images", pictures.galleries(report, made, left_out)),
        ("curves", "Curves", pictures.curves(report, colours)),
        ("scatter", "Features", pictures.scatters(report)),
        ("costs", "Time, memory, bytes", origins.costs(report)),
        ("skipped", "Not measured", report.skipped),
        ("details", "Every number", origins.details(report)),
    )
    style, script = (files(__name__).joinpath(name).read_text("utf-8") for name in ("style.css", "script.js"))
    shown = {"report": report, "sections": [one for one in sections if one[2]], "sprites": made}
    page = templates().get_template("page.html.jinja").render(shown, mark=MARK, style=style, script=script)
    return without_control_signs(page)


def without_control_signs(text: str) -> str:
    """Text in which signs that a page cannot hold are replaced."""
    return _SIGNS.sub("�", text)


@cache
def templates() -> Environment:
    """The templates, which escape whatever is put into them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # needed only where a page is made

    strict = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    found = Environment(loader=PackageLoader(__name__), **strict)
    said = [text.accuracy, text.count, text.percent, text.readable_bytes, text.readable_seconds]
    said += [
        budgets.mean,
        budgets.spanned,
        names.budget,
        names.found,
        names.subject_name,
        origins.small_percent,
    ]
    said += [tables.further_text, tables.judged_otherwise, tables.make_seconds]
    said += [tables.sets_by_networks, tables.stored_images]
    found.filters |= {word.__name__: word for word in said} | {"fixed": "{:.1f}".format}
    found.filters["as_json"] = partial(json.dumps, indent=2, ensure_ascii=False)
    return found
