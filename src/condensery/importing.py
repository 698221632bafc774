"""Synthetic sets from elsewhere: what authors' programs and other tools save, as sets like any other.

Read without running code: tensors with `weights_only`, arrays without Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from condensery.budgets import recorded
from condensery.data import load
from condensery.data.bounded import require_memory
from condensery.data.decode import Wish, decode
from condensery.data.files import walk
from condensery.data.formats import read_tree
from condensery.data.formats.npz import members
from condensery.data.options import Options
from condensery.data.sources import given_options, silent
from condensery.errors import BadFile, BadInput, one_line
from condensery.provenance import environment, origin
from condensery.records import ImageData, ImageSpec, SyntheticSet
from condensery.rng import Rng
from condensery.run_folder import RunFolder

NORMALISATIONS = ("auto", "data", "unit", "bytes")
"""How pixels are written: normalised with the data's mean and std, from 0 to 1, from 0 to 255; or as they look."""
LEARNED_EPOCHS = 300
"""Epochs with squared errors for labels that are no probabilities, of which such files say nothing."""
_OURS = "{} is a set of condensery's already: evaluate, label or show it as it is"
_OUTSIDE = 0.2
"""Share of values far outside [0, 1] from which on images cannot be normalised with the data's mean and std alone."""


def import_sets(
    files: str | Path | Sequence[str | Path],
    data: str | Path | ImageData,
    *,
    normalisation: str = "auto",
    ipc: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    announce: Callable[[str], None] = silent,
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
) -> list[SyntheticSet]:
    """Read the synthetic sets that another program saved.

    Args:
        files: one file or folder, or images and labels apart (`images_best.pt` finds `labels_best.pt` by itself).
            A dict with "data" (one set for each experiment), [images, labels], a dict, .npz or .safetensors with
            images and labels, in either order of channels; class folders of images.
        data: the real images they stand for, which give classes, shape, mean and std: as for `condensery.load_images`.
        normalisation: "data", "unit" or "bytes", see `NORMALISATIONS`; "auto" looks at the values.
        ipc: images of each class that are kept, drawn at random; None keeps all.
        seed: of that draw.
        out: a new folder for the result; for several sets, of a folder for each: 0, 1, ... None keeps them in memory.
        announce: called with lines of text for a person.
        size, channels, data_options: of `condensery.load_images`.

    Returns:
        One set for each that the files hold, sorted by class. Labels that are no classes are targets.

    Raises:
        BadInput: they do not fit the data, or look whitened; the folder is taken.
        BadFile: a file is damaged, or holds more than tensors, arrays, lists, numbers and text.
    """
    if normalisation not in NORMALISATIONS:
        raise BadInput(f"unknown normalisation {normalisation!r}; choose among {', '.join(NORMALISATIONS)}")
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise BadInput("no file to import")
    for path in paths:
        if not path.exists():
            raise BadInput(f"there is no file or folder {path} to import")
    if (paths[0] / "set.safetensors").exists():
        raise BadInput(_OURS.format(paths[0]))
    if out is not None:
        RunFolder(Path(out)).require_free()
    if not isinstance(data, ImageData):
        data = load(data, announce=announce, **given_options(size, channels, data_options))
    found = _sets(paths, data.spec, announce)
    source = ", ".join(path.name for path in paths)
    sets = [_set(one, data, normalisation, source, announce) for one in found]
    if ipc is not None:
        sets = [_drawn(one, ipc, Rng(seed).fork("import", i), announce) for i, one in enumerate(sets)]
    announce(f"{len(sets)} sets read from {source}" if len(sets) > 1 else f"one set read from {source}")
    if out is not None:
        for one, place in zip(sets, folders(out, len(sets)), strict=True):
            RunFolder.reserve(place).save_set(one, announce)
    return sets


def folders(out: str | Path, count: int) -> list[Path]:
    """Where `import_sets` puts so many sets: `out` itself for one, otherwise a folder in it for each."""
    return [Path(out)] if count == 1 else [Path(out) / str(number) for number in range(count)]


