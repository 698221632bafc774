"""The command in this process, on small images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_images import make_photos

from condensery.cli.main import main
from condensery.evaluation import PROTOCOLS


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded images for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def surroundings(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder, our own cache, and output as wide as a file's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONDENSERY_CACHE", str(cache))
    monkeypatch.delenv("CONDENSERY_DATA", raising=False)
    monkeypatch.delenv("CONDENSERY_DEBUG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def condense(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line; words are split at spaces, further arguments are taken as they are."""

    def call(line: str, *more: object) -> Done:
        code = main([*line.split(), *map(str, more)])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two classes with six colour images of 8x8 pixels each."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def fast_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol `quick` with three epochs and two networks."""
    quick = replace(PROTOCOLS["quick"], epochs=2, plain_epochs=2, repeats=2)
    monkeypatch.setitem(PROTOCOLS, "quick", quick)
