"""Exports: equal bits where they promise it, and 8-bit pixels as near as 8 bits can be."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from condensery import BadInput, ImageSpec, SyntheticSet, load, load_images
from condensery.export import FORMATS, export
from condensery.export.formats import class_folders
from condensery.export.picture import eight_bit, picture, save_picture
from condensery.views import Views


def make_set(channels: int = 3, names: tuple[str, ...] = ("cat", "dog"), ipc: int = 3) -> SyntheticSet:
    """Random images; about a fifth of the values lies outside [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    spec = ImageSpec(channels, 8, 9, names, (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels])
    images = torch.randn(ipc * len(names), channels, 8, 9, generator=generator) * 1.8
    labels = torch.arange(len(names)).repeat_interleave(ipc)
    return SyntheticSet(images, labels, spec, {"method": "dm", "note": "ü"})


def test_npz_keeps_every_bit(tmp_path):
    synthetic = make_set()
    result = export(synthetic, "npz", tmp_path / "set.npz")
    assert result.paths == (tmp_path / "set.npz",)
    with np.load(result.paths[0], allow_pickle=False) as arrays:
        assert arrays["images"].dtype == np.float32
        assert np.array_equal(arrays["images"], synthetic.images.numpy())
        assert np.array_equal(arrays["labels"], synthetic.labels.numpy())
        assert arrays["class_names"].tolist() == ["cat", "dog"]
        assert np.allclose(arrays["mean"], synthetic.spec.mean) and np.allclose(
            arrays["std"], synthetic.spec.std
        )
        assert json.loads(str(arrays["record"])) == synthetic.record


def test_pt_keeps_every_bit_and_loads_without_pickled_code(tmp_path):
    synthetic = make_set()
    (path,) = export(synthetic, "pt", tmp_path / "set").paths
    assert path.name == "set.pt", "a missing ending is added"
    content = torch.load(path, weights_only=True)
    assert torch.equal(content["images"], synthetic.images) and torch.equal(
        content["labels"], synthetic.labels
    )
    assert content["class_names"] == ["cat", "dog"] and content["mean"] == list(synthetic.spec.mean)
    assert json.loads(content["record"]) == synthetic.record


@pytest.mark.parametrize("format", ["parquet", "png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_8_bit_formats_are_read_back_by_condensery(tmp_path, format, channels):
    synthetic = make_set(channels)
    export(synthetic, format, tmp_path / "set")
    data = load_images(tmp_path / "set", cache_dir=tmp_path / "cache")
    assert data.spec.class_names == synthetic.spec.class_names
    pixels = np.concatenate([data.train.pixels, data.test.pixels])
    labels = np.concatenate([data.train.labels, data.test.labels])
    values = synthetic.spec.denormalise(synthetic.images).permute(0, 2, 3, 1).numpy()  # (M, H, W, C)
    for value, label in zip(values, synthetic.labels.tolist(), strict=True):
        same_class = pixels[labels == label] / 255
        nearest = same_class[np.abs(same_class - value.clip(0, 1)).sum((1, 2, 3)).argmin()]
        inside = (value >= 0) & (value <= 1)
        assert np.abs(nearest - value)[inside].max() <= 0.5 / 255 + 1e-6
        assert set(nearest[~inside]) <= {0.0, 1.0}


def test_uneven_counts_are_kept_by_every_format(tmp_path):
    even = make_set(names=("cat", "dog", "emu"), ipc=4)
    kept = [0, 1, 2, 3, 4, 8, 9]  # 4, 1 and 2 images
    uneven = replace(even, images=even.images[kept], labels=even.labels[kept])
    for format in FORMATS:
        (path,) = export(uneven, format, tmp_path / f"set-{format}").paths
        if format == "npz":
            labels = np.load(path)["labels"]
        elif format == "pt":
            labels = torch.load(path, weights_only=True)["labels"].numpy()
        elif format == "safetensors":
            labels = load(path).labels.numpy()
        else:
            read = load_images(path, cache_dir=tmp_path / "cache", size=8, test_fraction=0.4)
            labels = np.concatenate([read.train.labels, read.test.labels])
        assert np.bincount(labels).tolist() == [4, 1, 2], format


@pytest.mark.parametrize("out", ["set", "set.parquet"])
def test_parquet_has_the_hugging_face_layout(tmp_path, out):
    datasets = pytest.importorskip("datasets")
    synthetic = make_set()
    export(synthetic, "parquet", tmp_path / out)
    file = (
        tmp_path / out
        if out.endswith(".parquet")
        else tmp_path / out / "data" / "train-00000-of-00001.parquet"
    )
    rows = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
    assert isinstance(rows.features["image"], datasets.Image)
    assert rows.features["label"].names == ["cat", "dog"]
    assert list(rows["label"]) == synthetic.labels.tolist()
    for row, pixels in zip(rows, eight_bit(synthetic), strict=True):
        assert np.array_equal(np.asarray(row["image"]), pixels)


def test_parquet_tells_classes_of_one_name_apart(tmp_path):
    datasets = pytest.importorskip("datasets")
    synthetic = make_set(names=("cat", "cat", "cat_1", "dog"))
    result = export(synthetic, "parquet", tmp_path / "set.parquet")
    assert "1 class names are there twice and were changed: 'cat' -> 'cat_1_1'" in result.lines
    rows = datasets.Dataset.from_parquet(str(tmp_path / "set.parquet"), cache_dir=str(tmp_path / "cache"))
    assert rows.features["label"].names == ["cat", "cat_1_1", "cat_1", "dog"]
    assert list(rows["label"]) == synthetic.labels.tolist()


def test_what_8_bits_lose_is_said(tmp_path):
    synthetic = make_set()
    values = synthetic.spec.denormalise(synthetic.images)
    outside = float(((values < 0) | (values > 1)).float().mean())
    lines = "\n".join(export(synthetic, "png", tmp_path / "set").lines)
    assert f"{100 * outside:.1f} % of the values lay outside" in lines and outside > 0.05
    assert "0.002 at most" in lines, "half a step of 1/255"
    assert ".npz or .pt" in lines


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("cat", "dog"), ["cat", "dog"]),
        (("a/b", "a\\b", "a_b"), ["a_b", "a_b_1", "a_b_2"]),
        (("..", ".", "", "   "), ["_", "__1", "__2", "__3"]),
        ((".hidden", "Thumbs.db"), ["_hidden", "_Thumbs.db"]),
        (("Cat", "cat"), ["Cat", "cat_1"]),
        (("../../etc", "nul\0l", "line\nbreak"), ["__.._etc", "nul_l", "line_break"]),
        (("café", "日本"), ["café", "日本"]),
        (("x" * 300, "x" * 301), ["x" * 100, "x" * 100 + "_1"]),
    ],
)
def test_class_names_become_safe_folders(names, expected):
    folders = class_folders(names)
    assert folders == expected
    assert len({folder.casefold() for folder in folders}) == len(names)


