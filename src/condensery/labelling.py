"""Give a set a teacher's labels: `label`, from a set's file to a set with labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.evaluation.real import real_images
from condensery.methods import get_method
from condensery.methods.patches import Patches
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.run_folder import RunFolder, reserved
from condensery.synthetic import with_pixels
from condensery.teaching import LabelSettings, TeacherSettings, get_teacher, label_images
from condensery.text import percent, readable_bytes, readable_seconds
from condensery.training_recipe import own_recipe

_NEWS_EVERY = 60.0  # seconds between lines on the teacher; a shorter training needs none


def label(
    synthetic: SyntheticSet | str | Path,
    data: str | Path | ImageData | None = None,
    *,
    settings: LabelSettings | None = None,
    teacher: TeacherSettings | None = None,
    pixels: bool = False,
    device: str = "auto",
    out: str | Path | None = None,
    callback: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] = silent,
    **data_options: Any,
) -> SyntheticSet:
    """Give any set, condensed, selected or imported, the labels of a teacher.

    Args:
        synthetic: the set, its file or its run folder.
        data: the real images, as for `condensery.load_images`; None takes what the set was made from.
        settings: how its images are labelled; None for 30 views of each.
        teacher: who labels them; None for the teacher that chose the crops of a set of patches, or else the default
            one, trained on the real training images.
        pixels: store the images as 8-bit pixels, exactly where they are real ones.
        device: "auto", "cpu" or "cuda".
        out: a new folder for the result; None keeps it in memory.
        callback: called after each epoch of the teacher's training with the epochs done and those in all.
        announce: called with lines of text for a person.
        data_options: for `condensery.load_images`.

    Raises:
        BadInput: a set that does not fit the data, a teacher of another task, or a folder that is taken.
    """
    if out is not None:
        RunFolder(Path(out)).require_free()
    found = synthetic if isinstance(synthetic, SyntheticSet) else artifact.load(synthetic)
    settings, asked = settings or LabelSettings(), teacher or TeacherSettings()
    if asked == TeacherSettings():
        asked = _who_chose(found.record)
    images = real_images(found, data, data_options, announce)
    started, said = time.perf_counter(), 0.0

    def heard(done: int, total: int) -> None:
        nonlocal said
        if callback:
            callback(done, total)
        seconds = time.perf_counter() - started
        left = seconds / done * (total - done)
        if seconds - said >= _NEWS_EVERY or (done == 1 and left >= _NEWS_EVERY):
            said = seconds
            announce(f"teacher: epoch {done} of {total}, about {readable_seconds(left)} left")

    taught = get_teacher(images, asked, pick_device(device), heard)
    announce(
        f"teacher: {taught.name}, {percent(taught.accuracy)} % of the test images, "
        f"{readable_bytes(taught.bytes)} of weights"
    )
    if found.targets is not None:
        announce("the labels that the set held are replaced")
    if pixels:
        before = found
        found = with_pixels(found)
        off = float((found.images - before.images).abs().max())
        announce(
            "images stay as they are stored"
            if found is before
            else f"images are stored as 8-bit pixels, off by {off:.2g} at most in normalised space"
        )
    with reserved(out) as folder:
        made = label_images(found, taught, settings)
        if folder:
            folder.save_set(made, announce)
    views = "one label an image" if settings.views is None else f"{settings.views.count} views an image"
    announce(f"labels: {views}; {len(made)} images, {readable_bytes(made.bytes)} in all")
    if made.training:
        recipe, augmentation = own_recipe(made.training)
        announce(f"networks are to train on them for {recipe.text(augmentation)}")
    return made


def _who_chose(record: Mapping[str, Any]) -> TeacherSettings:
    """The teacher that chose the crops of a set of patches; the default one for other sets.

    Raises:
        BadInput: it was a network or a file of the maker's: what a set says decides neither which code runs nor which
            file is read.
    """
    if record.get("method") != Patches.name:
        return TeacherSettings()
    said = get_method(Patches.name, **record.get("fields", {})).teacher_settings  # type: ignore[attr-defined]
    if said.weights is not None or ":" in (said.network or ""):
        weights = "" if said.weights is None else f" --teacher-weights {said.weights}"
        raise BadInput(
            f"the crops were chosen by a teacher of the maker's: name it again, --teacher {said.network}{weights}, "
            "or another one"
        )
    return said
