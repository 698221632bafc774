"""`condense show` and `condense export`: look at a set, and hand it to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.output import Output, facts_table
from condensery.errors import BadInput
from condensery.text import accuracy, percent, readable_bytes, readable_seconds

if TYPE_CHECKING:
    from condensery.records import SyntheticSet

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder or a .safetensors file.", show_default=False)
]


class Drawing(OptionGroup):
    out: Annotated[Path | None, Flag("PICTURE")] = None
    """Where to write the picture (default: beside the set)."""
    per_class: Annotated[int | None, Flag("N")] = None
    """Draw at most N images of each class."""
    verify: bool = False
    """Say what the SHA-256 in the file covers, and that it holds."""


def show(run: RunPath, drawing: Drawing, output: Output) -> None:
    """Say how a set was made, and draw it: one row per class.

    Examples:

      condense show runs/mnist
      condense show runs/mnist --per-class 10 --out mnist.png
      condense show runs/mnist --verify
    """
    per_class = drawing.per_class
    if per_class is not None and per_class < 1:
        raise BadInput(f"--per-class must be at least 1, not {per_class}")
    from condensery import artifact
    from condensery.export import save_picture
    from condensery.export.picture import value_range

    path = artifact.set_path(run)
    synthetic = artifact.load(path)
    verified = artifact.coverage(path) if drawing.verify else None
    drawn, missing = drawing.out or path.with_suffix(".png"), ""
    try:
        save_picture(synthetic, drawn, per_class)
    except BadInput as error:
        if drawing.out:
            raise
        missing = f"none: {error}, with --out"
    low, high, clipped = value_range(synthetic)
    facts = _facts(path, synthetic, missing or str(drawn), low, high, clipped)
    if verified:
        facts.append(("Verified", f"SHA-256 {verified[0]} holds; it covers {verified[1]}"))
    output.show(facts_table(facts))
    output.result(
        {
            "set": str(path),
            "picture": None if missing else str(drawn),
            "images": len(synthetic),
            "bytes": synthetic.bytes,
            "spec": synthetic.spec.to_json(),
            "lowest": low,
            "highest": high,
            "clipped_share": clipped,
            "record": synthetic.record,
            **({"verified": dict(zip(("sha256", "covers"), verified, strict=True))} if verified else {}),
        }
    )


def _facts(
    path: Path, synthetic: SyntheticSet, drawn: str, low: float, high: float, clipped: float
) -> list[tuple[str, str]]:
    record, spec = synthetic.record, synthetic.spec
    shape = "x".join(map(str, spec.shape))
    return [
        ("Set", str(path)),
        (
            "Images",
            f"{len(synthetic)} of {spec.num_classes} classes, {shape}, {readable_bytes(synthetic.bytes)}",
        ),
        *_labels(synthetic),
        ("Values", f"{low:.2f} to {high:.2f} where pixels have 0 to 1; a picture clips {percent(clipped)} %"),
        ("Classes", ", ".join(spec.class_names[:20]) + (", ..." if spec.num_classes > 20 else "")),
        ("Mean, std", f"{_numbers(spec.mean)}, {_numbers(spec.std)}"),
        *_origin(record),
        *(("Accuracy", _accuracy(one)) for one in _entries(record)),
        ("Picture", drawn),
    ]


def _origin(record: dict[str, Any]) -> list[tuple[str, str]]:
    """How a set was made; files from elsewhere may say less than ours."""
    facts = []
    if "data" in record:
        facts.append(("Data", str(record["data"].get("source", "-"))))
    if "method" in record:
        facts.append(("Method", str(record["method"])))
    if record.get("fields"):
        facts.append(("Fields", ", ".join(f"{name}={value}" for name, value in record["fields"].items())))
    if "indices" in record:
        facts.append(("Selected", _selected(record)))
    if "network" in record:
        facts.append(("Network", str(record["network"])))
    if "step" in record:
        took = f", {readable_seconds(record['seconds'])}" if "seconds" in record else ""
        facts.append(("Steps", f"{record['step']} of {record.get('steps', '?')}{took}"))
    if record.get("loss") is not None:
        facts.append(("Loss", f"{record['loss']:.4g}"))
    facts += [
        (name.capitalize(), str(record[name])) for name in ("seed", "time", "hardware") if name in record
    ]
    return facts


def _selected(record: dict[str, Any]) -> str:
    took = f", in {readable_seconds(record['seconds'])}" if "seconds" in record else ""
    return f"{len(record['indices'])} real training images{took}; --json lists their indices"


def _entries(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The complete entries among the accuracies of a record."""
    keys = {"protocol", "network", "mean", "std", "n"}
    return [one for one in record.get("accuracies", []) if keys <= set(one)]


def _accuracy(one: dict[str, Any]) -> str:
    step = f"step {one['step']}, " if "step" in one else ""
    kind = one.get("labels", "hard")
    labels = "" if kind == "hard" else f", {kind} labels"
    plain = " without augmentation" if one.get("augmentation") == "none" else ""
    others = f", test images of {one['data']}, not those the set was made beside" if "data" in one else ""
    by = f"{step}{one['network']}, {one['protocol']}{plain}{labels}, n = {one['n']}{others}"
    return f"{accuracy(one['mean'], one['std'], one['n'])} %  ({by})"


def _labels(synthetic: SyntheticSet) -> list[tuple[str, str]]:
    """Images stored where they are fewer than those trained on, and labels that are not the classes."""
    stored, kind = synthetic.stored_images, synthetic.label_kind
    facts = [("Stored", f"{stored} images, which the others are made of")] if stored != len(synthetic) else []
    if kind == "hard":
        return facts
    teacher = synthetic.record.get("labels", {}).get("teacher", {})
    whose = f", of {teacher['network']}" if "network" in teacher else ""
    return [*facts, ("Labels", kind + whose)]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


class Export(OptionGroup):
    format: str
    """npz, pt, parquet, png."""
    out: Annotated[Path, Flag("PATH")]
    """The file or folder to write; must be new."""


def export(run: RunPath, wanted: Export, output: Output) -> None:
    """Write a set in a format that other tools read.

    Formats:

      npz      numpy arrays: images (normalised), labels, class_names, mean, std
      pt       the same as a dict for torch.load(path, weights_only=True)
      parquet  a folder for datasets.load_dataset (8-bit PNG inside)
      png      a folder per class of 8-bit PNG files

    The 8-bit formats lose what lies outside [0, 1] and between two of 256 values;
    how much is printed.

    Examples:

      condense export runs/mnist --format npz --out mnist.npz
      condense export runs/mnist --format png --out mnist-images
    """
    from condensery import artifact
    from condensery.export import export as export_set

    result = export_set(artifact.load(run), wanted.format, wanted.out)
    for line in result.lines:
        output.say(line)
    output.result(
        {"format": wanted.format, "paths": [str(path) for path in result.paths], "lines": list(result.lines)}
    )
