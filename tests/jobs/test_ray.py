"""A real Ray cluster; what it takes to reach one."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'condensery[ray]'"
)


def run(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, in which warnings are errors too."""
    paths = [str(HERE), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


@pytest.mark.timeout(400)
def test_a_node_is_lost_in_mid_run_and_every_outcome_arrives(tmp_path: Path) -> None:
    done = run(str(HERE / "two_nodes.py"), str(tmp_path), timeout=390)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout  # no news of Ray's beside the answer
    answer = json.loads(done.stdout)
    assert answer["slots"] == 2
    assert answer["comparison"]["cells"] == 5
    first, last = answer["comparison"][
        "slots"
    ]  # Ray takes a while to notice a lost node, also the one before
    assert first >= 2 and 1 <= last <= first
    (lost,) = answer["lost"]
    assert sorted(answer["began"]) == sorted(
        [*(f"dm-ipc{1 + seed % 2}-seed{seed}" for seed in (0, 1, 2, 3, 5)), lost]
    )


REFUSED = """
import sys
from performers import perform
from condensery import BadInput
from condensery.jobs.engines import pick_engine

try:
    pick_engine(None, sys.argv[1], None, perform)
except BadInput as error:
    print(error)
"""


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_address_that_does_not_answer(deaf_port: int) -> None:
    for address in (f"127.0.0.1:{deaf_port}", f"ray://127.0.0.1:{deaf_port}"):
        started = time.monotonic()
        done = run("-c", REFUSED, address, timeout=120)
        assert f"no Ray cluster answers at {address} (" in done.stdout, done.stderr
        assert "ray start --head" in done.stdout and len(done.stdout.splitlines()) == 1
        assert done.stderr == ""
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("address", ["banana", "host:port", ":6379", "host:99999"])
def test_an_address_that_is_none(address: str) -> None:
    from condensery import BadInput
    from condensery.jobs.engines.ray_cluster import _require_answer

    with pytest.raises(BadInput, match="--ray takes auto, local, HOST:PORT or ray://HOST:PORT, not "):
        _require_answer(address)
