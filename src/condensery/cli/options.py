"""Flags that several commands share, in groups that a command inherits from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments, declared
from condensery.cli.flags import Flag, Options
from condensery.errors import BadInput

if TYPE_CHECKING:
    from condensery.evaluation import SoftLabels
    from condensery.jobs.work import Where

Words = Annotated[Sequence[str], Flag("A,B", arguments.words)]
OneRun = Annotated[Path, Flag("RUN", positional=True)]
Runs = Annotated[list[Path], Flag("RUN", positional=True)]


class Resize(Options, panel="Images"):
    size: int | None = None
    """Side of the images in pixels: the short side is resized, the centre cropped (default: as they are)."""
    channels: int | None = None
    """1 makes all images grey, 3 colour (default: grey if every image is)."""


class Source(Options, panel="Images"):
    data: Annotated[str | None, Flag("IMAGES")] = None
    """A folder with one sub-folder per class, or a known name: digits, mnist, cifar10. Also a set as it was
    downloaded, a Parquet folder or file, a .npz file, or a Hugging Face Hub id. See condense datasets."""
    classes: Annotated[Sequence[str] | None, Flag("A,B", arguments.names)] = None
    """Names of the classes to take, at least two (default: all). Such as 3,8."""
    test_fraction: float | None = None
    """Share of each class kept for testing where the images have no test part (default: 0.2)."""
    image_column: str | None = None
    """Column of a table that holds the images."""
    label_column: str | None = None
    """Column of a table that holds the labels."""
    train_split: Annotated[str | None, Flag("PART")] = None
    """Part to train on, by its own name (default: known by that name). Several with commas."""
    test_split: Annotated[str | None, Flag("PART")] = None
    """Part to test on, by its own name (default: known by that name). Several with commas."""
    value_range: Annotated[Sequence[float] | None, Flag("LOW,HIGH", arguments.value_range)] = None
    """Pixel values of black and white, such as 0,4095 (default: found from the values, and said)."""
    skip_damaged: bool = False
    """Leave out images that cannot be read, and say which."""
    whitening: Annotated[str | None, Flag("KIND")] = None
    """Whiten normalised images: zca as FRePo, KIP and RFAD do, zca-kornia as MTT does, or none (default: none, but as
    published with --preset paper). Fitted on the training images."""


class Images(Source, Resize):
    """Where the images are, and how they are read."""

    @property
    def source(self) -> str:
        """Raises BadInput if no images were named."""
        if self.data is None:
            raise BadInput(
                "name the images with --data: digits, mnist, a folder, a file or a Hub id; see condense datasets"
            )
        return self.data

    @property
    def data_options(self) -> dict[str, Any]:
        """Options of `condensery.load_images`: those that were typed, as a run keeps them."""
        return {name: value for name, value in self.typed_in(Images).items() if name != "data"}


class Draws(Options, panel="Run"):
    device: str = "auto"
    """cpu, cuda or auto."""
    seed: int = 0
    """Decides every random draw."""


class Made(Draws, panel="Run"):
    out: Path | None = None
    """Folder for the result (default: runs/DATA-METHOD-ipcN-seedN)."""


class Jobs(Options, panel="Where it runs"):
    device: str = "auto"
    """cpu, cuda or auto."""
    workers: int | None = None
    """Processes on this machine (default: no others)."""
    ray: Annotated[str | None, Flag("ADDRESS")] = None
    """A Ray cluster to work on: auto, local, HOST:PORT or ray://HOST:PORT."""
    gpus_per_job: float | None = None
    """Share of a GPU that a job claims, such as 0.5."""
    threads: int | None = None
    """Threads of torch in each job (default: this machine's, shared among the workers)."""
    out: Path | None = None
    """Folder for everything (default: named after the command and its images). The same command goes on in it."""
    dry_run: bool = False
    """Check, say how long it will take, and do nothing."""

    def where(self, announce: Callable[[str], None]) -> Where:
        """How and where jobs run, as functions of the library take it."""
        from condensery.jobs.work import Running

        return self.of(Running, announce=announce)  # type: ignore[return-value]  # its keys are those of `Where`


class Settings(Options, panel="How sets are made"):
    settings: Annotated[
        Mapping[str, Any], Flag("NAME=VALUE", arguments.settings, list[str], names=("--set",))
    ] = field(default_factory=dict)
    """An option of methods, such as dm.real_batch=64. Without a method's name it is for all that have it. Can be
    repeated. See condense methods NAME."""


class Judge(Options, panel="How sets are judged"):
    protocol: Annotated[str, Flag(choices=declared.protocols)] = "quick"
    """How networks are trained: {}. Other augmentation with +augmentation=crop, none with +augmentation=none; in
    bfloat16 with +precision=bfloat16."""


class Curve(Options, panel="How sets are judged"):
    evaluate_at: Annotated[Sequence[int], Flag("STEPS", arguments.whole_numbers)] = ()
    """Updates after which the set so far is evaluated, such as 0,100,200, for a curve."""


class Networks(Options, panel="How sets are judged"):
    networks: Words = ()
    """Architectures to train and test (default: those the sets were made with)."""
    repeats: int | None = None
    """Networks for each set and architecture (default: the protocol's, 3 or 20)."""
    whole_epochs: int | None = None
    """Epochs on the whole set (default: as many optimiser steps as on the largest set)."""
    whole_repeats: int = 1
    """Networks trained on the whole set."""


class Honesty(Options, panel="Labels, augmentation and the scores about them"):
    soft_labels: bool = False
    """Train a second time, with a teacher's labels in place of the classes."""
    teacher: Annotated[str | None, Flag("NETWORK")] = None
    """Architecture of that teacher (default: the one that is trained on the set)."""
    teacher_epochs: int | None = None
    """Epochs of that teacher on the whole set (default: 5, or as many as make 500 steps)."""
    temperature: float | None = None
    """Those labels are softmax(logits / X) (default: 1)."""
    augmentation_robustness: bool = False
    """Train networks without augmentation too, for the score ARS."""

    @property
    def labels(self) -> SoftLabels | None:
        """Of the teacher that was asked for. Raises BadInput for one that nobody asked for."""
        from condensery.evaluation import SoftLabels

        given = {"network": self.teacher, "epochs": self.teacher_epochs, "temperature": self.temperature}
        given = {name: value for name, value in given.items() if value is not None}
        if given and not self.soft_labels:
            raise BadInput(
                "--teacher, --teacher-epochs and --temperature are for soft labels: add --soft-labels"
            )
        return SoftLabels(**given) if self.soft_labels else None


class Page(Options):
    no_scatter: bool = False
    """Leave the chart of features out of the page. It takes a minute."""
