"""Damaged files of every format that is read: each is loaded, or refused by an error of our own, in a few seconds."""

from __future__ import annotations

import faulthandler
import random
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import makers
import numpy as np
from harness import Campaign, Wrong
from PIL import Image

import condensery
from condensery.errors import BadInput, CondenseryError
from condensery.export import export
from condensery.importing import import_sets

_HANG = 60.0  # seconds after which a case counts as hung: everything is tiny


def damaged(campaign: Campaign, cases: int) -> None:
    """Damage so many files, in turn of every format, and read each."""
    sources = _sources(campaign)
    names = list(sources)
    for case in range(cases):
        name = names[case % len(names)]
        make, read = sources[name]
        whole = campaign.place / "whole" / name
        if not whole.exists():
            whole.mkdir(parents=True)
            make(whole)
        with campaign.fresh() as place, _watched():
            shutil.copytree(whole, place, dirs_exist_ok=True)
            file = campaign.draws.choice(sorted(path for path in place.rglob("*") if path.is_file()))
            how = damage(file, campaign.draws)
            _read(campaign, f"{name}: {file.relative_to(place)}, {how}", name, read, place)


def _read(campaign: Campaign, what: str, name: str, read: Callable[[Path], Any], place: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other libraries; the command line hides them too
            read(place)
        outcome = "read"
    except CondenseryError as refusal:
        outcome = "refused"
        if len(lines := str(refusal).splitlines()) != 1 or len(lines[0]) > 2000:
            raise Wrong(f"{what}: not one line: {str(refusal)[:3000]!r}") from refusal
    except Exception as error:
        raise Wrong(f"{what}: {type(error).__name__}: {str(error)[:1000]}") from error
    campaign.counts[f"damaged: {name}", outcome] += 1


def damage(file: Path, draws: random.Random) -> str:
    """Change the bytes of a file in one way; returns how, in words."""
    content = bytearray(file.read_bytes())
    at = draws.randrange(len(content) or 1)
    near = min(at, draws.randrange(200))  # headers matter more than pixels
    ways: dict[str, Callable[[], Any]] = {
        "cut": lambda: content.__delitem__(slice(at, None)),
        "one byte": lambda: content.__setitem__(slice(near, near + 1), draws.randbytes(1)),
        "one bit": lambda: content.__setitem__(
            slice(near, near + 1), bytes([content[near] ^ 1 << draws.randrange(8)]) if content else b""
        ),
        "a block of noise": lambda: content.__setitem__(slice(at, at + 16), draws.randbytes(16)),
        "a large number": lambda: content.__setitem__(slice(near, near + 4), b"\xff\xff\xff\x7f"),
        "bytes left out": lambda: content.__delitem__(slice(near, near + draws.randrange(1, 9))),
        "bytes put in": lambda: content.__setitem__(
            slice(near, near), draws.randbytes(draws.randrange(1, 9))
        ),
        "empty": content.clear,
    }
    how = draws.choice(list(ways))
    ways[how]()
    file.write_bytes(content)
    return f"{how} at {at} or {near}"


def _sources(campaign: Campaign) -> dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]]:
    """By name: what makes files in a folder, and what reads them."""
    cache = campaign.place / "damaged-cache"

    def load(place: Path) -> Any:
        shutil.rmtree(cache, ignore_errors=True)
        return condensery.load_images(place, cache_dir=cache, progress=False)

    def first(ending: str) -> Callable[[Path], Any]:
        def read(place: Path) -> Any:
            found = sorted(place.glob(f"*{ending}"))
            if not found:
                raise BadInput(f"there is no file that ends in {ending}")
            return found[0]

        return read

    def set_of(place: Path) -> Any:
        return condensery.load(place / "set.safetensors")

    digits = condensery.load_images("digits", progress=False)

    def imported(ending: str) -> Callable[[Path], Any]:
        return lambda place: import_sets(first(ending)(place), digits)

    def exported(kind: str) -> Callable[[Path], Any]:
        return lambda place: export(condensery.load(campaign.run), kind, place / f"set.{kind}")

    def table(place: Path) -> None:
        makers.rows(4).to_parquet(place / "train.parquet")
        makers.rows(2, 20).to_parquet(place / "test.parquet")

    def arrays(place: Path) -> None:
        (train, labels), (test, others) = makers.arrays(4), makers.arrays(2, 20)
        np.savez(place / "d.npz", x_train=train, y_train=labels, x_test=test, y_test=others)

    def text(place: Path) -> None:
        (place / "usps").write_text(makers.libsvm_text(4))
        (place / "usps.t").write_text(makers.libsvm_text(2, 20))

    def saved(place: Path) -> None:
        shutil.copy(campaign.run / "set.safetensors", place / "set.safetensors")

    of_images = {kind: (_pictures(kind), load) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")}
    return {
        **{f"folder of {kind}": both for kind, both in of_images.items()},
        "Parquet": (table, load),
        ".npz": (arrays, lambda place: load(place / "d.npz")),
        "idx": (makers.idx, load),
        "idx.gz": (makers.idx_gz, load),
        "CIFAR-10, Python": (makers.cifar10, load),
        "CIFAR-100, Python": (makers.cifar100, load),
        "CIFAR-10, binary": (makers.cifar10_binary, load),
        "SVHN": (makers.svhn, load),
        "LIBSVM": (text, load),
        "ImageNet, .npz": (makers.imagenet_npz, load),
        "set": (saved, set_of),
        "exported .npz": (exported("npz"), imported(".npz")),
        "exported .pt": (exported("pt"), imported(".pt")),
    }


def _pictures(kind: str) -> Callable[[Path], Any]:
    def make(place: Path) -> None:
        for c, name in enumerate(makers.NAMES):
            (place / name).mkdir()
            for i in range(3):
                pixels = Image.fromarray(makers.picture(c, i))
                pixels.save(place / name / f"{i}.{kind.lower()}", kind)

    return make


@contextmanager
def _watched() -> Any:
    """A case that hangs ends the campaign with a traceback."""
    faulthandler.dump_traceback_later(_HANG, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
