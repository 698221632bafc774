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
    """Resize the short side to SIZE pixels and crop the centre."""
    channels: int | None = None
    """1 makes all images grey, 3 colour."""


class Source(Options, panel="Images"):
    data: str | None = None
    """The images: a known name (digits, mnist, cifar10, ...), a folder with one sub-folder per class, a set as it
    was downloaded, a Parquet folder or file, a .npz file, or a Hugging Face Hub id. See condense datasets."""
    classes: Annotated[Sequence[str] | None, Flag("A,B", arguments.names)] = None
    """Names of the classes to take, at least two, such as 3,8 (default: all)."""
    test_fraction: float | None = None
    """Share of each class kept for testing where the set has no test part (default: 0.2)."""
    image_column: str | None = None
    """Column of a table that holds the images."""
    label_column: str | None = None
    """Column of a table that holds the labels."""
    train_split: Annotated[str | None, Flag("PART")] = None
    """Part to train on, by the name the set has for it; several with commas (default: known by its name)."""
    test_split: Annotated[str | None, Flag("PART")] = None
    """Part to test on."""
    value_range: Annotated[Sequence[float] | None, Flag("LOW,HIGH", arguments.value_range)] = None
    """The pixel values that become black and white, such as 0,4095 (default: by the rule that is said)."""
    skip_damaged: bool = False
    """Leave out images that cannot be read, and say which."""
    whitening: Annotated[str | None, Flag("none|zca|zca-kornia")] = None
    """Whiten normalised images, fitted on the training images: zca as FRePo, KIP and RFAD do, zca-kornia as MTT does
    (default: none, but as published with --preset paper)."""


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
    """auto, cpu or cuda."""
    seed: int = 0
    """Decides every random draw."""


class Made(Draws, panel="Run"):
    out: Path | None = None
    """Folder for the result (default: runs/DATA-METHOD-ipcN-seedN)."""


class Jobs(Options, panel="Where it runs"):
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int | None = None
    """Processes on this machine (default: this one alone)."""
    ray: Annotated[str | None, Flag("ADDRESS")] = None
    """A Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT."""
    gpus_per_job: float | None = None
    """Share of a GPU that a job claims."""
    threads: int | None = None
    """Of torch in each job (default: this machine's, shared among the workers)."""
    out: Path | None = None
    """Folder for everything (default: named after the command and its data); the same one goes on."""
    dry_run: bool = False
    """Check, say how long it will take, do nothing."""

    def where(self, announce: Callable[[str], None]) -> Where:
        """How and where jobs run, as functions of the library take it."""
        from condensery.jobs.work import Running

        return self.of(Running, announce=announce)  # type: ignore[return-value]  # its keys are those of `Where`


class Settings(Options, panel="How sets are made"):
    settings: Annotated[
        Mapping[str, Any], Flag("[METHOD.]FIELD=VALUE", arguments.settings, list[str], names=("--set",))
    ] = field(default_factory=dict)
    """A field of one method, or of all that have it; can be repeated. See condense methods NAME."""


class Judge(Options, panel="How sets are judged"):
    protocol: Annotated[str, Flag(choices=declared.protocols)] = "quick"
    """How networks are trained: {}; other groups with +augmentation=crop, none with +augmentation=none; in
    bfloat16 with +precision=bfloat16."""


class Curve(Options, panel="How sets are judged"):
    evaluate_at: Annotated[Sequence[int], Flag("STEPS", arguments.whole_numbers)] = ()
    """Steps after which to train networks on the set so far and test them, such as 0,100,200: a curve."""


class Networks(Options, panel="How sets are judged"):
    networks: Words = ()
    """Architectures to train and test (default: those that sets are made with)."""
    repeats: int | None = None
    """Networks for each set and architecture (default: the protocol's)."""
    whole_epochs: int | None = None
    """Epochs on the whole set (default: as many optimiser steps as on the largest set)."""
    whole_repeats: int = 1
    """Networks trained on the whole set."""


class Honesty(Options, panel="Labels, augmentation and the scores about them"):
    soft_labels: bool = False
    """Train networks with a teacher's labels too, after hard labels."""
    teacher: Annotated[str | None, Flag("NETWORK")] = None
    """Architecture of the teacher (default: the one that is trained on the set)."""
    teacher_epochs: int | None = None
    """Its epochs on the whole set (default: 5, or as many as make 500 steps)."""
    temperature: float | None = None
    """Soft labels are softmax(logits / this) (default: 1)."""
    augmentation_robustness: bool = False
    """Train networks without augmentation too, for ARS."""

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
    """Leave the features out of the page: they take a minute."""
