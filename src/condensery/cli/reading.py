"""What there is in files: `condense show`, `export` and `report`."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli.flags import Flag
from condensery.cli.options import OneRun, Page, Runs
from condensery.cli.output import SPARE, Output, facts
from condensery.errors import BadInput, require_count
from condensery.text import accuracy, first_few, percent, readable_bytes, readable_seconds

if TYPE_CHECKING:
    from condensery.records import ImageSpec, SyntheticSet


class Show(Output):
    """Say how a set was made, and draw it: one row per class.

    The picture is written beside the set. Nothing is computed: every number is
    read from the file.

    Examples:

      condense show runs/mnist
      condense show runs/mnist --per-class 10 --out mnist.png
      condense show runs/mnist --verify
    """

    first = "out per_class verify"

    run: OneRun
    """A run folder or a .safetensors file."""
    out: Annotated[Path | None, Flag("PICTURE")] = None
    """Where to write the picture (default: beside the set)."""
    per_class: Annotated[int | None, Flag("N")] = None
    """Draw at most N images of each class."""
    verify: bool = False
    """Say what the SHA-256 in the file covers, and that it holds."""

    def work(self) -> None:
        require_count("per-class", self.per_class)
        from condensery import artifact
        from condensery.export import save_picture
        from condensery.export.picture import value_range

        path = artifact.set_path(self.run)
        synthetic = artifact.load(path)
        spec, sha = synthetic.spec, artifact.coverage(path) if self.verify else None
        drawn, missing = self.out or path.with_suffix(".png"), ""
        try:
            save_picture(synthetic, drawn, self.per_class)
        except BadInput as error:
            if self.out:
                raise
            missing = f"none: {error}, with --out"
        low, high, clipped = value_range(synthetic)
        shape, size = "x".join(map(str, spec.shape)), readable_bytes(synthetic.bytes)
        outside = f"where pixels have 0 to 1; a picture clips {percent(clipped)} %"
        rows = [
            ("Set", str(path)),
            ("Images", f"{len(synthetic)} of {spec.num_classes} classes, {shape}, {size}"),
            *_labels(synthetic),
            ("Values", f"{low:.2f} to {high:.2f} {outside}"),
            ("Classes", first_few(spec.class_names, 20)),
            (
                "Mean, std",
                ", ".join(" ".join(f"{x:.4f}" for x in values) for values in (spec.mean, spec.std)),
            ),
            *_whitening(spec),
            *_origin(synthetic.record),
            ("Picture", missing or str(drawn)),
        ]
        if sha:
            rows.append(("Verified", f"SHA-256 {sha[0]} holds; it covers {sha[1]}"))
        self.show(facts(rows))
        document = {
            "set": str(path),
            "picture": None if missing else str(drawn),
            "images": len(synthetic),
            "bytes": synthetic.bytes,
            "pixel_bytes": synthetic.images.nbytes,
            "spec": spec.to_json(),
            "lowest": low,
            "highest": high,
            "clipped_share": clipped,
            "record": synthetic.record,
        }
        self.result(document | ({"verified": {"sha256": sha[0], "covers": sha[1]}} if sha else {}))


def _whitening(spec: ImageSpec) -> list[tuple[str, str]]:
    """What images are whitened with, which a file holds; pictures are not whitened."""
    if spec.whitening is None:
        return []
    return [
        ("Whitening", f"{spec.whitening.kind}, {readable_bytes(spec.whitening.nbytes)}; undone in pictures")
    ]


def _labels(synthetic: SyntheticSet) -> Iterator[tuple[str, str]]:
    """What is stored where that is not the images, and labels that are not the classes."""
    kind, generated = synthetic.label_kind, any(name.endswith(".codes") for name in synthetic.stored)
    if generated or synthetic.stored_images != len(synthetic):
        what = "codes and a generator" if generated else "images"
        own, pixels = readable_bytes(synthetic.image_bytes), readable_bytes(synthetic.images.nbytes)
        yield (
            "Stored",
            f"{synthetic.stored_images} {what}, which all are made of: {own}; as float32 pixels {pixels}",
        )
    if kind != "hard":
        teacher = synthetic.record.get("labels", {}).get("teacher", {})
        yield "Labels", kind + (f", of {teacher['network']}" if "network" in teacher else "")


def _origin(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How a set was made, and what it came to; files from elsewhere may say less than ours."""
    took = readable_seconds(record["seconds"]) if "seconds" in record else ""
    if "data" in record:
        yield "Data", str(record["data"].get("source", "-"))
    if "method" in record:
        yield "Method", str(record["method"])
    if record.get("fields"):
        yield "Fields", ", ".join(f"{name}={value}" for name, value in record["fields"].items())
    if "indices" in record:
        selected = f"{len(record['indices'])} real training images{took and f', in {took}'}"
        yield "Selected", f"{selected}; --json lists their indices"
    if "network" in record:
        yield "Network", str(record["network"])
    if "step" in record:
        yield "Steps", f"{record['step']} of {record.get('steps', '?')}{took and f', {took}'}"
    if record.get("loss") is not None:
        yield "Loss", f"{record['loss']:.4g}"
    for name in ("seed", "time", "hardware"):
        if name in record:
            yield name.capitalize(), str(record[name])
    for one in record.get("accuracies", []):
        if {"protocol", "network", "mean", "std", "n"} <= set(one):
            yield "Accuracy", _accuracy(one)


