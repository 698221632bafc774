"""The page: complete, self-contained, escaped, small, and true in its words."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from reports import HOSTILE, full, gallery, measurement

from condensery.report.contents import WHOLE, Published, Report
from condensery.report.page import html, without_control_signs
from condensery.report.page.sprites import sprites
from condensery.text import accuracy

VOID = {"meta", "link", "input", "br", "img", "path", "rect", "wbr"}


class Page(HTMLParser):
    """What a page holds: tags with attributes, text, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join("".join(self.words).split())

    def values(self, *names: str) -> list[str]:
        return [
            value
            for _, attributes in self.tags
            for name, value in attributes.items()
            if name in names and value
        ]


@pytest.fixture(scope="module")
def source() -> str:
    return html(full())


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def sections(page: Page) -> list[str]:
    return [attributes["id"] or "" for tag, attributes in page.tags if tag == "section"]


def test_all_sections_are_there_and_linked(page):
    keys = sections(page)
    assert keys == "outcome accuracy bars budget networks images curves scatter costs skipped details".split()
    assert {f"#{key}" for key in keys} <= set(page.values("href"))


def test_nothing_comes_from_outside(source, page):
    allowed = ("#", "data:")
    assert all(
        value.startswith(allowed)
        for value in page.values("src", "href", "action", "data", "poster", "srcset")
    )
    styles = "".join(re.findall(r"<style>(.*?)</style>", source, re.DOTALL))
    assert all(url.startswith("data:") for url in re.findall(r"url\(([^)]*)\)", styles))
    assert "@import" not in styles
    script = "".join(re.findall(r"<script>(.*?)</script>", source, re.DOTALL))
    assert not re.search(
        r"fetch\(|XMLHttpRequest|import\(|https?:|localStorage|sessionStorage|eval\(", script
    )
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv")]
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    assert [t for t, _ in page.tags if t in ("iframe", "object", "embed", "base", "form")] == []


def test_identities_are_unique_and_links_lead_somewhere(page):
    found = page.values("id")
    assert len(found) == len(set(found))
    assert {h[1:] for h in page.values("href") if h.startswith("#")} <= set(found)


def test_every_number_is_on_the_page(page):
    for m in full().measurements:
        assert accuracy(m.mean, m.std, m.n) in page.said
        for networks in m.accuracies:
            assert ", ".join(f"{100 * value:.1f}" for value in networks) in page.said
        for command in m.commands:
            assert " ".join(command.split()) in page.said
    assert "55.5 ± 1.2" in page.said and "Table 9 of a paper" in page.said
    assert "123 MB" in page.said and "13 s" in page.said, "memory, and the mean of 12 and 14 seconds"


def test_names_cannot_become_markup(source, page):
    assert HOSTILE not in source and "<script>alert" not in source
    assert [t for t, _ in page.tags if t == "script"] == ["script"]
    assert HOSTILE in page.said, "but they are shown"


@pytest.mark.parametrize("bad", ["nul\0l", "half \ud800 pair", "bell\x07", "esc\x1b[31m"])
def test_signs_that_no_page_can_hold(bad):
    found = html(
        Report(bad, (), (measurement(bad, 1),), galleries=(gallery(1, class_names=(bad, "b", "c")),))
    )
    found.encode("utf-8")
    assert bad not in found and without_control_signs(bad) in found


def test_only_data_decide_the_page(source):
    assert html(full()) == source


def test_downloads_hold_the_tables(page):
    links = {a["download"]: a["href"] for t, a in page.tags if t == "a" and "download" in a}
    table = base64.b64decode((links["report.csv"] or "").partition("base64,")[2]).decode()
    assert len(table.splitlines()) == len(full().measurements) + 1
    lines = base64.b64decode((links["report.jsonl"] or "").partition("base64,")[2]).decode().splitlines()
    assert json.loads(lines[0])["subject"] == "random"


# ---- parts that may be missing


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"galleries": ()}, {"images"}),
        ({"curves": ()}, {"curves"}),
        ({"scatters": ()}, {"scatter"}),
        ({"skipped": ()}, {"skipped"}),
        ({"measurements": ()}, {"outcome", "accuracy", "bars", "budget", "networks", "costs"}),
    ],
)
def test_sections_without_data_are_left_out(change, gone):
    found = Page(html(replace(full(), **change)))
    assert set(sections(Page(html(full())))) - set(sections(found)) == gone
    assert {h[1:] for h in found.values("href") if h.startswith("#")} <= set(found.values("id"))


def test_a_single_measurement():
    found = Page(html(Report("one", (), (measurement("dm", 1, 0.5),))))
    assert sections(found) == ["outcome", "accuracy", "bars", "costs", "details"]
    assert "1 image per class: dm reaches 50.0 % (n = 1), with no random images beside it." in found.said
    assert "nan" not in found.said


def test_the_whole_set_alone():
    found = Page(html(Report("whole", (), (measurement(WHOLE, None),))))
    assert sections(found) == ["accuracy", "costs", "details"]


def test_nothing_at_all():
    assert sections(Page(html(Report("empty", (), ())))) == []


# ---- the outcome in words


def outcome(*measurements) -> str:
    said = Page(html(Report("t", (), measurements))).said
    return said[said.rindex("In short") + 9 : said.index("Accuracy Mean ±")]


def test_a_clear_outcome():
    # dm 60 ± 1, random 40 ± 2: 20 points apart, spreads together 3
    said = outcome(measurement("random", 1, 0.38, 0.42), measurement("dm", 1, 0.59, 0.61))
    assert "dm reaches 60.0 ± 1.0 % (n = 2), 20.0 points above random images at 40.0 ± 2.0 % (n = 2)" in said
    assert "more than both spreads together" in said