@dataclass(frozen=True)
class _Found:
    """Images and labels as they were written, and how the set wants to be trained."""

    images: Tensor
    labels: Tensor
    training: dict[str, Any] = field(default_factory=dict)


def _drawn(synthetic: SyntheticSet, ipc: int, rng: Rng, announce: Callable[[str], None]) -> SyntheticSet:
    """`ipc` images of each class. Raises BadInput where a class has fewer."""
    chosen = []
    for c, (name, there) in enumerate(zip(synthetic.spec.class_names, synthetic.counts, strict=True)):
        if not 1 <= ipc <= there:
            raise BadInput(f"--ipc {ipc} asks for other than 1 to {there} images of class {name!r}")
        members = (synthetic.labels == c).nonzero().flatten()
        chosen.append(members[torch.randperm(there, generator=rng.fork(c).torch())[:ipc].sort().values])
    keep = torch.cat(chosen)
    if len(keep) < len(synthetic):
        announce(f"{len(keep):,} of {len(synthetic):,} images are kept, {ipc} of each class, drawn at random")
    targets = synthetic.targets
    return replace(
        synthetic,
        images=synthetic.images[keep],
        labels=synthetic.labels[keep],
        record={**synthetic.record, "ipc": ipc},
        targets=targets[keep] if isinstance(targets, Tensor) else targets,
    )


def _sets(paths: Sequence[Path], spec: ImageSpec, announce: Callable[[str], None]) -> list[_Found]:
    """Each set in the files."""
    if len(paths) == 1 and paths[0].is_dir():
        return [_folder(paths[0], spec, announce)]
    contents = [_content(path) for path in paths]
    if len(paths) == 1 and isinstance(contents[0], Tensor):
        partner = paths[0].with_name(paths[0].name.replace("images", "labels"))
        if partner == paths[0] or not partner.exists():
            raise BadInput(f"{paths[0]} holds images alone; name the file of their labels too")
        contents.append(_content(partner))
    if all(isinstance(content, Tensor) for content in contents) and len(contents) == 2:
        contents = [contents]
    return [
        one for content, path in zip(contents, paths, strict=False) for one in _found(content, path, spec)
    ]


