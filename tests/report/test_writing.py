"""Reports as files: the ending decides, and nothing of anybody else's is overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import full

from condensery import BadInput
from condensery.report import require_writable, write_report

ENDINGS = (".html", ".md", ".csv", ".jsonl")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_report_replaces_a_report(tmp_path, ending):
    path = tmp_path / f"report{ending}"
    size = write_report(replace(full(), measurements=full().measurements[:1]), path)
    assert path.stat().st_size == size
    assert write_report(full(), path) > size


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", ["my thesis", '{"data": "mnist", "fingerprint": "x"}\n'])
def test_anything_else_is_left_alone(tmp_path, ending, content):
    path = tmp_path / f"report{ending}"
    path.write_text(content)
    with pytest.raises(BadInput, match="is not a report of condensery: choose another --out"):
        write_report(full(), path)
    assert path.read_text() == content


@pytest.mark.parametrize("name", ["report", "report.txt", "report.pdf", "html"])
def test_other_endings(tmp_path, name):
    with pytest.raises(BadInput, match=rf"a report is written as \.html, .*/{name}$"):
        require_writable(tmp_path / name)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "a.html").mkdir()
    with pytest.raises(BadInput, match="is a folder: name a file in it"):
        write_report(full(), tmp_path / "a.html")
    with pytest.raises(BadInput, match="there is no folder"):
        write_report(full(), tmp_path / "nowhere" / "a.html")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
