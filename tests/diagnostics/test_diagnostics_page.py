"""The code of docs/diagnostics.md runs, with small networks and few steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs/diagnostics.md").read_text(encoding="utf-8")
SHORT = {
    "steps=20, seed=seed": 'steps=2, seed=seed, network="convnet+width=8+depth=1", device="cpu"',
    "resnet18": "convnet+width=8+depth=1",
    '"convnet"': '"convnet+width=8+depth=1"',
    "networks=3, epochs=20": "networks=1, epochs=1",
    "steps=50": "steps=3",
}


@pytest.mark.usefixtures("fresh_cache")
def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for written, short in SHORT.items():
        assert written in code
        code = code.replace(written, short)
    code = re.sub(r"^(\w+)\.measure", r'found["\1"] = \1.measure', code, flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"found": {}}
    exec(compile(code, "docs/diagnostics.md", "exec"), names)
    found = {name: facts["quantity"] for name, facts in names["found"].items()}
    assert found == {
        "alignment": "alignment and uniformity",
        "magnitudes": "gradient magnitudes",
        "velocity": "kernel velocity",
    }