def _accuracy(one: dict[str, Any]) -> str:
    step = f"step {one['step']}, " if "step" in one else ""
    kind = one.get("labels", "hard")
    labels = "" if kind == "hard" else f", {kind} labels"
    plain = " without augmentation" if one.get("augmentation") == "none" else ""
    others = f", test images of {one['data']}, not those the set was made beside" if "data" in one else ""
    by = f"{step}{one['network']}, {one['protocol']}{plain}{labels}, n = {one['n']}{others}"
    return f"{accuracy(one['mean'], one['std'], one['n'])} %  ({by})"


class Export(Output):
    """Write a set in a format that other tools read.

    Formats:

      npz          numpy: images (normalised), labels, class_names, mean, std
                   record (JSON text), perhaps targets or views.*, training
      pt           the same as a dict for torch.load(path, weights_only=True)
      parquet      a folder for datasets.load_dataset (8-bit PNG inside)
      png          a folder per class of 8-bit PNG files
      safetensors  the set as it is, with 8-bit pixels

    The 8-bit formats lose what lies outside [0, 1] and between two of 256 values;
    how much is printed.

    Examples:

      condense export runs/mnist --format npz --out mnist.npz
      condense export runs/mnist --format png --out mnist-images
    """

    first = "format out"

    run: OneRun
    """A run folder or a .safetensors file."""
    format: str
    """npz, pt, parquet, png, or safetensors: as it is, with 8-bit pixels."""
    out: Annotated[Path, Flag("PATH")]
    """The file or folder to write; must be new."""

    def work(self) -> None:
        from condensery import artifact
        from condensery.export import export

        done = export(artifact.load(self.run), self.format, self.out)
        for line in done.lines:
            self.say(line)
        self.result({"format": self.format, "paths": list(map(str, done.paths)), "lines": list(done.lines)})


class Report(Page, Output):
    """Gather runs into one self-contained HTML page, or into a table.

    The page shows accuracies with their spread, published values, charts, the
    images, curves, features, costs, and the command behind each number. It
    needs no network. Runs must be of one image set.

    Examples:

      condense report runs/mnist
      condense report runs/mnist-dm runs/mnist-dc --out mnist.html
      condense report runs/* --out table.md
    """

    first = "out title open_"

    runs: Runs
    """Run folders, comparison folders, .safetensors files, or .jsonl files of evaluations or measurements."""
    out: Annotated[Path | None, Flag("FILE")] = None
    """What to write: .html, .md, .csv or .jsonl (default: report.html; for one run, in its folder)."""
    title: Annotated[str, Flag("TEXT")] = ""
    """Title of the page (default: the name of the images)."""
    open_: bool = False
    """Show the page in the web browser."""

    def work(self) -> None:
        from condensery.cli.tables import measurement_table
        from condensery.comparison.reports import report_of
        from condensery.report import require_writable, write_report
        from condensery.report.tables import row

        alone = len(self.runs) == 1 and self.runs[0].is_dir()
        path = self.out or (self.runs[0] if alone else Path()) / "report.html"
        require_writable(path)
        scatter = path.suffix.lower() == ".html" and not self.no_scatter
        found = report_of(self.runs, **self.of(report_of, scatter=scatter, announce=self.say))
        size = write_report(found, path)
        if found.measurements:
            self.show(measurement_table(found.measurements), SPARE)
        self.say(f"Written to {path} ({readable_bytes(size)})")
        shown = {name: len(getattr(found, name)) for name in ("galleries", "curves", "scatters")}
        rows = list(map(row, found.measurements))
        self.result({"report": str(path), "bytes": size, "title": found.title, "measurements": rows, **shown})
        if self.open_:
            webbrowser.open(path.resolve().as_uri())
