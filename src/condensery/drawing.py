"""Fresh images of a set that is a generator: `draw`, from its file to another set of the same generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from condensery import artifact
from condensery.data.bounded import require_memory
from condensery.data.sources import silent
from condensery.errors import require_count
from condensery.provenance import environment
from condensery.records import SyntheticSet
from condensery.run_folder import RunFolder
from condensery.synthetic import drawn_anew


def draw(
    synthetic: SyntheticSet | str | Path,
    *,
    ipc: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    announce: Callable[[str], None] = silent,
) -> SyntheticSet:
    """Make another set of the generator that a set stores, from fresh standard normal codes.

    It stores the generator too, and the new codes, one for each image. Its record calls its method "generative, drawn
    anew" and knows no accuracy, step or label of the set that it comes from.

    Args:
        synthetic: the set, its file or its run folder.
        ipc: images to generate of each class, as for the run; None for as many as the set has of each.
        seed: of the codes; None for that of the set.
        out: a new folder for the result; None keeps it in memory.
        announce: called with lines of text for a person.

    Raises:
        BadInput: the set stores no generator, the images would not fit into memory, or the folder is taken.
    """
    if out is not None:
        RunFolder(Path(out)).require_free()
    require_count("ipc", ipc)
    found = synthetic if isinstance(synthetic, SyntheticSet) else artifact.load(synthetic)
    counts = found.stored_counts if ipc is None else (ipc,) * found.spec.num_classes
    each = len(found) // sum(found.stored_counts)  # tiles of a generated image
    taken = 4 * each * sum(counts) * math.prod(found.spec.shape)
    require_memory(taken, f"{sum(counts):,} images of --ipc {ipc}", "draw fewer")
    made = drawn_anew(found, ipc, int(found.record.get("seed", 0)) if seed is None else seed)
    made.record["drawn"] |= {
        "set": "" if isinstance(synthetic, SyntheticSet) else str(artifact.set_path(synthetic)),
        "sha256": artifact.digest(found),
    }
    made.record.update(environment(torch.device("cpu")))
    if found.targets is not None:
        announce(
            f"the set's labels ({found.label_kind}) are of its own images and left out: condense label makes new ones"
        )
    if out is not None:
        RunFolder.reserve(out).save_set(made, announce)
    return made
