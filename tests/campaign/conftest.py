"""A campaign for each test."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forks import Forks
from harness import Campaign

sys.path.append(str(Path(__file__).parents[1] / "data"))  # makers of files


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A place with a run to begin from; its counts are printed at the end."""
    place = tmp_path_factory.mktemp("campaign")
    forks = Forks(Path(tmp_path_factory.mktemp("campaign-cache")))
    try:
        found = Campaign(place, forks, random.Random(0))
        yield found
        print(f"\n{found.table()}")
    finally:
        forks.close()