def _content(path: Path) -> Any:
    """What a .pt, .pth, .npz or .safetensors file holds."""
    try:
        if path.suffix.lower() == ".npz":
            return {name: member.array() for name, member in members(path).items()}
        if path.suffix.lower() == ".safetensors":
            return _safetensors(path)
        require_memory(2 * path.stat().st_size, f"the values of {path}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except BadInput:
        raise
    except Exception as error:  # whatever torch makes of a file that is none of its own
        reason = one_line(error).partition(". ")[0][:120]
        raise BadFile(
            f"{path} holds no tensors that can be read without running code: {reason}; "
            "save images and labels with torch.save([images, labels], path)"
        ) from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt", device="cpu") as file:
        if "condensery" in (file.metadata() or {}):
            raise BadInput(_OURS.format(path))
        return {name: file.get_tensor(name) for name in file.keys()}


def _found(content: Any, path: Path, spec: ImageSpec) -> list[_Found]:
    if isinstance(content, Mapping):
        content = {str(key).lower(): value for key, value in content.items()}
        if "data" in content and isinstance(content["data"], list | tuple):
            return [found for one in content["data"] for found in _found(one, path, spec)]
        names = [
            ("images", "targets"),
            ("images", "labels"),
            ("image", "label"),
            ("x", "y"),
            ("data", "labels"),
        ]
        pair = next(((content[a], content[b]) for a, b in names if a in content and b in content), None)
        if pair is None:
            raise BadInput(
                f"{path} holds no images with labels, only {', '.join(content)[:200] or 'nothing'}"
            )
        return [_described(_tensors(pair[0], pair[1], path), content, path, spec)]
    if isinstance(content, list | tuple) and len(content) == 2 and not isinstance(content[0], list | tuple):
        return [_tensors(content[0], content[1], path)]
    if (
        isinstance(content, list | tuple)
        and content
        and all(isinstance(one, list | tuple) for one in content)
    ):
        return [found for one in content for found in _found(one, path, spec)]
    raise BadInput(f"{path} holds {type(content).__name__}; expected images and labels")


def _described(found: _Found, content: Mapping[str, Any], path: Path, spec: ImageSpec) -> _Found:
    """With what an export of ours says of itself: classes, mean, std, and how the set wants to be trained."""
    names = tuple(str(name) for name in content.get("class_names", spec.class_names))
    if names != spec.class_names:
        raise BadInput(
            f"{path} holds the classes {', '.join(names)[:200]}, the data {', '.join(spec.class_names)[:200]}"
        )
    try:
        own = [tuple(float(x) for x in content.get(name, getattr(spec, name))) for name in ("mean", "std")]
        training = json.loads(str(content.get("training", "{}")))
    except (TypeError, ValueError) as error:
        raise BadFile(f"{path} is damaged: {one_line(error):.100}") from error
    if own != [spec.mean, spec.std]:
        raise BadInput(
            f"{path} was normalised with mean {_few(own[0])} and std {_few(own[1])}, the data have "
            f"{_few(spec.mean)} and {_few(spec.std)}"
        )
    whitening = spec.whitening and spec.whitening.kind
    if (theirs := content.get("whitening")) is not None or whitening:
        said = None if theirs is None else str(theirs)
        if said != whitening:
            raise BadInput(
                f"{path} is whitened as {said or 'none'}, the data as {whitening or 'none'}: give --whitening "
                f"{said or 'none'}"
            )
    return replace(found, training=training if isinstance(training, dict) else {})


def _tensors(images: Any, labels: Any, path: Path) -> _Found:
    made = []
    for what, value in (("images", images), ("labels", labels)):
        try:
            tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"{what} of {path} are no numbers: {one_line(error):.100}") from error
        made.append(tensor.detach().contiguous())
    return _Found(made[0], made[1])


def _folder(root: Path, spec: ImageSpec, announce: Callable[[str], None]) -> _Found:
    """Class folders of images, all of them, resized where they have another size than square data."""
    part = read_tree(walk(root), Options()).parts[0]
    names = [part.names[int(c)] for c in part.labels] if part.names and part.labels is not None else []
    if strange := [name for name in names if name not in spec.class_names]:
        raise BadInput(
            f"{root} holds the class {strange[0]!r}, which is none of the data's {spec.num_classes}"
        )
    if not names:
        raise BadInput(f"{root} holds no class folders with images")
    wish = Wish(channels=spec.channels)
    images = [decode(item, wish) for item in part.items()]
    others = sum(image.shape[:2] != (spec.height, spec.width) for image in images)
    if others and spec.height == spec.width:
        images = [decode(item, replace(wish, size=spec.height)) for item in part.items()]
        announce(f"{others:,} of {len(images):,} images are resized to {spec.height}x{spec.width}")
    if len({image.shape for image in images}) > 1:
        raise BadInput(f"images of {root} differ in size")
    labels = torch.tensor([spec.class_names.index(name) for name in names])
    return _Found(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), labels)


def _set(
    found: _Found,
    data: ImageData,
    normalisation: str,
    source: str,
    announce: Callable[[str], None],
) -> SyntheticSet:
    spec, labels = data.spec, found.labels
    images = _arranged(found.images, spec, source)
    if not bool(torch.isfinite(images.double()).all()) or not bool(torch.isfinite(labels.double()).all()):
        raise BadInput(f"{source} holds values that are not finite (NaN or infinity)")
    images = _normalised(images, spec, normalisation, source, announce)
    classes, targets, training = _labels(labels, len(images), spec, source, announce)
    order = torch.argsort(classes, stable=True)
    record = {
        "method": "imported",
        "ipc": recorded(torch.bincount(classes, minlength=spec.num_classes).tolist()),
        "files": source,
        "data": origin(data, data.options),
        **environment(torch.device("cpu")),
    }
    return SyntheticSet(
        images[order].contiguous(), classes[order], spec, record,
        None if targets is None else targets[order].contiguous(), training=found.training or training,
    )  # fmt: skip


