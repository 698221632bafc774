"""The page in a real browser: no error, no request, legible on a phone, and its keys do what they say.

Chromium is started once. A harness page holds copies of reports in frames as wide as a phone or a desktop: one with all
there can be, one of a real comparison, and one with wide names. In each copy a script tells the harness what it found:
layout_check.js looks, and browser_check.js uses the page. Skipped where there is no Chromium.
"""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reports import WIDE_NAMES, crossed, full, gallery

from condensery import PROTOCOLS, SoftLabels
from condensery.comparison.compare import compare
from condensery.report.contents import Report
from condensery.report.page import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NARROWEST, PHONE, TABLET, DESKTOP = (
    360,
    390,
    700,
    1280,
)  # a window of Chromium cannot be so narrow, a frame can
LAYOUT, CHECK = (
    Path(__file__).with_name(f"{name}_check.js").read_text("utf-8") for name in ("layout", "browser")
)
LOOK = "layout().then((findings) => parent.postMessage({ frame: window.name, findings }, '*'));"
NETWORKS = ("convnet+depth=1+width=8", "convnet+depth=1+width=16+norm=batch")
WATCH = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)), true);
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => problems.push(event.blockedURI));
</script>"""
HARNESS = """<!doctype html><meta charset="utf-8">
<style>iframe { position: absolute; top: 0; left: 0 } /* a frame out of sight is not laid out */</style>
<pre id="findings">{}</pre><script>
const findings = {};
addEventListener("message", (event) => {
  findings[event.data.frame] = event.data.findings;
  document.getElementById("findings").textContent = JSON.stringify(findings);
});
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium")


def watched(page: str, check: str) -> str:
    """The page with a watch at its beginning and the check at its end."""
    page = page.replace("<head>", f"<head>{WATCH}", 1)
    return page.replace("</body>", f"<script>{LAYOUT}{check}</script></body>", 1)


@pytest.fixture(scope="module")
def real(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two methods, random images and the whole set on a few digits; two networks condense and are trained."""
    short = replace(PROTOCOLS["quick"], name="short", epochs=2, plain_epochs=2, repeats=2)
    found = compare(
        tiny_file,
        ("dm", "dsa", "random"),
        out=tmp_path_factory.mktemp("real") / "out",
        ipc=(1, 2),
        condense_with=NETWORKS,
        networks=NETWORKS,
        protocol=short,
        steps=2,
        settings={"real_batch": 8},
        soft_labels=SoftLabels(epochs=1),
        augmentation_robustness=True,
        estimate=False,
        threads=1,
    )
    return found.report()


@pytest.fixture(scope="module")
def said(real: Report, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the frames found, by name, and the browser's log.

    "control" is a page that asks for something, and whose boxes do not say that they scroll.
    """
    folder = tmp_path_factory.mktemp("browser")
    page = html(full())
    control = page.replace("<main", '<img src="https://example.com/x.png" alt=""><main', 1)
    frames = {
        "report": (page, CHECK, NARROWEST),
        "control": (control.replace('"more-right"', '"not-said"'), CHECK, NARROWEST),
    }
    for width in (PHONE, TABLET, DESKTOP):
        frames |= {
            f"real at {width}": (html(real), LOOK, width),
            f"wide at {width}": (html(crossed()), LOOK, width),
        }
    harness = HARNESS
    for name, (content, check, width) in frames.items():
        (folder / f"{name}.html").write_text(watched(content, check), "utf-8")
        harness += f'<iframe name="{name}" src="{name}.html" width="{width}" height="800"></iframe>'
    (folder / "harness.html").write_text(harness, "utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--enable-logging=stderr",
        "--v=0",
        "--window-size=1400,900",
        "--virtual-time-budget=5000",
        f"--user-data-dir={folder / 'profile'}",
    ]
    command += ["--dump-dom", (folder / "harness.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    match = re.search(r'<pre id="findings">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr
    found = json.loads(escaping.unescape(match.group(1)))
    assert set(found) == set(frames), done.stderr
    return found, done.stderr


@pytest.fixture(scope="module")
def found(said):
    assert "failed" not in said[0]["report"], said[0]["report"]
    return said[0]["report"]


def test_no_error_and_no_request(said, found):
    assert found["problems"] == [] and found["resources"] == []
    console = [line for line in said[1].splitlines() if "CONSOLE" in line]
    assert all("control.html" in line or "example.com" in line for line in console), console


def test_a_request_would_be_seen(said):
    assert any("example.com" in problem for problem in said[0]["control"]["problems"])
    assert "example.com" in said[1], "and the console says so"


def test_it_fits_a_phone(found):
    needed, there_is = found["layout"]["width"]  # beside the scroll bar
    assert needed <= there_is <= NARROWEST and found["layout"]["cut"] == []


def test_what_is_cut_off_in_silence_would_be_seen(said):
    assert said[0]["control"]["layout"]["cut"]


@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
@pytest.mark.parametrize("page", ["real", "wide"])
def test_pages_at_every_width(said, page, width):
    look = said[0][f"{page} at {width}"]
    assert look["problems"] == [] and look["resources"] == []
    needed, there_is = look["width"]
    assert needed <= there_is <= width and look["cut"] == [] and look["texts"] > 100
    assert look["hints"] == look["scrolling"], "a box that scrolls says so"
    assert look["tallestHead"] < 90, "heads are not broken into letters"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("page", ["real", "wide"])
def test_numbers_are_seen_without_scrolling(said, page, width):
    look = said[0][f"{page} at {width}"]
    assert look["accuracies"] and look["unseenAccuracies"] == 0
    assert look["heat"] and look["unseenHeat"] == 0
    assert look["scrolling"] == 0


def test_the_wide_page_is_six_by_six(said):
    assert said[0][f"wide at {DESKTOP}"]["heat"] == 2 * len(WIDE_NAMES) ** 2 + len(WIDE_NAMES) * 1


def test_the_real_page_has_every_section(real):
    sections = re.findall(r'<section id="(\w+)"', html(real))
    assert {"accuracy", "networks", "honest", "images", "curves", "scatter", "costs"} <= set(sections)


def test_colour_schemes(found):
    light, dark, again = found["colours"]
    assert light == again == "rgb(255, 255, 255)" and dark == "rgb(20, 23, 27)"
    assert found["theme"] == "Light", "the button names what it leads to"


def test_tables_are_sorted_by_a_click_on_a_head(found):
    means = sorted(m.mean for m in full().measurements)
    assert found["sort"] == ["ascending", pytest.approx(means)]
    assert found["reverse"] == ["descending", pytest.approx(means[::-1])]


def test_a_link_opens_what_is_folded(found):
    assert found["opened"] is True


def test_everything_can_be_reached_with_keys(found):
    assert found["unreachable"] == [] and found["outline"] == "solid"


def test_images_are_enlarged_and_keys_go_on(found):
    one = gallery(1)
    assert one.initial is not None
    assert found["zoom"] == [True, "cat 1 of 1, after condensation"]
    assert found["after"] == one.final[0, 0, 0].tolist()
    assert found["before"] == one.initial[0, 0, 0].tolist() and found["beforeName"] == "cat 1 of 1, before"
    assert found["right"].startswith("<script>alert") and found["up"].startswith("cat 1")
    assert found["left"].startswith("a|b & c 1 of 1") and found["closed"] is True
