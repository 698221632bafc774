"""Condense labelled images into a tiny synthetic training set, and prove what it is worth.

import condensery

synthetic = condensery.condense("mnist", "dm", ipc=10, steps=500, out="runs/mnist")
print(condensery.evaluate(synthetic).scores)
synthetic = condensery.load("runs/mnist")
images, labels, dataset = synthetic.images, synthetic.labels, synthetic.dataset()
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from condensery.apps.continual.learn import continual
    from condensery.apps.continual.outcome import Continual
    from condensery.apps.search.networks import search
    from condensery.apps.search.outcome import Search
    from condensery.artifact import load, save
    from condensery.comparison.compare import compare
    from condensery.comparison.plan import Entry
    from condensery.comparison.reports import Comparison
    from condensery.coresets import SELECTORS, SelectionTask, Selector, get_selector
    from condensery.data import load as load_images
    from condensery.drawing import draw
    from condensery.errors import BadFile, BadInput, CondenseryError, FailedWork
    from condensery.evaluation import PROTOCOLS, Evaluation, Honest, Protocol, Score, SoftLabels, evaluate
    from condensery.importing import import_sets
    from condensery.labelling import label
    from condensery.method import Method, State, Task
    from condensery.methods import METHODS, get_method
    from condensery.recipes import Reproduction, reproduce
    from condensery.records import ImageData, ImageSpec, LabeledImages, SyntheticSet
    from condensery.rng import Rng
    from condensery.runner import condense
    from condensery.selection import SelectionReport, select
    from condensery.session import StepReport
    from condensery.teaching import LabelSettings, TeacherSettings, ViewSampling
    from condensery.views import Views

__all__ = [
    "METHODS",
    "PROTOCOLS",
    "SELECTORS",
    "BadFile",
    "BadInput",
    "Comparison",
    "CondenseryError",
    "Continual",
    "Entry",
    "Evaluation",
    "FailedWork",
    "Honest",
    "ImageData",
    "ImageSpec",
    "LabelSettings",
    "LabeledImages",
    "Method",
    "Protocol",
    "Reproduction",
    "Rng",
    "Score",
    "Search",
    "SelectionReport",
    "SelectionTask",
    "Selector",
    "SoftLabels",
    "State",
    "StepReport",
    "SyntheticSet",
    "Task",
    "TeacherSettings",
    "ViewSampling",
    "Views",
    "compare",
    "condense",
    "continual",
    "draw",
    "evaluate",
    "get_method",
    "get_selector",
    "import_sets",
    "label",
    "load",
    "load_images",
    "reproduce",
    "save",
    "search",
    "select",
]

_HOMES = {
    "apps.continual.learn": "continual",
    "apps.continual.outcome": "Continual",
    "apps.search.networks": "search",
    "apps.search.outcome": "Search",
    "artifact": "load save",
    "comparison.compare": "compare",
    "comparison.plan": "Entry",
    "comparison.reports": "Comparison",
    "coresets": "SELECTORS SelectionTask Selector get_selector",
    "data": "load_images",
    "drawing": "draw",
    "errors": "BadFile BadInput CondenseryError FailedWork",
    "evaluation": "PROTOCOLS Evaluation Honest Protocol Score SoftLabels evaluate",
    "importing": "import_sets",
    "labelling": "label",
    "method": "Method State Task",
    "methods": "METHODS get_method",
    "recipes": "Reproduction reproduce",
    "records": "ImageData ImageSpec LabeledImages SyntheticSet",
    "rng": "Rng",
    "runner": "condense",
    "selection": "SelectionReport select",
    "session": "StepReport",
    "teaching": "LabelSettings TeacherSettings ViewSampling",
    "views": "Views",
}
"""Module -> the public names that it holds. They are loaded when they are first used: PyTorch takes a second."""


def __getattr__(name: str) -> object:
    """A public name, from its module."""
    for module, names in _HOMES.items():
        if name in names.split():
            home = importlib.import_module(f"condensery.{module}")
            globals()[name] = found = getattr(home, "load" if name == "load_images" else name)
            return found
    raise AttributeError(f"module 'condensery' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