def _arranged(images: Tensor, spec: ImageSpec, source: str) -> Tensor:
    """(N, C, H, W) from either order of channels, or (N, H, W) in grey."""
    if images.ndim == 3 and spec.channels == 1:
        images = images[:, None]
    if images.ndim == 4 and tuple(images.shape[1:]) != spec.shape and images.shape[-1] == spec.channels:
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or tuple(images.shape[1:]) != spec.shape or not len(images):
        raise BadInput(
            f"images of {source} have shape {tuple(images.shape)}, those of the data {spec.shape}; "
            "name the data they were made from, with the same --size and --channels"
        )
    return images


def _normalised(
    images: Tensor, spec: ImageSpec, normalisation: str, source: str, announce: Callable[[str], None]
) -> Tensor:
    low, high = float(images.min()), float(images.max())
    whole = not images.is_floating_point()
    if normalisation == "auto":
        normalisation = "bytes" if whole else "unit" if 0 <= low and high <= 1 else "data"
        said = {"bytes": "pixels from 0 to 255", "unit": "pixels from 0 to 1"}
        whitened = f", and whitened ({spec.whitening.kind})" if spec.whitening else ""
        said["data"] = f"normalised with the data's mean {_few(spec.mean)} and std {_few(spec.std)}{whitened}"
        announce(f"values from {low:.3g} to {high:.3g} are read as {said[normalisation]} (--normalisation)")
    top = {"bytes": 255, "unit": 1}.get(normalisation)
    images = images.float()
    if top is not None:
        if low < 0 or high > top:
            raise BadInput(
                f"images of {source} reach from {low:g} to {high:g}, not from 0 to {top}: give another --normalisation"
            )
        return spec.from_unit(images / top)
    pixels = spec.denormalise(images)
    outside = float(((pixels < -0.5) | (pixels > 1.5)).float().mean())
    if outside > _OUTSIDE:
        raise BadInput(
            f"{100 * outside:.0f} % of the values of {source} lie far outside the pixels that the data's mean and "
            "std allow: it is whitened or normalised otherwise; give --whitening zca or zca-kornia if it is whitened "
            "so, or bring it to pixels from 0 to 1 and give --normalisation unit"
        )
    return images


def _few(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _labels(
    labels: Tensor, count: int, spec: ImageSpec, source: str, announce: Callable[[str], None]
) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    """Classes int64 (N,), targets (N, classes) or None, and how such targets are trained towards."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if len(labels) != count:
        raise BadInput(f"{source} has {count} images but {len(labels)} labels")
    if labels.ndim == 1:
        if bool((labels.double() != labels.double().round()).any()):
            raise BadInput(f"labels of {source} are not whole: {float(labels[0]):g}, ...")
        classes = labels.long()
        if int(classes.min()) < 0 or int(classes.max()) >= spec.num_classes:
            raise BadInput(
                f"labels of {source} reach from {int(classes.min())} to {int(classes.max())}, but the data have "
                f"{spec.num_classes} classes"
            )
        return classes, None, {}
    if tuple(labels.shape[1:]) != (spec.num_classes,):
        raise BadInput(
            f"labels of {source} have shape {tuple(labels.shape)}; the data have {spec.num_classes} classes"
        )
    classes, values = labels.argmax(dim=1), labels.float()
    if bool(((values == 0) | (values == 1)).all() and (values.sum(dim=1) == 1).all()):
        return classes, None, {}
    if bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < 1e-3).all()):
        announce("labels are probabilities of all classes")
        return classes, values / values.sum(dim=1, keepdim=True), {}
    announce(f"labels are no probabilities: trained with squared errors, {LEARNED_EPOCHS} epochs")
    return classes, values, {"loss": "mse", "epochs": LEARNED_EPOCHS}
