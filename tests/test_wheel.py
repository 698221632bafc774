"""The wheel is complete: in an environment of its own it brings the command and the typed package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "condensery/py.typed" in names and "condensery/methods/dm.py" in names
    assert "condensery/published/dm.toml" in names
    page = [name for kind in ("css", "js", "jinja") for name in (ROOT / "src").rglob(f"page/**/*.{kind}")]
    assert len(page) >= 5 and {str(file.relative_to(ROOT / "src")) for file in page} <= set(names)
    assert all(name.startswith(("condensery/", "condensery-")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_installs_and_condenses(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # The dependencies are those that are installed here, which spares downloading torch once more.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "bin/python"),
        "install",
        "--no-deps",
        "--no-index",
    ]
    installed = subprocess.run([*pip, "--ignore-installed", str(wheel)], capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(home / "bin/condense"), "run", "--data", "digits", "--steps", "2", "--out", "run"]
    command += ["--network", "convnet+width=8+depth=2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/set.safetensors").exists()
    where = [str(home / "bin/python"), "-c", "import condensery; print(condensery.__file__)"]
    assert (
        str(home)
        in subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=environment).stdout
    )