def test_an_outcome_within_the_spreads():
    said = outcome(measurement("random", 1, 0.3, 0.5), measurement("dm", 1, 0.4, 0.5))
    assert "5.0 points above random images" in said and "no difference is shown" in said
    assert "more than both" not in said


def test_below_random():
    said = outcome(measurement("random", 1, 0.59, 0.61), measurement("dc", 1, 0.39, 0.41))
    assert "20.0 points below random images" in said


def test_single_networks_claim_nothing():
    said = outcome(measurement("random", 1, 0.1), measurement("dm", 1, 0.9))
    assert "no spread is known" in said and "more than both" not in said


def test_the_runner_up_within_the_spread_is_named():
    said = outcome(
        measurement("dm", 1, 0.5, 0.6), measurement("dsa", 1, 0.49, 0.59), measurement("dc", 1, 0.1, 0.11)
    )
    assert "dm is the best of 3 with" in said and "Not clearly below it: dsa." in said


def test_other_protocols_are_not_compared():
    said = outcome(measurement("random", 1, 0.1, 0.1, protocol="dm-2023"), measurement("dm", 1))
    assert "dm reaches 55.0 ± 5.0 % (n = 2), with no random images beside it." in said


def test_share_of_the_whole_set():
    said = outcome(
        measurement("dm", 1, 0.4, 0.4), measurement(WHOLE, None, 0.7, epochs=1), measurement(WHOLE, None, 0.8)
    )
    assert "50.0 % of what the whole training set gives (80.0 % (n = 1))" in said, (
        "the longest training counts"
    )


# ---- what numbers stand for


def test_a_published_value_of_another_protocol_says_so():
    published = Published(0.63, 0.004, "thesis, Table 5.1", "dm-2023")
    ours = measurement("dm", 50, protocol="quick", published=published)
    said = Page(html(Report("t", (), (ours,)))).said
    assert "63.0 ± 0.4 by dm-2023" in said and "thesis, Table 5.1 (by dm-2023). Ours are by quick" in said
    assert "Diamond ◇: the published value, judged by dm-2023 where ours is by quick." in said
    same = Page(html(Report("t", (), (replace(ours, protocol="dm-2023"),)))).said
    assert "63.0 ± 0.4 by" not in same and "Ours are by" not in same
    assert "Diamond ◇: the published value." in same


def test_shares_of_the_whole_set_are_no_powers_of_ten():
    def said(size: int) -> str:
        sets = measurement("dm", 1, bytes=size), measurement(WHOLE, None, bytes=60_000)
        return Page(html(Report("t", (), sets))).said

    assert "60 kB100.0 %" in said(10) and "10 B0.017 %" in said(10) and "6.0 kB10.0 %" in said(6000)
    assert "e+" not in said(10)


def test_methods_without_a_picture_of_features_are_named():
    report = replace(full(), galleries=(gallery(1), gallery(1, subject="dc"), gallery(1, subject="random")))
    drawn = tuple(replace(one, subject="dm", network="a small network") for one in full().scatters)
    said = Page(html(replace(report, scatters=drawn))).said
    assert "Features of a small network. Of each method one set is drawn" in said
    assert "Not drawn, so that the page can be read: dc, random images." in said


# ---- galleries


def pixels(encoded: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_sprites_hold_every_pixel(channels):
    one = gallery(4, channels=channels)
    (sprite,), notes = sprites([one])
    assert notes == [] and sprite.counts == (4, 4, 4)
    for encoded, images in ((sprite.final, one.final), (sprite.initial, one.initial)):
        sheet = pixels(encoded).reshape(3 * 6, 4 * 7, channels)
        for m, image in enumerate(images):  # type: ignore[arg-type]
            row, column = divmod(m, 4)
            assert np.array_equal(sheet[row * 6 :, column * 7 :][:5, :6], image)


def test_classes_of_unequal_size():
    one = gallery(2)
    uneven = replace(one, labels=np.array([0, 0, 0, 1, 2, 2]))
    (sprite,), _ = sprites([uneven])
    assert sprite.counts == (3, 1, 2)
    assert np.array_equal(pixels(sprite.final)[6:11, :6], one.final[3])


def test_large_galleries_are_thinned_and_the_page_says_so():
    many = [gallery(50, size=32, seed=k) for k in range(3)]
    made, notes = sprites(many, limit=1_700_000)  # 18 rows of noise: 76 kB for each column
    assert sum(sprite.size for sprite in made) <= 1_700_000 and len(made) == 3
    assert made[0].counts == (20, 20, 20) and notes == [
        "At most 20 images of each class are shown, so that the page stays small"
    ]
    assert np.array_equal(made[0].gallery.final[:20], many[0].final[:20]), "the first of each class"


def test_what_never_fits_is_left_out():
    many = [gallery(1, size=64, seed=k) for k in range(4)]
    made, notes = sprites(many, limit=250_000)
    assert 1 <= len(made) < 4 and f"Only the first {len(made)} of 4 galleries" in notes[0]
    assert sprites(many, limit=1000) == ([], ["No gallery is shown: its images are too large for a page"])


def test_ten_methods_with_fifty_images_per_class_stay_below_10_mb():
    rng = np.random.default_rng(0)
    names = tuple("abcdefghij")
    labels = np.arange(10).repeat(50)
    noise = rng.integers(0, 256, (500, 32, 32, 3), np.uint8)  # the worst case for PNG
    galleries = tuple(
        gallery(1, seed=k, class_names=names, labels=labels, final=noise, initial=noise[::-1])
        for k in range(10)
    )
    found = html(replace(full(), galleries=galleries))
    assert len(found.encode()) < 10_000_000
    assert "of each class are shown" in found
