"""The commands that give a set: `condense run`, `select`, `label` and `import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments
from condensery.cli.declared import flag_of, methods, selectors
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Curve, Draws, Images, Judge, Made, OneRun
from condensery.cli.output import Output, facts
from condensery.cli.progress import Progress
from condensery.errors import BadInput
from condensery.text import count, readable_bytes, readable_seconds

if TYPE_CHECKING:
    from condensery.run_folder import RunSettings


class Making(Options, panel="Run"):
    method: Annotated[str, Flag(choices=methods)] = "dm"
    """How images are learned; see condense methods. One of {}."""
    ipc: Annotated[str | None, Flag("N", arguments.images_per_class)] = None
    """Images per class (default: 1, or as many as --init has). Or by class: cat=5,dog=2,*=1 by name, * for the others;
    5,2,1 in the order of the classes; proportional:10, by their share of the real images with 10 on average; a .json,
    .csv or .toml file of names and numbers."""
    budget: Annotated[str | None, Flag("SIZE")] = None
    """As many images as fit into 100kB, 2MB, ..., in place of --ipc. Counted as 8-bit pixels with labels."""
    network: str = "convnet"
    """Architecture that the method looks through, see condense networks. A name with options, such as
    convnet+depth=4, or your own as package.module:factory."""
    precision: Annotated[str, Flag("float32|bfloat16|float32-compiled")] = "float32"
    """What networks compute in. bfloat16 is faster where the processor has instructions for it; float32-compiled is
    for long runs and needs a C++ compiler, see docs/speed.md."""
    steps: int | None = None
    """Updates of the images (default: the preset's)."""
    preset: str | None = None
    """Settings that you do not give: fast, or paper (as published, hours on a GPU) (default: fast). fast takes minutes
    on two cores; on a CPU without --steps it is cut down to 15."""
    minutes: Annotated[float | None, Flag("N")] = None
    """Time that the run may take: settings that fit are chosen by timing a few steps."""
    memory: Annotated[str | None, Flag("SIZE")] = None
    """Most memory that the run may take, such as 3GiB; with a GPU, there. Too little is said at the start."""
    processes: int = 1
    """Processes of this machine that share every step: dm, frepo, kip and rfad can. See docs/cluster.md."""


class Stopping(Options, panel="Stopping and resuming"):
    resume: bool = False
    """Go on with the run in --out. The result has the same bits as if it had never stopped."""
    checkpoint_every: Annotated[float, Flag("SECONDS", arguments.seconds)] = 60
    """Time between checkpoints, in seconds or as 10m."""
    time_limit: Annotated[float | None, Flag("TIME", arguments.seconds)] = None
    """Stop after 90s, 10m, 2h, ..., with a usable result."""


class Run(Images, Making, Made, Stopping, Judge, Curve, Output, package="methods"):
    """Condense labelled images into a few synthetic images per class.

    The result is a folder with set.safetensors (the images, and how they were
    made) and set.png (the same as a picture). Ctrl-C loses nothing: a checkpoint
    is written, and --resume goes on to the same bits.

    Examples:

      condense run --data digits --steps 200
      condense run --data mnist --method dsa --ipc 10 --out runs/mnist
      condense run --data photos/ --size 64 --ipc 5 --minutes 10
      condense run --data photos/ --size 32 --budget 100kB
      condense run --data mnist --init runs/mnist --out runs/longer
      condense run --resume --out runs/mnist
    """

    first = "data size method ipc budget minutes preset steps network out resume seed device"

    def work(self) -> None:
        out = self.out or arguments.default_out(self.source, self.method, self.budget or self.ipc, self.seed)
        from condensery.minutes import chosen_length
        from condensery.resuming import resume_run
        from condensery.run_folder import RunFolder
        from condensery.runner import condense
        from condensery.session import Options as SessionOptions
        from condensery.team import launched
        from condensery.together import follow

        team = launched(self.processes)
        if team.number:
            return follow(team, self.data)
        processes = team if team.size > 1 else self.processes
        with Progress(self) as progress:
            heard = {"callback": progress.condensing, "announce": progress.say, "processes": processes}
            if self.resume and RunFolder(out).exists:
                asked = self._asked(RunFolder(out).settings())
                for name in ("preset", "minutes"):
                    if name in self.typed:
                        progress.say(
                            f"--{name} is for new runs: this one goes on with the settings that it was started with"
                        )
                options = SessionOptions(**self.of(SessionOptions, **heard))
                made = resume_run(out, steps=self.steps, options=options, asked=asked)
            elif self.resume and self.data is None:
                raise BadInput(
                    f"{out} holds no run to resume: to start one there, name the images with --data"
                )
            else:
                length = chosen_length(self.steps, self.preset, self.minutes, self.device)
                options = self.of(condense, data=self.source, out=out, **length, **heard)
                made = condense(**options, **self.fields_of(self.method))
        loss = "-" if made.record["loss"] is None else f"{made.record['loss']:.4g}"
        took = f"{count(made.record['step'], 'step')}, {readable_seconds(made.record['seconds'])}"
        self.tell_set(out, made, "images", ("Loss", f"{loss} after {took}"))

    def _asked(self, kept: RunSettings) -> dict[str, Any]:
        """Whatever was typed, which must be what the run was started with."""
        from condensery.data.sources import absolute_source

        asked = {
            name: self.typed[name]
            for name in ("method", "ipc", "budget", "network", "precision", "seed")
            if name in self.typed
        }
        if self.data is not None:
            asked["source"] = absolute_source(self.data)
        options = {**kept.options, **self.data_options}
        return {**asked, "options": options, "fields": self.fields_of(kept.method)}


class Choosing(Options, panel="Run"):
    method: Annotated[str, Flag(choices=selectors)] = "herding"
    """How images are chosen; see condense methods. One of {}."""
    ipc: Annotated[str | None, Flag("N", arguments.images_per_class)] = None
    """Images per class (default: 1). Or by class: cat=5,dog=2,*=1 by name, * for the others;
    5,2,1 in the order of the classes; proportional:10, by their share of the real images with 10 on average; a .json,
    .csv or .toml file of names and numbers."""
    budget: Annotated[str | None, Flag("SIZE")] = None
    """As many images as fit into 100kB, 2MB, ..., in place of --ipc. Counted as 8-bit pixels with labels."""
    network: str = "convnet"
    """Architecture whose features or scores are used, see condense networks. A name with options, such as
    convnet+depth=4, or your own as package.module:factory."""


class Select(Images, Choosing, Made, Output, package="coresets"):
    """Select a few real images per class: what condensing has to beat.

    The result is a folder with set.safetensors (the images, how they were chosen,
    and their indices in the training set) and set.png (the same as a picture).
    Evaluate, show and export it as a condensed set.

    Examples:

      condense select --data digits --method herding --epochs 5
      condense select --data mnist --method k-center --ipc 10 --weights random
      condense select --data photos/ --size 32 --ipc 5 --method random
    """

    first = "data size method ipc budget network epochs networks out seed device"

    def work(self) -> None:
        data, fields = self.source, self.fields_of(self.method)
        from condensery.selection import select

        out = self.out or arguments.default_out(data, self.method, self.budget or self.ipc, self.seed)
        with Progress(self) as progress:
            options = self.of(select, data=data, out=out, callback=progress.selecting, announce=progress.say)
            chosen = select(**options, **fields)
        self.tell_set(out, chosen, "real images", ("Time", readable_seconds(chosen.record["seconds"])))


_OF_VIEWS = ("smallest_crop", "patches", "label_bits", "largest", "epochs", "augmentation")


class Labels(Options, panel="Labels"):
    views: int = 30
    """Views of each image, each with a label of its own. 0 gives each image one label."""
    temperature: float | None = None
    """Labels are softmax(logits / X) (default: 4 for views, otherwise 1). Networks train at the same temperature."""
    smallest_crop: float = 0.3
    """Least share of an image's area that a view shows."""
    patches: float = 1.0
    """Share of views that get a patch of another image (CutMix)."""
    label_bits: int = 8
    """Bits of each class's probability in a view's label: 8 or 16."""
    largest: int | None = None
    """Classes kept of a view's label (default: all up to 20 classes, beyond that the 10 largest)."""
    epochs: int | None = None
    """Epochs of the recipe that is stored with the set (default: 300 to 1000, more for fewer images)."""
    augmentation: Annotated[str | None, Flag("GROUPS")] = None
    """How views are moved whenever networks train on them, while labels stay: Siamese groups joined by _, or none
    (default: scale_rotate for grey images, none for colour). Stored with the set too."""
    pixels: bool = False
    """Store the images as 8-bit pixels, a quarter of the bytes. Exact for real images, rounded for others."""


class Real(Images, panel="Images"):
    data: str | None = None
    """The real images (default: those that the set was made from)."""


class Taught(Options, panel="Teacher"):
    teacher: Annotated[str | None, Flag("NETWORK")] = None
    """Architecture of the teacher (default: a ConvNet, 32 wide for grey images and 64 for colour, or the teacher that
    chose the patches). Networks learn best from their own kind, such as convnet+norm=batch+width=64."""
    teacher_epochs: int | None = None
    """Its epochs on the whole set (default: 3 for grey images, 10 for colour, at least 1000 steps)."""
    teacher_stage: int | None = None
    """Take its weights after this epoch. A weaker teacher may suit few images."""
    teacher_size: int | None = None
    """Pixels on the shorter side of what it sees (default: all, or as when the patches were chosen)."""
    teacher_weights: Annotated[Path | None, Flag("FILE")] = None
    """Its weights from a .safetensors or .pt file, in place of training."""


class Label(Real, Labels, Taught, Draws, Output, panel="Run"):
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

    first = "views temperature pixels teacher teacher_epochs teacher_weights data out seed device"

    run: OneRun
    """A run folder or a .safetensors file."""
    out: Path | None = None
    """Folder for the result (default: the set's folder with -viewsN or -labels added)."""

    def work(self) -> None:
        from condensery.labelling import label
        from condensery.teaching import LabelSettings, TeacherSettings, ViewSampling

        unused = [flag_of(name) for name in _OF_VIEWS if name in self.typed]
        if unused and not self.views:
            raise BadInput(
                f"--views 0 gives each image one label, without views: leave out {', '.join(unused)}"
            )
        views = ViewSampling(self.views, self.smallest_crop, self.patches) if self.views else None
        settings = LabelSettings(**self.of(LabelSettings, views=views, bits=self.label_bits))
        own = {"weights": self.teacher_weights, "size": self.teacher_size}
        teacher = TeacherSettings(self.teacher, self.teacher_epochs, self.teacher_stage, **own)
        out = self.out or _beside(self.run, f"views{self.views}" if views else "labels")
        with Progress(self) as progress:
            heard = {"callback": progress.teaching, "announce": progress.say}
            asked = self.of(label, settings=settings, teacher=teacher, out=out, **heard)
            made = label(self.run, **asked, **self.data_options)
        seconds = readable_seconds(made.record["labels"]["seconds"])
        self.tell_set(out, made, "images with labels", ("Time", seconds))


class Draw(Output):
    """Draw fresh images from a set that is a generator.

    The images of such a set are fixed: those of the codes in its file. This makes
    another set of the same generator, from new random codes, which every command
    takes and every table calls "generative, drawn anew".

    Examples:

      condense draw runs/generative
      condense draw runs/generative --ipc 50 --seed 1 --out runs/fifty
    """

    first = "ipc seed out"

    run: OneRun
    """A run folder or a .safetensors file."""
    ipc: int | None = None
    """Images of each class (default: as many as the set has)."""
    seed: int | None = None
    """Seed of the codes (default: that of the set)."""
    out: Path | None = None
    """Folder for the result (default: the set's folder with -drawn added)."""

    def work(self) -> None:
        from condensery.drawing import draw

        out = self.out or _beside(self.run, "drawn")
        made = draw(self.run, **self.of(draw, out=out, announce=self.say))
        self.tell_set(out, made, "images", ("Seed", str(made.record["seed"])))


def _beside(run: Path, kind: str) -> Path:
    """Beside the run, with what its labels are added to its name."""
    folder = run.parent if run.name == "set.safetensors" else run.with_suffix("") if run.is_file() else run
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return folder.with_name(f"{folder.name}-{kind}")


class Reading(Options, panel="How it is read"):
    normalisation: str = "auto"
    """How pixels are written: data (normalised as --data is), unit (0 to 1), bytes (0 to 255) or auto. auto decides by
    the values, and says so."""


class Import(Images, Reading, Output, panel="Run"):
    """Read a set that another program saved.

    A .pt file with a dict that holds data, or with a list of images and
    labels; two files, images_best.pt and labels_best.pt; .npz or .safetensors
    with images and labels; a folder of class folders. Nothing in a file is run.
    --data names the real images that it stands for: they give its classes, mean
    and standard deviation. The result is a set like any other.

    Examples:

      condense import res_DM_CIFAR10_ConvNet_10ipc.pt --data cifar10
      condense import images_best.pt labels_best.pt --data cifar10 --out runs/mtt
      condense import kernel.npz --data mnist --normalisation unit
      condense import biggan/ --data cifar10 --ipc 10
    """

    first = "data size ipc normalisation out"

    ipc: int | None = None
    """Images of each class to keep, drawn at random (default: all)."""
    seed: int = 0
    """Seed of that draw."""
    files: Annotated[list[Path], Flag("FILE", positional=True)]
    """What the program saved: one file, two (images and labels), or a folder of class folders."""
    out: Path | None = None
    """Folder for the result (default: runs/DATA-FILE). Several sets go to PATH/0, PATH/1, ..."""

    def work(self) -> None:
        data = self.source
        from condensery.importing import folders, import_sets

        out = self.out or Path("runs") / f"{arguments.data_name(data)}-{self.files[0].stem or 'imported'}"
        sets = import_sets(**self.of(import_sets, data=data, out=out, announce=self.say))
        if len(sets) == 1:
            return self.tell_set(out, sets[0], "images", ("Labels", sets[0].label_kind))
        made = dict(zip(folders(out, len(sets)), sets, strict=True))
        rows = [
            (f"Result {i}", f"{at / 'set.safetensors'}  ({len(one)} images, {readable_bytes(one.bytes)})")
            for i, (at, one) in enumerate(made.items())
        ]
        self.show(facts([*rows, ("Next", f"condense evaluate {' '.join(map(str, made))}")]))
        self.result([{"out": str(at), "images": len(one), "record": one.record} for at, one in made.items()])
