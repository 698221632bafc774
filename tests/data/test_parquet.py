"""Parquet files and the Hub, through the `datasets` library."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from pictures import noise, png
from PIL import Image

from condensery.data import hub, load
from condensery.errors import BadFile, BadInput

NAMES = ["cat", "dog"]


def table(count: int, seed: int = 0, **columns: Any) -> datasets.Dataset:
    """`count` colour images of 8x8 in column img, their classes in turn in column label, and more columns."""
    images = [{"bytes": png(noise(seed + i)), "path": f"{i}.png"} for i in range(count)]
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    values = {"img": images, "label": [i % 2 for i in range(count)]}
    made = datasets.Dataset.from_dict(values, features=features)
    for name, (column, feature) in columns.items():
        made = made.add_column(name, column).cast_column(name, feature)
    return made


def write(rows: datasets.Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)
    return path


@pytest.mark.parametrize("below", ["", "data", "plain_text"])
def test_sharded_folder_as_on_the_hub(tmp_path: Path, below: str) -> None:
    root = tmp_path / "a [1] *set"  # characters that mean something in file patterns
    write(table(6, 0), root / below / "train-00000-of-00002.parquet")
    write(table(4, 6), root / below / "train-00001-of-00002.parquet")
    write(table(2, 50), root / below / "test-00000-of-00001.parquet")
    data = load(root)
    assert data.spec.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.train.pixels, np.stack([noise(i) for i in range(10)]))
    np.testing.assert_array_equal(data.test.pixels, np.stack([noise(50), noise(51)]))
    assert data.train.labels.tolist() == [0, 1] * 5


def test_local_files_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(load(write(table(6), tmp_path / "set.parquet")).train) == 4


def test_file_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    write(table(6), tmp_path / "set" / "train-00000-of-00002.parquet")
    write(table(6).remove_columns("label"), tmp_path / "set" / "train-00001-of-00002.parquet")
    with pytest.raises(BadFile, match=r"train-00001-of-00002\.parquet has no column 'label'"):
        load(tmp_path / "set")


def test_splits_as_folders(tmp_path: Path) -> None:
    write(table(6), tmp_path / "set" / "train" / "0.parquet")
    write(table(2), tmp_path / "set" / "validation" / "0.parquet")
    assert len(load(tmp_path / "set").test) == 2


def test_other_splits_are_left_out_and_said_so(tmp_path: Path) -> None:
    for name, count in {"train": 6, "valid": 2, "extra": 8}.items():
        write(table(count), tmp_path / "set" / f"{name}-00000-of-00001.parquet")
    lines: list[str] = []
    data = load(tmp_path / "set", announce=lines.append)
    assert (len(data.train), len(data.test)) == (6, 2)
    assert lines[-1] == "Not used: extra (8 images)"


@pytest.mark.parametrize("as_file", [True, False])
def test_without_split_names_the_rows_are_split(tmp_path: Path, as_file: bool) -> None:
    path = write(table(10), tmp_path / "set" / "rows.parquet")
    data = load(path if as_file else path.parent)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert np.bincount(data.test.labels).tolist() == [1, 1]


def test_columns_without_types_are_found_by_name(tmp_path: Path) -> None:
    cells = [{"bytes": png(noise(i)), "path": None} for i in range(6)]
    rows = datasets.Dataset.from_dict(
        {"picture": cells, "target": ["b", "a", "b", "a", "b", "a"], "id": range(6)}
    )
    assert not isinstance(rows.features["picture"], datasets.Image)
    data = load(write(rows, tmp_path / "set.parquet"), test_fraction=0.34)
    assert data.spec.class_names == ("a", "b")
    assert (len(data.train), len(data.test)) == (4, 2)


def test_columns_named_by_option(tmp_path: Path) -> None:
    rows = table(6, kind=([5, 5, 5, 9, 9, 9], datasets.Value("int64")))
    path = write(rows, tmp_path / "set.parquet")
    assert load(path).spec.class_names == ("cat", "dog")
    assert load(path, image_column="img", label_column="kind").spec.class_names == ("5", "9")


def test_of_two_class_columns_the_usual_name_is_taken(tmp_path: Path) -> None:
    coarse = datasets.ClassLabel(names=["animal", "thing", "x"])
    path = write(table(6, coarse_label=([0, 1, 2, 0, 1, 2], coarse)), tmp_path / "set.parquet")
    assert load(path).spec.class_names == ("cat", "dog")
    with pytest.raises(BadInput, match=r"several label columns \(coarse_label, other\); .*--label-column"):
        both = table(6, coarse_label=([0] * 6, coarse), other=([0] * 6, coarse)).remove_columns("label")
        load(write(both, tmp_path / "both.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_column": "kind"}, "no column 'kind'; it has: img, label"),
        ({"image_column": "pixels"}, "no column 'pixels'; it has: img, label"),
        ({"image_column": "label"}, "column 'label' .* holds no images"),
        ({"label_column": "img"}, "column 'img' .* holds no classes"),
    ],
)
def test_wrong_columns(tmp_path: Path, options: dict[str, str], message: str) -> None:
    path = write(table(6), tmp_path / "set.parquet")
    with pytest.raises(BadInput, match=message):
        load(path, **options)


@pytest.mark.parametrize(("column", "kind"), [("img", "image"), ("label", "label")])
def test_missing_columns(tmp_path: Path, column: str, kind: str) -> None:
    path = write(
        table(6, id=(list(range(6)), datasets.Value("int64"))).remove_columns(column), tmp_path / "s.parquet"
    )
    with pytest.raises(BadInput, match=f"no {kind} column; name one with --{kind}-column, out of: .*id"):
        load(path)


def test_damaged_image_names_file_and_row(tmp_path: Path) -> None:
    cells = [{"bytes": png(noise(i)), "path": None} for i in range(6)]
    cells[4]["bytes"] = cells[4]["bytes"][:60]
    features = datasets.Features({"img": datasets.Image(), "label": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"img": cells, "label": [0, 1] * 3}, features=features)
    with pytest.raises(BadFile, match=r"cannot read the image row 4 of .*set\.parquet"):
        load(write(rows, tmp_path / "set.parquet"))


def test_missing_image_names_file_and_row(tmp_path: Path) -> None:
    cells = [{"bytes": png(noise(i)), "path": None} for i in range(5)] + [None]
    features = datasets.Features({"img": datasets.Image(), "label": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"img": cells, "label": [0, 1] * 3}, features=features)
    with pytest.raises(BadFile, match=r"row 5 of .*set\.parquet holds no image"):
        load(write(rows, tmp_path / "set.parquet"))


def test_missing_label_names_the_row(tmp_path: Path) -> None:
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    cells = [{"bytes": png(noise(i)), "path": None} for i in range(4)]
    for label, shown in ((None, "None"), (-1, "-1")):
        rows = datasets.Dataset.from_dict({"img": cells, "label": [0, 1, label, 1]}, features=features)
        with pytest.raises(BadInput, match=rf"row 2 of the train part .* no label \({shown}\)"):
            load(write(rows, tmp_path / f"{shown}.parquet"))


def test_class_without_training_image_is_left_out_and_said(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["ant", "cat", "dog"])
    rows = table(6).cast_column("label", datasets.Value("int64"))
    rows = rows.map(lambda row: {"label": row["label"] + 1}).cast_column("label", names)
    data = load(write(rows, tmp_path / "set" / "train.parquet").parent)
    assert data.spec.class_names == ("cat", "dog") and set(data.train.labels.tolist()) == {0, 1}
    assert data.found.lines()[-1] == "Not used: classes without images (ant)"
    write(rows.map(lambda row: {"label": 0}), tmp_path / "set" / "test.parquet")
    with pytest.raises(BadInput, match=r"class 'ant' .* has 6 test images but no training image"):
        load(tmp_path / "set")


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    write(table(6), tmp_path / "set" / "train-00000-of-00002.parquet")
    path = write(table(6), tmp_path / "set" / "train-00001-of-00002.parquet")
    good = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": good[: len(good) // 2], "text": b"hello"}[damage])
    with pytest.raises(BadFile, match=r"train-00001-of-00002\.parquet") as caught:
        load(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_only_a_test_part(tmp_path: Path) -> None:
    write(table(6), tmp_path / "set" / "test-00000-of-00001.parquet")
    with pytest.raises(BadInput, match="no training part"):
        load(tmp_path / "set")


def test_several_sets_in_one_folder(tmp_path: Path) -> None:
    for name in ("small", "large"):
        write(table(6), tmp_path / "set" / name / "train.parquet")
    with pytest.raises(BadInput, match=r"several sets \(large, small\)"):
        load(tmp_path / "set")
    assert len(load(tmp_path / "set" / "small").train) == 4


def test_jpeg_in_parquet_is_turned_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(noise(1, 16, 8)).save(stream, "JPEG", exif=exif)
    features = datasets.Features({"img": datasets.Image(), "label": datasets.Value("int64")})
    cells = [{"bytes": stream.getvalue(), "path": None}] * 4
    rows = datasets.Dataset.from_dict({"img": cells, "label": [0, 1] * 2}, features=features)
    assert load(write(rows, tmp_path / "set.parquet")).spec.shape == (3, 8, 16)


# --- the Hub ---


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub.socket, "create_connection", refuse)


@pytest.mark.parametrize(
    ("source", "shown"), [("mnist", "ylecun/mnist"), ("someone/some-set", "someone/some-set")]
)
def test_no_network_is_said_at_once(offline: None, source: str, shown: str) -> None:
    with pytest.raises(BadInput, match=f"{shown!r} .*no network.*CONDENSERY_DATA"):
        load(source)


def test_known_name_is_looked_up_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    write(table(6), tmp_path / "sets" / "mnist" / "train-00000-of-00001.parquet")
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path / "sets"))
    data = load("mnist")
    assert len(data.train) == 4 and data.spec.name == "custom" and not data.spec.flip
    with pytest.raises(BadInput, match="uoft-cs/cifar10"):
        load("cifar10")


def test_hub_set_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def fake(hub_id: str, config: str | None = None) -> datasets.DatasetDict:
        asked.append((hub_id, config))
        return datasets.DatasetDict({"train": table(6), "valid": table(2, 50)})

    monkeypatch.setattr(hub, "_need_network", lambda hub_id: None)
    monkeypatch.setattr(datasets, "load_dataset", fake)
    data = load("someone/some-set:small")
    np.testing.assert_array_equal(data.train.pixels, np.stack([noise(i) for i in range(6)]))
    np.testing.assert_array_equal(data.test.pixels, np.stack([noise(50), noise(51)]))
    assert load("someone/some-set:small").fingerprint == data.fingerprint
    assert asked == [("someone/some-set", "small")]
    assert load("someone/some-set:small", test_fraction=0.3, label_column="label").spec == data.spec
    assert asked == [("someone/some-set", "small")] * 2, "other options make another entry"
    load("svhn")
    assert asked[-1] == ("ufldl-stanford/svhn", "cropped_digits")


def test_hub_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(hub_id: str, config: str | None = None) -> None:
        raise ValueError("Config name is missing.\nPlease pick one among: ['a', 'b']")

    monkeypatch.setattr(hub, "_need_network", lambda hub_id: None)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(BadInput, match=r"cannot get 'someone/set' .*pick one among") as caught:
        load("someone/set")
    assert "\n" not in str(caught.value)
