"""A report as one HTML page that needs nothing but itself: no network, no library, legible without its script."""

from __future__ import annotations

from importlib.resources import files

from condensery.report.contents import Report
from condensery.report.page import numbers, origins, pictures
from condensery.report.page.elements import paragraphs, text
from condensery.report.page.names import Colours

MARK = "<!-- condensery report -->"
_POLICY = (  # nothing from outside, whatever the page holds
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_LEADS = {
    "budget": "The horizontal line is the whole training set, trained by the same protocol.",
    "networks": "A set is worth more the less it matters which architecture is trained on it.",
    "honest": "How much of an accuracy is due to the images, beside the labels and the augmentation.",
    "curves": "Losses of different methods are not comparable with each other.",
    "scatter": "Real images are small dots, images of the set large ones. PCA is fitted to the real images alone, "
    "t-SNE to both; its distances between groups mean nothing.",
    "details": "Whatever is shown above, with the commands that make it again.",
}


def html(report: Report) -> str:
    """The page, as text to be written in UTF-8."""
    sections, rules = _sections(report)
    shown = [(key, name, content) for key, name, content in sections if content]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in shown)
    body = "\n".join(_section(*section) for section in shown)
    return f"""<!doctype html>
{MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text(report.title)}</title>
<style>
{_file("style.css")}
{rules}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<button type="button" id="theme" hidden>Dark</button>
<h1>{text(report.title)}</h1>
{_facts(report)}</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content" tabindex="-1">
{body}
</main>
<footer>Made by condensery. This file is complete: it loads nothing.</footer>
{_ZOOM if report.galleries else ""}
<script>
{_file("script.js")}</script>
</body>
</html>
"""


def _sections(report: Report) -> tuple[list[tuple[str, str, str]], str]:
    """(anchor, name, content) of every section, empty where there is nothing to show; the galleries' style."""
    colours = Colours(m.subject for m in (*report.measurements, *report.curves))
    galleries, rules = pictures.galleries(report)
    return [
        ("outcome", "In short", numbers.outcome(report)),
        ("accuracy", "Accuracy", numbers.accuracy_table(report)),
        ("bars", "Side by side", numbers.bar_charts(report, colours)),
        ("budget", "Accuracy against budget", numbers.budget_charts(report, colours)),
        ("networks", "Across architectures", numbers.heat_maps(report)),
        ("honest", "Due to the images", numbers.honest_table(report)),
        ("images", "Images", galleries),
        ("curves", "Curves", pictures.curves(report, colours)),
        ("scatter", "Features", pictures.scatters(report)),
        ("costs", "Time, memory, bytes", origins.costs(report)),
        ("skipped", "Not measured", origins.skipped(report)),
        ("details", "Every number", origins.details(report)),
    ], rules


def _section(key: str, name: str, content: str) -> str:
    lead = paragraphs([text(_LEADS[key])]) if key in _LEADS else ""
    head = f'<h2 id="{key}-name">{name}</h2>'
    return f'<section id="{key}" aria-labelledby="{key}-name">{head}\n{lead}{content}</section>'


def _facts(report: Report) -> str:
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in report.facts)
    return f"<dl>{rows}</dl>\n" if rows else ""


def _file(name: str) -> str:
    return files("condensery.report.page").joinpath(name).read_text("utf-8")


_ZOOM = """<dialog id="zoom" aria-labelledby="zoom-name">
<p id="zoom-name" aria-live="polite"></p>
<canvas></canvas>
<p class="bar"><button type="button" data-step="-1">← Previous</button>
<button type="button" data-step="1">Next →</button>
<button type="button" id="zoom-when" aria-pressed="false">Before (i)</button>
<button type="button" id="zoom-close">Close</button></p>
</dialog>"""
