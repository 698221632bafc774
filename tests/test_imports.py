"""The house rules that a parser can check: direction of imports, randomness, printing, no unpickling."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "condensery"
ROOMS = (
    "errors",
    "disk",
    "schema",
    "text",
    "signals",
    "memory",
    "processes",
    "plugins",
    "rng",
    "views",
    "whitening",
    "records",
    "budgets",
    "provenance",
    "team",
    "data",
    "augment",
    "models",
    "published",
    "optimizers",
    "training_recipe",
    "training",
    "matching",
    "synthetic",
    "method",
    "pretraining",
    "teaching",
    "methods",
    "coresets",
    "presets",
    "commands",
    "driver",
    "artifact",
    "export",
    "evaluation",
    "diagnostics",
    "minutes",
    "run_folder",
    "beginning",
    "starting_set",
    "session",
    "together",
    "resuming",
    "runner",
    "selection",
    "labelling",
    "importing",
    "drawing",
    "jobs",
    "report",
    "comparison",
    "apps",
    "recipes",
    "cli",
)
"""From top to bottom: a module imports only from rooms above its own, or from its own."""

MODULES = {
    ".".join(("condensery", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
INSIDE = [name for name in MODULES if name not in ("condensery", "condensery.__main__")]


def room(module: str) -> str:
    return module.split(".")[1]


def imports(module: str) -> Iterator[str]:
    """Modules of the package that `module` imports, anywhere in its code."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "condensery")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            if (node.module or "").split(".")[0] == "condensery":
                for alias in node.names:
                    deeper = f"{node.module}.{alias.name}"
                    yield deeper if deeper in MODULES else str(node.module)


def dotted(node: ast.AST) -> str:
    """`torch.random.manual_seed` as text; "" for anything but a chain of names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def called(module: str) -> set[str]:
    return {dotted(node.func) for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)}


def used(module: str) -> set[str]:
    return {dotted(node) for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute | ast.Name)}


def test_every_module_has_a_room() -> None:
    assert {room(name) for name in INSIDE} <= set(ROOMS)


def test_the_listing_of_the_house_is_what_is_there() -> None:
    house = (
        (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("src/condensery/")[2]
    )
    listed = re.findall(r"^  (\w+)(?:/|\.py) ", house.partition("\n```")[0], re.MULTILINE)
    assert listed == [*ROOMS, "__init__", "__main__"]


@pytest.mark.parametrize("module", INSIDE)
def test_imports_go_upward_only(module: str) -> None:
    for other in imports(module):
        assert other != "condensery", f"{module} imports the package itself, which imports everything"
        above = ROOMS.index(room(other)) < ROOMS.index(room(module))
        assert above or room(other) == room(module), f"{module} imports {other}"


def test_no_circle_inside_a_room() -> None:
    """Without the rooms' `__init__`, which only re-export."""
    graph = {m: {o for o in imports(m) if o != m and MODULES[o].name != "__init__.py"} for m in INSIDE}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("module", [m for m in INSIDE if m != "condensery.rng"])
def test_only_rng_makes_generators_or_seeds_them(module: str) -> None:
    for name in used(module):
        assert not name.endswith(
            (".manual_seed", ".manual_seed_all", ".default_generator", ".set_rng_state")
        ), name
        assert not name.endswith((".default_rng", "random.seed", "random.RandomState", "torch.seed")), name
        assert name not in ("torch.Generator", "np.random.Generator"), name
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            assert not {"random", "secrets"} & {alias.name for alias in node.names}, module


SAMPLERS = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial")


@pytest.mark.parametrize("module", INSIDE)
def test_every_draw_names_its_generator(module: str) -> None:
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in {f"torch.{sampler}" for sampler in SAMPLERS}:
                assert "generator" in {k.arg for k in node.keywords}, f"{module}: {name}"
            assert not name.startswith(("np.random.", "numpy.random.")) or module == "condensery.rng", name
            assert not name.endswith(("rand_like", "randn_like", "randint_like")), name


@pytest.mark.parametrize("module", [m for m in INSIDE if room(m) != "cli"])
def test_only_the_command_line_prints_or_exits(module: str) -> None:
    calls = called(module)
    assert not calls & {
        "print",
        "exit",
        "quit",
        "sys.exit",
        "os._exit",
        "sys.stdout.write",
        "sys.stderr.write",
    }
    assert not {name.split(".")[0] for name in calls} & {"typer", "argparse"}


@pytest.mark.parametrize("module", [m for m in MODULES if m != "condensery"])
def test_nothing_is_ever_unpickled(module: str) -> None:
    assert not {"pickle.load", "pickle.loads", "joblib.load", "eval", "exec"} & called(module)
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            assert not {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"} & {
                a.name for a in node.names
            }
        if isinstance(node, ast.Call) and dotted(node.func).endswith("np.load"):
            allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
            assert all(isinstance(v, ast.Constant) and v.value is False for v in allowed), module
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.load":  # only ever for tensors alone
            (only,) = [k.value for k in node.keywords if k.arg == "weights_only"]
            assert isinstance(only, ast.Constant) and only.value is True, module


@pytest.mark.parametrize("module", list(MODULES))
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(TREES[module])


METHOD_LINES = 300


@pytest.mark.parametrize("module", [m for m in INSIDE if room(m) in ("methods", "coresets")])
def test_methods_stay_small(module: str) -> None:
    """A method file holds what the paper says: never over 300 lines, its functions at most 30."""
    assert len(MODULES[module].read_text().splitlines()) <= METHOD_LINES
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 30, f"{module}.{node.name}"
