"""The page in a real browser: no error, no request, as wide as a phone, and its keys do what they say.

Chromium is started once. A harness page holds copies of a report in frames as wide as a phone; in each copy a script
(browser_check.js) uses the page and tells the harness what it found. Skipped where there is no Chromium.
"""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from reports import full, gallery

from condensery.report.page import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 360  # pixels; a window of Chromium cannot be so narrow, a frame can
CHECK = Path(__file__).with_name("browser_check.js").read_text("utf-8")
WATCH = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)), true);
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => problems.push(event.blockedURI));
</script>"""
HARNESS = """<!doctype html><meta charset="utf-8"><pre id="findings">{}</pre><script>
const findings = {};
addEventListener("message", (event) => {
  findings[event.data.frame] = event.data.findings;
  document.getElementById("findings").textContent = JSON.stringify(findings);
});
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium")


def watched(page: str) -> str:
    """The page with a watch at its beginning and the check at its end."""
    page = page.replace("<head>", f"<head>{WATCH}", 1)
    return page.replace("</body>", f"<script>{CHECK}</script></body>", 1)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the frames found, by name, and the browser's log. "control" is a page that does ask for something."""
    folder = tmp_path_factory.mktemp("browser")
    page = html(full())
    control = page.replace("<main", '<img src="https://example.com/x.png" alt=""><main', 1)
    frames = {"report": page, "control": control}
    harness = HARNESS
    for name, content in frames.items():
        (folder / f"{name}.html").write_text(watched(content), "utf-8")
        harness += f'<iframe name="{name}" src="{name}.html" width="{PHONE}" height="800"></iframe>'
    (folder / "harness.html").write_text(harness, "utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--enable-logging=stderr",
        "--v=0",
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
    needed, there_is = found["width"]  # beside the scroll bar
    assert needed <= there_is <= PHONE and found["wide"] == []


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
