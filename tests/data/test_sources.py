"""What `load` accepts and refuses, and how known sets are recognised."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import makers as m
import numpy as np
import pytest

from condensery.data import KNOWN_SETS, load, recognise
from condensery.errors import BadInput
from condensery.records import ImageData


@pytest.mark.parametrize(
    "source", ["./nowhere", "/no/such/folder", "no/such/set.npz", "a.parquet", Path("nowhere")]
)
def test_missing_path_says_what_is_accepted(source: str | Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file or folder .*known name .*Hub id") as caught:
        load(source)
    assert str(source) in str(caught.value)


@pytest.mark.parametrize("source", ["", "  "])
def test_empty_source(source: str) -> None:
    with pytest.raises(BadInput, match="is empty"):
        load(source)


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("1,2")
    with pytest.raises(BadInput, match=r"set\.csv: unknown kind of file '\.csv'"):
        load(tmp_path / "set.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "size must be from 8"),
        ({"channels": 2}, "channels must be 1"),
        ({"test_fraction": 0.0}, "between 0 and 1, not 0.0"),
        ({"test_fraction": 1.0}, "between 0 and 1"),
        ({"test_fraction": float("nan")}, "between 0 and 1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load("digits", **options)


def test_image_data_is_passed_through() -> None:
    data = load("digits")
    assert load(data) is data
    with pytest.raises(BadInput, match="already decoded"):
        load(data, size=16)


def test_known_sets_are_consistent() -> None:
    for name, known in KNOWN_SETS.items():
        assert known.name == name
        assert len(known.mean) == len(known.std) == len(known.true_mean) == known.channels
        assert bool(known.hub_id) == (name != "digits")
    assert {name for name, known in KNOWN_SETS.items() if not known.flip} == {"mnist", "svhn", "digits"}


@pytest.mark.parametrize("name", KNOWN_SETS)
def test_recognised_by_what_it_holds(name: str) -> None:
    known = KNOWN_SETS[name]
    shape = (known.train_count, known.height, known.width, known.channels)
    assert recognise(shape, known.num_classes, known.true_mean) is known
    assert recognise((shape[0] - 1, *shape[1:]), known.num_classes, known.true_mean) is None
    assert recognise(shape, known.num_classes + 1, known.true_mean) is None
    assert recognise(shape, known.num_classes, [value + 2e-3 for value in known.true_mean]) is None


# --- the real sets ---


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real cache")


def real(name: str, folder: Path | None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> ImageData:
    if folder is None or not (folder / name).is_dir():
        pytest.skip(f"CONDENSERY_DATA names no folder with {name}/")
    monkeypatch.setenv("CONDENSERY_DATA", str(folder))
    return load(name, cache_dir=cache)


@pytest.mark.real
def test_real_mnist(real_cache: Path, real_data: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("mnist", real_data, real_cache, monkeypatch)
    assert data.spec.name == "mnist" and not data.spec.flip
    assert (data.spec.mean, data.spec.std) == ((0.1307,), (0.3081,))
    assert data.spec.class_names == tuple("0123456789")
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(data.train.labels)[:3].tolist() == [5923, 6742, 5958]


@pytest.mark.real
def test_real_cifar10(real_cache: Path, real_data: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("cifar10", real_data, real_cache, monkeypatch)
    assert data.spec.name == "cifar10" and data.spec.flip
    assert data.spec.std == (0.2023, 0.1994, 0.2010)
    assert data.spec.class_names[:3] == ("airplane", "automobile", "bird") and data.spec.num_classes == 10
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10


@pytest.mark.real
def test_real_three_and_eight(
    real_cache: Path, real_data: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real("mnist", real_data, real_cache, monkeypatch)
    data = load("mnist", classes=[3, 8], cache_dir=real_cache)
    assert (data.spec.name, data.spec.mean, data.spec.flip) == ("mnist", (0.1307,), False)
    assert np.bincount(data.train.labels).tolist() == [6131, 5851]
    assert np.bincount(data.test.labels).tolist() == [1010, 974]


@pytest.mark.real
def test_real_sets_as_they_unpack_are_the_same_sets(
    real_cache: Path, real_data: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in the layouts of their home pages, MNIST and CIFAR-10 give the bits that their tables give."""
    mnist = real("mnist", real_data, real_cache, monkeypatch)
    for title, part in (("train", mnist.train), ("t10k", mnist.test)):
        head = struct.pack(">IIII", 2051, *part.pixels.shape[:3])
        m.write(tmp_path / "raw" / f"{title}-images-idx3-ubyte", head + part.pixels.tobytes())
        labels = struct.pack(">II", 2049, len(part)) + part.labels.astype(np.uint8).tobytes()
        m.write(tmp_path / "raw" / f"{title}-labels-idx1-ubyte.gz", gzip.compress(labels))
    assert load(tmp_path / "raw", cache_dir=real_cache).fingerprint == mnist.fingerprint
    cifar = real("cifar10", real_data, real_cache, monkeypatch)
    for b in range(6):
        part, rows = (
            (cifar.train, slice(10_000 * b, 10_000 * (b + 1))) if b < 5 else (cifar.test, slice(None))
        )
        data = np.ascontiguousarray(part.pixels[rows].transpose(0, 3, 1, 2)).reshape(-1, 3072)
        labels = part.labels[rows].tolist()
        title = f"data_batch_{b + 1}" if b < 5 else "test_batch"
        m.write(tmp_path / "py" / title, pickle.dumps({"data": data, "labels": labels}, 2))
        records = np.concatenate([np.array(labels, np.uint8)[:, None], data], axis=1)
        m.write(tmp_path / "bin" / f"{title}.bin", records.tobytes())
    names = list(cifar.spec.class_names)
    m.write(tmp_path / "py" / "batches.meta", pickle.dumps({"label_names": names}, 2))
    m.write(tmp_path / "bin" / "batches.meta.txt", "\n".join(names))
    for place in ("py", "bin"):
        data = load(tmp_path / place, cache_dir=real_cache)
        assert data.fingerprint == cifar.fingerprint and data.spec == cifar.spec


@pytest.mark.parametrize("kind", ["image", "label"])
@pytest.mark.parametrize("source", ["digits", "folder", "npz"])
def test_columns_belong_to_tables(photos: Path, tmp_path: Path, source: str, kind: str) -> None:
    np.savez(tmp_path / "set.npz", images=np.eye(8)[None].repeat(4, 0), labels=[0, 0, 1, 1])
    place = {"digits": "digits", "folder": photos, "npz": tmp_path / "set.npz"}[source]
    load(place)  # also where the set is in the cache
    with pytest.raises(
        BadInput, match=f"{place} has no columns, so not 'x': --{kind}-column belongs to tables"
    ):
        load(place, **{f"{kind}_column": "x"})
