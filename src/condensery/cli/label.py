"""`condense label`: give a set the labels of a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from condensery.cli import options
from condensery.cli.declared import flag_of
from condensery.cli.flags import Flag, Options
from condensery.cli.output import Output
from condensery.cli.progress import Progress
from condensery.errors import BadInput
from condensery.text import readable_seconds

_OF_VIEWS = ("smallest_crop", "patches", "label_bits", "largest", "epochs")


class Labels(Options, panel="Labels"):
    views: int = 30
    """Views of each image, each with a label of its own; 0 for one label an image."""
    temperature: float | None = None
    """Labels are softmax(logits / this) (default: 4 for views, which their recipe trains at too; 1 otherwise)."""
    smallest_crop: float = 0.5
    """Least share of an image's area that a view shows."""
    patches: float = 1.0
    """Share of views that get a patch of another image (CutMix)."""
    label_bits: int = 8
    """8 or 16, for each class of a view's label."""
    largest: int | None = None
    """Classes kept of a view's label (default: all up to 20 classes, beyond that the 10 largest)."""
    epochs: int | None = None
    """Of the recipe by which the set wants to be trained (default: 300 to 1000, more for fewer images)."""
    pixels: bool = False
    """Store the images as 8-bit pixels: exact for real images, rounded for others."""


class Taught(Options, panel="Teacher"):
    data: str | None = None
    """The real images (default: those that the set was made from)."""
    teacher: Annotated[str | None, Flag("NETWORK")] = None
    """Its architecture (default: a ConvNet with batch norm, 32 wide for grey images, 64 for colour)."""
    teacher_epochs: int | None = None
    """Its epochs on the whole set (default: 3 for grey images, 10 for colour, or as many as make 1000 steps)."""
    teacher_stage: int | None = None
    """Take its weights after this epoch: a weaker teacher, which may suit few images."""
    teacher_weights: Annotated[Path | None, Flag("FILE")] = None
    """Weights of --teacher from a .safetensors or .pt file, in place of training."""


class Place(Options, panel="Run"):
    out: Path | None = None
    """Folder for the result (default: the set's folder with -viewsN or -labels added)."""


class Label(Labels, Taught, options.Draws, Place, Output):
    """Give a set a teacher's labels: of its images, or of many views.

    The teacher is trained on the real training images, or found in the cache, or
    loaded from a file. Views are stored so that any program can repeat them, see
    docs/file-format.md. condense evaluate trains on the labels that a set holds,
    beside random images with labels of the same teacher.

    Examples:

      condense label runs/mnist --views 30
      condense label runs/mnist --views 0 --temperature 4 --out runs/mnist-soft
      condense label runs/photos --teacher my.nets:Net --teacher-weights net.pt
    """

    run: options.Run
    """A run folder or a .safetensors file."""

    def work(self) -> None:
        from condensery.labelling import label
        from condensery.teaching import LabelSettings, TeacherSettings, ViewSampling

        unused = [flag_of(name) for name in _OF_VIEWS if name in self.typed]
        if unused and not self.views:
            raise BadInput(
                f"{', '.join(unused)} and --views 0, which is one label an image: leave out one of them"
            )
        views = ViewSampling(self.views, self.smallest_crop, self.patches) if self.views else None
        settings = LabelSettings(**self.of(LabelSettings, views=views, bits=self.label_bits))
        weights = self.teacher_weights
        teacher = TeacherSettings(self.teacher, self.teacher_epochs, self.teacher_stage, weights=weights)
        out = self.out or _beside(self.run, f"views{self.views}" if views else "labels")
        with Progress(self) as progress:
            heard = {"callback": progress.teaching, "announce": progress.say}
            made = label(self.run, **self.of(label, settings=settings, teacher=teacher, out=out, **heard))
        seconds = readable_seconds(made.record["labels"]["seconds"])
        self.tell_set(out, made, "images with labels", ("Time", seconds))


def _beside(run: Path, kind: str) -> Path:
    """Beside the run, with what its labels are added to its name."""
    folder = run.parent if run.name == "set.safetensors" else run.with_suffix("") if run.is_file() else run
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return folder.with_name(f"{folder.name}-{kind}")