def test_classes_that_are_called_like_parts_are_read_back(tmp_path):
    synthetic = make_set(names=("bus", "test", "train"))
    export(synthetic, "png", tmp_path / "set")
    data = load_images(tmp_path / "set", cache_dir=tmp_path / "cache")
    assert data.spec.class_names == ("bus", "test", "train")


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_what_exists_is_not_overwritten(tmp_path, format):
    endings = {"npz": ".npz", "pt": ".pt", "safetensors": ".safetensors"}
    for out in (tmp_path / f"file{endings.get(format, '')}", tmp_path / "full"):
        if out.name == "full":
            out.mkdir()
            out = out / f"file{endings.get(format, '')}"
        out.write_text("precious")
        taken = out if out.suffix or format in endings else out.parent if out.parent != tmp_path else out
        with pytest.raises(BadInput, match="exists already"):
            export(make_set(), format, taken)
        assert out.read_text() == "precious"


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "set").mkdir()
    export(make_set(), "png", tmp_path / "set")
    assert len(list((tmp_path / "set").rglob("*.png"))) == 6


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, format):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="disk is full"):
        export(make_set(), format, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file system nobody can write to")
@pytest.mark.parametrize("format", sorted(FORMATS))
def test_unwritable_places(format):
    with pytest.raises(BadInput, match="cannot write"):
        export(make_set(), format, "/proc/condensery/set")


def test_unknown_format(tmp_path):
    with pytest.raises(BadInput, match="unknown format 'tar'"):
        export(make_set(), "tar", tmp_path / "set")


@pytest.mark.parametrize("format", ["npz", "pt"])
@pytest.mark.parametrize("name", ["set.bar", "set.safetensors", "set.v2"])
def test_a_file_is_not_called_what_it_is_not(tmp_path, format, name):
    with pytest.raises(BadInput, match=rf"writes a file that ends in \.{format}, not .*/{name}$"):
        export(make_set(), format, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert export(make_set(), format, tmp_path / f"a.{format.upper()}").paths[0].exists()


@pytest.mark.parametrize("format", ["parquet", "png"])
def test_folders_take_any_name(tmp_path, format):
    (path,) = export(make_set(), format, tmp_path / "set.v2").paths
    assert path == tmp_path / "set.v2" and path.is_dir()


@pytest.mark.parametrize("name", ["set.jpg", "set", "png"])
def test_a_picture_is_a_png(tmp_path, name):
    with pytest.raises(BadInput, match=rf"ends in \.png, not .*/{name}$"):
        save_picture(make_set(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    save_picture(make_set(), tmp_path / "set.PNG")
    with Image.open(tmp_path / "set.PNG") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_the_pixels_of_the_export(channels):
    synthetic = make_set(channels, ipc=1)
    drawn = np.asarray(picture(synthetic))
    zoom = 64 // 9
    for c, pixels in enumerate(eight_bit(synthetic)):
        top = 4 + c * (8 * zoom + 4)
        tile = drawn[top : top + 8 * zoom, -9 * zoom - 4 : -4][::zoom, ::zoom]
        assert np.array_equal(tile, np.broadcast_to(pixels, (8, 9, 3)))


# ---- labels of a set's own


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_targets_are_kept_or_the_loss_is_said(tmp_path, format):
    plain = make_set()
    targets = torch.full((len(plain), plain.spec.num_classes), 0.5)
    own = replace(plain, targets=targets, training={"loss": "mse", "epochs": 5})
    done = export(own, format, tmp_path / "set")
    said = "Labels are the classes: the set's own targets and way of training are left out"
    assert (said in done.lines) == (format in ("parquet", "png"))
    assert said not in export(plain, format, tmp_path / "plain").lines
    if format == "npz":
        with np.load(tmp_path / "set.npz", allow_pickle=False) as arrays:
            assert np.array_equal(arrays["targets"], targets.numpy())
            assert json.loads(str(arrays["training"])) == {"loss": "mse", "epochs": 5}
    if format == "pt":
        assert torch.equal(torch.load(tmp_path / "set.pt", weights_only=True)["targets"], targets)


@pytest.mark.parametrize("format", ["npz", "pt"])
def test_views_and_their_labels_are_kept(tmp_path, format):
    plain = make_set()
    count, classes = len(plain), plain.spec.num_classes
    views = Views(
        torch.tensor([0, 0, 255, 255], dtype=torch.uint8).repeat(count, 3, 1),
        torch.full((count, 3, classes), 40_000, dtype=torch.int32).to(torch.uint16),
        0.01,
        4.0,
        classes,
    )
    done = export(replace(plain, targets=views, training={"epochs": 5}), format, tmp_path / f"set.{format}")
    assert any("views.* are 3 views of each image with their labels" in line for line in done.lines)
    if format == "npz":
        with np.load(tmp_path / "set.npz", allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        assert np.array_equal(found["views.levels"], np.full((count, 3, classes), 40_000, np.uint16))
        assert np.array_equal(found["views.boxes"], views.boxes.numpy())
    else:
        found = torch.load(tmp_path / "set.pt", weights_only=True)
        assert torch.equal(found["views.boxes"], views.boxes) and found["views.levels"].dtype == torch.uint16
    assert float(found["views.step"]) == 0.01 and float(found["views.temperature"]) == 4.0
    assert json.loads(str(found["training"])) == {"epochs": 5}


@pytest.mark.parametrize(
    "names",
    [
        ("猫" * 86, "猫" * 87, "猫" * 88),
        ("🐈" * 64, "🐈" * 65, "x"),
        ("CON", "con.txt", "Lpt1"),
        ("com¹", "NUL .x", "conin$"),
        ("a\x7f", "a\x85", "a\u202e"),
        ("\u2066x\u2069", "\ufeff", "\u2028"),
        ("a .", "a. ", "a"),
        ("é", "e\u0301", "É"),
        ("aux", "AUX", "_aux"),
    ],
    ids=repr,
)
def test_any_class_name_is_a_folder_anywhere(tmp_path, names):
    folders = class_folders(names)
    alike = {unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()) for name in folders}
    assert len(alike) == len(names), "all different where case and composed accents are ignored"
    for name in folders:
        assert 0 < len(name.encode()) <= 220 and name == name.strip() and not name.endswith(".")
        assert not {unicodedata.category(sign) for sign in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not re.fullmatch(
            r"(con|prn|aux|nul|conin\$|(com|lpt)[0-9¹²³])", name.partition(".")[0].strip(), re.I
        )
    export(make_set(names=names), "png", tmp_path / "set")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == sorted(folders)


def test_a_file_name_of_the_longest_kind_can_be_written(tmp_path):
    export(make_set(), "npz", tmp_path / f"{'x' * 251}.npz")
    export(make_set(), "png", tmp_path / ("y" * 255))
