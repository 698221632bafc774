"""The commands and the Python of the pages run, in their order, on small real images and with little training."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from condensery import ImageData
from condensery.cli.main import main
from condensery.methods import get_method

ROOT = Path(__file__).parents[1]
NARROW = "convnet+width=8+depth=1"
PAGES = [
    *("README", "use", "evaluation", "../results/README", "report", "file-format"),
    *(
        f"methods/{page.stem}"
        for page in sorted((ROOT / "docs/methods").glob("*.md"))
        if page.stem != "README"
    ),
]
ELSEWHERE = (
    "--minutes",
    "--ipc 400",
    "comparisons/",
    "continual",
    "search",
)  # long, large, and in tests/{comparison,apps}
TEACHER = f"--teacher={NARROW}+norm=batch --teacher-epochs=20"
FIELDS = {  # what makes a method quick
    "dm": "--trained-networks=1 --trained-epochs=1",
    "mtt": "--experts=1 --max-start-epoch=1 --syn-steps=2 --expert-epochs=1",
    "generative": "--gan-steps=2 --inversion-steps=2 --generator-width=8 --code-length=8 --teacher-epochs=20",
    "gtn": "--generator-width=8 --code-length=8",
    "patches": TEACHER,
    "dd": "--passes=1",
}
LINE = re.compile(r"^ *```(?:sh|bash)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page that works on a set; other commands have tests of their own."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    lines = "\n".join(LINE.findall(text)).replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("condense ") and not any(e in line for e in ELSEWHERE)]
    return [[word for word in shlex.split(line, comments=True)[1:] if word != "..."] for line in found]


def shortened(words: list[str]) -> list[str]:
    """The same command with small networks, images and numbers. The last value of an option counts."""
    given = " ".join(words)
    found = re.search(r"--method[ =](\S+)", given)
    method = found[1] if found else "dm"
    protocol = re.search(r"--protocol (\S+)", given)
    judged = f"--protocol={protocol[1] if protocol else 'quick'}"
    judged = judged if "epochs" in judged else f"{judged}+epochs=1"
    fields = FIELDS.get(method, "")
    if "--data digits" in given:
        fields = fields.replace("-epochs=20", "-epochs=1")  # they are many
    recipe = "" if "--recipe" in words else "--recipe=common"
    if words[0] == "run" and "real_batch" in type(get_method(method)).__dataclass_fields__:
        fields += " --real-batch=8"
    more = {
        "run": f"--steps=2 --network={NARROW} {fields}",
        "select": f"--network={NARROW}",
        "label": f"{TEACHER} --views=2 --epochs=1",
        "evaluate": f"{judged} --networks={NARROW} --repeats=1 --whole-epochs=1 {recipe}",
        "report": "--no-scatter",
    }
    return [*words, *more.get(words[0], "").split()]


@pytest.fixture
def place(tmp_path: Path, digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `photos/`, and known sets as folders of 15 real images of each of 3 classes."""
    for name in ("mnist", "cifar10"):
        for label in range(3):
            folder = tmp_path / "known" / name / str(label)
            folder.mkdir(parents=True)
            for i in np.flatnonzero(digits.train.labels == label)[:15]:
                pixels = digits.train.pixels[i, ..., 0] * 15
                coloured = np.stack([pixels, pixels // 2, 240 - pixels], -1)
                Image.fromarray(pixels if name == "mnist" else coloured).save(folder / f"{i}.png")
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path / "known"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tmp_path / "known/cifar10", "photos")
    shutil.copytree(ROOT / "results", "results", ignore=shutil.ignore_patterns("sets"))
    return tmp_path


def make_what_stands_there(words: list[str]) -> None:
    """The sets, runs and files of other programs that a command takes and no command before it has made."""
    for word in words:
        if word.startswith("patches-") and not Path(word).exists():  # the page says: with seeds 0, 1 and 2
            shutil.copytree(re.sub(r"-\d", "-0", word), word)
        if word.startswith("runs/") and not Path(word).exists() and words[0] != "run":
            method = "generative" if "generative" in word else "dm"
            out = word.replace("*", "seed0")
            assert main(shortened(["run", "--data=cifar10", f"--method={method}", f"--out={out}"])) == 0
        if word.endswith(".pt") and "_" in word:
            images, labels = torch.randn(3, 3, 8, 8), torch.arange(3)
            whole = {"data": [[images, labels]]}
            torch.save(whole if word.startswith("res_") else labels if "labels" in word else images, word)


@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page):
        make_what_stands_there([word for word in words if f"--out {word}" not in " ".join(words)])
        given = [
            one for word in words for one in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        assert main(shortened(given)) == 0, (shlex.join(words), capsys.readouterr().err)


SHORT = {
    "making": {"steps=20": f'steps=2, network="{NARROW}", real_batch=8'},
    "evaluation": {
        '["runs/seed0", "runs/seed1"], protocol="dm-2023", repeats=5': '"runs/mnist", protocol=QUICK, repeats=2',
        "soft_labels=": "protocol=QUICK, repeats=2, soft_labels=",
        'network="convnet", epochs=20': f'network="{NARROW}", epochs=20',
    },
    "compare": {
        "scale=0.02,": f'scale=0.0001, protocol=QUICK, repeats=1, condense_with=["{NARROW}"], threads=1,',
        "ipc=[1, 10]": "ipc=[1, 2]",
        "depth=2": "depth=1",
    },
}


@pytest.mark.parametrize("page", SHORT)
def test_python_runs(page: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    code = "import condensery\nQUICK = 'quick+epochs=1'\n" + "\n".join(
        re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    )
    for written, short in SHORT[page].items():
        assert written in code, written
        code = code.replace(written, short)
    make_what_stands_there(["runs/mnist"] if page == "evaluation" else [])
    capsys.readouterr()
    exec(compile(code, page, "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 1
