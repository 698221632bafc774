"""What the pages tell people to type is understood, links lead somewhere, and the page of use runs."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

import condensery
from condensery import ImageData, LabelSettings, Rng, TeacherSettings, ViewSampling
from condensery.cli.main import COMMANDS, _spread, application
from condensery.coresets import random_selection
from condensery.data import ClassPool

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "docs", ROOT / "benchmarks", ROOT / "examples", ROOT / "results")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in folder.rglob("*.md")))
}
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
RAY = {"--address", "--disable-usage-stats", "--head", "--num-cpus", "--port"}
AUTHORS = {"--contrast", "--mipc", "--sample_n_nets", "--teacher_label"}  # of the papers' programs
SCRIPTS = "".join(
    path.read_text(encoding="utf-8")
    for folder in ("benchmarks", "examples", "results", "tests/reference")
    for path in (ROOT / folder).glob("*.py")
)


def blocks(page: str, *languages: str) -> list[str]:
    """The blocks of code of a page that are in one of these languages."""
    return [code for language, code in BLOCK.findall(PAGES[page]) if language in languages]


def prose(page: str) -> str:
    return BLOCK.sub("", PAGES[page])


def typed(page: str) -> list[str]:
    """The lines of a page that are to be typed."""
    shells = "\n".join(blocks(page, "sh", "bash")).replace("\\\n", " ")
    return [line.strip() for line in shells.splitlines() if line.strip()]


COMMAND_LINES = [(page, line) for page in PAGES for line in typed(page) if line.startswith("condense ")]


@cache
def commands() -> dict[str, Any]:
    return typer.main.get_command(application()).commands  # type: ignore[attr-defined]


@cache
def flags(command: str) -> set[str]:
    """The flags of a command."""
    given = [flag for one in commands()[command].params for flag in (*one.opts, *one.secondary_opts)]
    return {"--help", "--help-all", *(flag for flag in given if flag.startswith("--"))}


def test_there_is_something_to_check() -> None:
    assert len(PAGES) > 20 and len(COMMAND_LINES) > 60
    assert {line.split()[1] for _, line in COMMAND_LINES} == set(COMMANDS) - {"networks", "datasets"}


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_commands_are_understood(page: str, line: str) -> None:
    """Every option exists, every value is one that it takes, and the method has the fields that are set."""
    _, name, *words = (word for word in shlex.split(line, comments=True) if word != "...")
    with commands()[name].make_context(name, _spread(words), obj=line) as context:
        made = COMMANDS[name].made(context.params, line)
    if made.package:
        made.fields_of(made.method)


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_the_text_exist(page: str) -> None:
    every = {flag for command in COMMANDS for flag in flags(command)} | {"--version"}
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        first = re.match(r"condense (\w+)", code)
        known = flags(first[1]) if first and first[1] in COMMANDS else every
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
            elsewhere = (
                flag in RAY | AUTHORS
                or f'"{flag}"' in SCRIPTS
                or f'"{flag.removeprefix("--no-")}"' in SCRIPTS
            )
            assert flag in known or (not first and elsewhere), f"{page}: `{code}`"


@pytest.mark.parametrize("page", PAGES)
def test_scripts_and_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [*typed(page), *re.findall(r"`((?:python|make) [^`\n]+)`", prose(page))]
    for line in lines:
        for script in re.findall(r"python ((?:benchmarks|examples|results|tests)/[\w/]+\.py)", line):
            assert (ROOT / script).exists(), f"{page}: {line}"
        if target := re.match(r"make (\w+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), f"{page}: {line}"


PYTHON = [(page, code) for page in PAGES for code in blocks(page, "python")]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[f"{page}-{i}" for i, (page, _) in enumerate(PYTHON)])
def test_python_is_understood(page: str, code: str) -> None:
    """It is Python, takes what the library has, and calls its functions with arguments that they have."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("condensery."):
            source = (ROOT / "src" / (node.module or "").replace(".", "/")).with_suffix(".py")
            text = (source if source.exists() else source.with_suffix("") / "__init__.py").read_text("utf-8")
            assert all(re.search(rf"\b{alias.name}\b", text) for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "condensery":
            assert hasattr(condensery, node.attr) or (ROOT / "src/condensery" / node.attr).exists(), node.attr
        if isinstance(node, ast.Call) and re.fullmatch(r"condensery\.\w+", called := ast.unparse(node.func)):
            function = getattr(condensery, called.partition(".")[2])
            keywords = {one.arg: None for one in node.keywords if one.arg}
            inspect.signature(function).bind_partial(*node.args, **keywords)


def anchors(page: str) -> set[str]:
    """The names of a page's headings as GitHub makes them, and its own."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", head)) for head in heads]
    return {head.strip().lower().replace(" ", "-") for head in plain} | set(
        re.findall(r'id="([^"]+)"', PAGES[page])
    )


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(str(there.resolve().relative_to(ROOT))), f"{page}: {target}"


def test_pages_that_the_package_names_exist() -> None:
    named = [
        (path, page)
        for path in (ROOT / "src").rglob("*")
        if path.suffix in (".py", ".toml", ".html", ".js")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    ]
    assert named
    for path, page in named:
        assert (ROOT / page).exists(), f"{path}: {page}"


def test_every_page_is_found_from_the_first() -> None:
    found, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page not in PAGES:
            continue
        found.add(page)
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", prose(page)):
            there = ((ROOT / page).parent / target).resolve()
            waiting.append(str((there / "README.md" if there.is_dir() else there).relative_to(ROOT)))
    assert {page for page in PAGES if page.startswith("docs/")} <= found


def test_a_set_is_used_as_the_page_says(
    digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = random_selection(ClassPool(digits.train, digits.spec, torch.device("cpu")), 10, Rng(0))
    (tmp_path / "runs/digits").mkdir(parents=True)
    condensery.save(chosen, "runs/digits/set.safetensors")
    teacher = TeacherSettings("convnet+width=8+depth=2+norm=batch", epochs=2)
    settings = LabelSettings(ViewSampling(2))
    condensery.label(
        chosen, digits, settings=settings, teacher=teacher, device="cpu", out="runs/digits-views2"
    )
    code = "\n".join(blocks("docs/use.md", "python")).replace("range(30)", "range(2)")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(code, "docs/use.md", "exec"), {})
    assert float(capsys.readouterr().out.splitlines()[-1].removesuffix(" %")) > 80
