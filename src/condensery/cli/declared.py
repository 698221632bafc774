"""What the package's source declares, read without running it: help and typing errors do not wait for PyTorch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Field:
    """A hyper-parameter of a method or selector: name and default as in its dataclass, the string below it as doc."""

    name: str
    default: Any
    doc: str

    @property
    def kind(self) -> type:
        return type(self.default)

    @property
    def flag(self) -> str:
        return flag_of(self.name)


@dataclass(frozen=True)
class Algorithm:
    """A method or selector: its name, what it is in a line, its fields in order."""

    name: str
    summary: str
    fields: tuple[Field, ...]


def flag_of(field: str) -> str:
    """ "real_batch" -> "--real-batch" """
    return "--" + field.strip("_").replace("_", "-")


@cache
def algorithms(package: str) -> dict[str, Algorithm]:
    """The methods or selectors that `plugins.find` finds in the package "methods" or "coresets", by name.

    Raises:
        ValueError: a default is no plain number or text.
    """
    files = sorted((_PACKAGE / package).glob("*.py"))
    classes = {name: node for path in files for name, node in _classes(path).items()}
    found = {}
    for node in classes.values():
        members = _members(node, classes)
        about = {name: value for name, (value, _, of_class) in members.items() if of_class and value}
        if "name" in about:  # a helper or a protocol has none
            declared = [
                Field(name, ast.literal_eval(value or ast.Name("nothing")), doc)
                for name, (value, doc, of_class) in members.items()
                if not of_class
            ]
            name, summary = ast.literal_eval(about["name"]), ast.literal_eval(about["summary"])
            found[name] = Algorithm(name, summary, tuple(declared))
    return dict(sorted(found.items()))


def methods() -> dict[str, Algorithm]:
    return algorithms("methods")


def selectors() -> dict[str, Algorithm]:
    return algorithms("coresets")


def everything() -> dict[str, Algorithm]:
    return {**methods(), **selectors()}


@cache
def owners(package: str) -> dict[str, dict[str, Field]]:
    """Field name -> the field as each method or selector has it that does; what most of them have comes first."""
    found: dict[str, dict[str, Field]] = {}
    for name, algorithm in algorithms(package).items():
        for field in algorithm.fields:
            found.setdefault(field.name, {})[name] = field
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), *item[1])))


@cache
def protocols() -> dict[str, str]:
    """Name -> summary of every evaluation protocol."""
    tree = ast.parse((_PACKAGE / "evaluation" / "protocols.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    made = [call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Protocol"]
    return {ast.literal_eval(name): ast.literal_eval(summary) for name, summary in made}


@cache
def field_docs(record: type) -> dict[str, str]:
    """Field name -> the string below it, for a dataclass and those that it inherits from."""
    docs: dict[str, str] = {}
    for one in reversed(record.__mro__[:-1]):
        classes = _classes(Path(sys.modules[one.__module__].__file__ or ""))
        docs |= {name: doc for name, (_, doc, _) in _members(classes[one.__name__], {}).items()}
    return docs


@cache
def _classes(path: Path) -> dict[str, ast.ClassDef]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def _members(
    node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]
) -> dict[str, tuple[ast.expr | None, str, bool]]:
    """Annotated names of a class and of its bases among `classes`: value, docstring, whether the class's own."""
    found = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id in classes:
            found |= _members(classes[base.id], classes)
    for one, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            doc = " ".join(str(text.value).split()) if isinstance(text, ast.Constant) else ""
            found[one.target.id] = one.value, doc, "ClassVar" in ast.unparse(one.annotation)
    return found
