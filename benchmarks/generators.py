"""What generative methods are worth: settings on held-out training images, ablations and baselines on test images.

    python benchmarks/generators.py settings --data cifar10 --held-out
    python benchmarks/generators.py ablations --data digits --seeds 3 --repeats 3
    python benchmarks/generators.py baselines --data mnist --ipc 1

Every row has the same small budget. What a generator learns first is kept in the cache and shared by rows of a seed, so
the CPU seconds of a row are those of its steps alone where another row came before it. What is there already in
--results is not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import measure
from view_settings import without_test

import condensery
from condensery import ImageData
from condensery.memory import keep_freed_memory
from condensery.methods import get_method
from condensery.provenance import environment
from condensery.published import lookup, tables

SMALL: dict[str, Any] = {
    "optimizer": "adam",
    "generator_width": 32,
    "gan_steps": 250,
    "teacher_epochs": 1,
    "network_batch": 64,
    "real_batch": 50,
}
"""Of the methods that learn codes or a generator, in every row that says nothing else."""

TRAINED = {"generator_width": 32, "training_steps": 250}
"""Of the methods that draw images from a generative model."""

LONGER = {"generator_width": 32, "training_steps": 2500}
"""Of the same, until they draw something."""

PLAIN: dict[str, Any] = {"projection": "default"}
LAST = {"associates": "class", "matched": "last", "augmentation": "auto"}
ALONE = {"adversarial_weight": 0.0, "class_weight": 0.0, "intra_weight": 0.0, "inter_weight": 0.0}
TILES: dict[str, Any] = {
    **LAST,
    **ALONE,
    "condition": "one-hot",
    "network_updates": 1,
    "real_batch": 64,
    "factor": 2,
    "inversion_steps": 1000,
}
FASTER = {**LAST, **PLAIN, **ALONE, "network_updates": 1, "generator_lr": 0.003, "code_lr": 0.03}

TRIED: dict[str, dict[str, dict[str, Any]]] = {
    "baselines": {
        "random": {"method": "random"},
        "DM": {"method": "dm", "real_batch": 64},
        "FRePo": {"method": "frepo", "image_lr": 0.03},
        "generative": {},
        "IT-GAN": {"method": "it-gan"},
        "DiM": {"method": "dim"},
        "cGAN": {"method": "cgan", **TRAINED},
        "VAE": {"method": "vae", **TRAINED},
        "GMMN": {"method": "gmmn", **TRAINED},
        "MMD": {"method": "mmd", "real_batch": 64},
        "cGAN; 2,500 steps": {"method": "cgan", **LONGER},
        "VAE; 2,500 steps": {"method": "vae", **LONGER},
        "GMMN; 2,500 steps": {"method": "gmmn", **LONGER},
    },
    "ablations": {
        "all": {},
        "condition: one-hot": {"condition": "one-hot"},
        "condition: online feature": {"condition": "online"},
        "codes: uniform sample": {"codes": "gaussian"},
        "codes: random with threshold": {"codes": "truncated"},
        "losses: real": {
            "judged": "pixels",
            "class_weight": 0.0,
            "intra_weight": 0.0,
            "inter_weight": 0.0,
        },
        "losses: feature": {"intra_weight": 0.0, "inter_weight": 0.0},
        "losses: feature; intra": {"inter_weight": 0.0},
        "losses: feature; inter": {"intra_weight": 0.0},
        "generator: fixed; no relations": {"generator": "fixed", "intra_weight": 0.0, "inter_weight": 0.0},
    },
    "settings": {
        "random": {"method": "random"},
        "DM; 100 steps": {"method": "dm", "real_batch": 64, "steps": 100},
        "clusters; all layers": {**PLAIN, **ALONE},
        "class; last layer; trained networks": {**LAST, **PLAIN, **ALONE, "network_updates": 40},
        "random networks": {**LAST, **PLAIN, **ALONE, "network_updates": 1},
        "thrice the rates": FASTER,
        "thrice the rates; inversion": {**FASTER, "steps": 300, "inversion_steps": 150},
        "thrice the rates; inversion; own codes": {
            **FASTER,
            "steps": 300,
            "inversion_steps": 150,
            "codebook": "own",
        },
        "balanced projection": {**LAST, **ALONE, "network_updates": 1},
        "all losses": {**LAST, "network_updates": 40, "match_weight": 3000.0},
        "all losses; match weight 300": {**LAST, "network_updates": 40, "match_weight": 300.0},
        "balanced; 1000 GAN steps": {**LAST, **ALONE, "network_updates": 1, "gan_steps": 1000},
        "balanced; own codes": {**LAST, **ALONE, "network_updates": 1, "codebook": "own"},
        "balanced; 64 wide": {**LAST, **ALONE, "network_updates": 1, "generator_width": 64},
        "tiles; a teacher": {**TILES, "teacher_weight": 0.5, "steps": 400},
        "tiles; own codes; low rates": {
            **TILES,
            "codebook": "own",
            "inversion_steps": 2000,
            "generator_lr": 0.0001,
            "code_lr": 0.001,
            "steps": 300,
        },
    },
}
"""What each row changes, by the name of its group."""

LEARNING = ("generative", "it-gan", "dim")


def made(changes: dict[str, Any], data: ImageData, key: dict[str, Any], seed: int) -> condensery.SyntheticSet:
    """The set of a row and a seed."""
    fields = {**changes}
    name, steps = fields.pop("method", "generative"), fields.pop("steps", key["steps"])
    if name == "random":
        return condensery.select(data, name, ipc=key["ipc"], seed=seed)
    common = SMALL if name in LEARNING else {}
    method = get_method(name, **{**common, **fields})
    steps = 1 if "training_steps" in fields else steps
    return condensery.condense(data, method, ipc=key["ipc"], network=key["network"], steps=steps, seed=seed)


def row(name: str, changes: dict[str, Any], data: ImageData, key: dict[str, Any]) -> dict[str, Any]:
    """Accuracies of all networks on the sets of all seeds."""
    accuracies, seconds = [], []
    for seed in range(key["seeds"]):
        began = time.process_time()
        synthetic = made(changes, data, key, seed)
        seconds.append(round(time.process_time() - began, 1))
        judge = {"protocol": "quick", "repeats": key["repeats"], "baselines": (), "networks": [key["judge"]]}
        accuracies.append(list(condensery.evaluate(synthetic, data, seed=seed, **judge).scores[0].accuracies))
    every = 100 * np.array(accuracies)
    print(
        f"{name:32} {every.mean():.1f} ± {every.std():.1f} (n = {every.size}), {np.mean(seconds):.0f} s",
        flush=True,
    )
    return {"key": key, "accuracies": accuracies, "cpu_seconds": seconds, **environment(torch.device("cpu"))}


def published(key: dict[str, Any]) -> str:
    """What the papers found in the place of a row, with a ConvNet of 128 filters."""
    changes = {**TRIED[key["group"]][key["tried"]]}
    method = changes.pop("method", "generative")
    if key["group"] == "baselines":
        value = lookup(key["data"], method, key["ipc"])
    else:
        cells = (cell for one in tables() if one.name.startswith("generative-") for cell in one.cells)
        place = (key["data"], method, key["ipc"], changes)
        found = (c.value for c in cells if (c.data, c.method, c.ipc, dict(c.fields)) == place and c.value)
        value = next(found, None)
    return f"; published {100 * value.mean:.1f}" if value else ""


def table(rows: list[dict[str, Any]], group: str) -> str:
    """Rows of a group as Markdown: accuracy in %, n, CPU seconds of a set; a column for each data set and budget."""
    found = [row for row in rows if row["key"]["group"] == group]
    columns = list(dict.fromkeys((row["key"]["data"], row["key"]["ipc"]) for row in found))
    cells: dict[str, dict[tuple[str, int], str]] = {}
    for row in found:
        key, every = row["key"], 100 * np.array(row["accuracies"])
        text = f"{every.mean():.1f} ± {every.std():.1f} (n = {every.size})"
        text += f", {np.mean(row['cpu_seconds']):.0f} s{published(key)}"
        cells.setdefault(key["tried"], {})[key["data"], key["ipc"]] = text
    lines = [[name, *(of.get(column, "-") for column in columns)] for name, of in cells.items()]
    heads = [group, *(f"{data}, {ipc} per class" for data, ipc in columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("group", choices=list(TRIED))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--network", default="convnet+width=32", help="that the sets are learned with")
    parser.add_argument("--judge", default="convnet+width=32", help="that is trained on the sets")
    parser.add_argument("--seeds", type=int, default=1, help="sets")
    parser.add_argument("--repeats", type=int, default=1, help="networks on each set")
    parser.add_argument("--held-out", action="store_true", help="training images in place of the test images")
    parser.add_argument("--only", help="names of rows, joined by commas")
    parser.add_argument("--results", type=Path, default=Path("results/generators.jsonl"))
    parser.add_argument(
        "--table", action="store_true", help="print what is in --results, and measure nothing"
    )
    asked = parser.parse_args()
    if asked.table:
        print(table([json.loads(line) for line in asked.results.read_text().splitlines()], asked.group))
        return
    keep_freed_memory()
    data = condensery.load_images(asked.data)
    data = without_test(data) if asked.held_out else data
    names = ("ipc", "steps", "network", "judge", "seeds", "repeats", "held_out")
    same = {"data": Path(asked.data).name, **{name: getattr(asked, name) for name in names}}
    for name, changes in TRIED[asked.group].items():
        key = {"group": asked.group, "tried": name, **same}
        if not asked.only or name in asked.only.split(","):
            measure(asked.results, key, partial(row, name, changes, data))


if __name__ == "__main__":
    main()
