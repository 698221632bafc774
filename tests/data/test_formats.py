"""Sets as they lie on disk when they are wrong: cut off, of another length, out of range, or with code in them."""

from __future__ import annotations

import bz2
import datetime
import gzip
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import makers as m
import numpy as np
import pytest

from condensery.data import load
from condensery.data.literal_pickle import read_literals
from condensery.errors import BadFile, BadInput


def cut(name: str) -> Callable[[Path], None]:
    return lambda root: os.truncate(root / name, (root / name).stat().st_size - 100)


def byte(name: str, place: int, value: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[place] = value
        (root / name).write_bytes(content)

    return change


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(content) and None


def longer_labels(root: Path) -> None:
    m.write(root / "train-labels-idx1-ubyte", struct.pack(">II", 2049, 13) + bytes(13))


def label_seven(root: Path) -> None:
    m.cifar10(root, labels=[0, 1, 7] * 2)


IDX, GZ = "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"
ZIPPED = gzip.compress(struct.pack(">IIII", 2051, 12, 28, 28) + bytes(12 * 28 * 28))
WRONG = [
    ("idx cut off", m.idx, cut(IDX), r"declares 9,424 bytes and holds 9,324; fetch it again"),
    ("idx of another kind", m.idx, put(IDX, struct.pack(">I", 7) + bytes(99)), "no idx file of 3 dimensions"),
    ("empty idx", m.idx, put(IDX, b""), "cut off: 4 bytes are missing"),
    ("more labels than images", m.idx, longer_labels, "has 13 labels, but .* has 12 images"),
    ("no labels", m.idx, lambda r: (r / "train-labels-idx1-ubyte").unlink(), "no file of labels beside it"),
    (
        "gzip cut off",
        m.idx_gz,
        put(GZ, ZIPPED[:-30]),
        "cannot read .*train-images-idx3-ubyte.gz: Compressed file ended",
    ),
    (
        "gzip damaged",
        m.idx_gz,
        put(GZ, ZIPPED[:20] + b"\xff\xff" + ZIPPED[22:]),
        "train-images-idx3-ubyte.gz",
    ),
    (
        "gzip bomb",
        m.idx_gz,
        put(GZ, gzip.compress(struct.pack(">IIII", 2051, 1 << 30, 28, 28))),
        "declare 842 GB",
    ),
    ("pickle cut off", m.cifar10, cut("data_batch_1"), "cannot read .*data_batch_1.*fetch it again"),
    ("a label that has no name", m.cifar10, label_seven, "training image 2 .* has label 7"),
    ("no pickle", m.cifar10, put("data_batch_2", b"hello"), "cannot read .*data_batch_2"),
    ("no dictionary", m.cifar10, put("data_batch_1", pickle.dumps([1, 2])), "holds no dictionary"),
    ("no labels in it", m.cifar10, put("data_batch_1", pickle.dumps({"data": 1})), "has no 'labels'"),
    (
        "rows of another length",
        m.cifar10,
        put("data_batch_1", pickle.dumps({"data": np.zeros((2, 9), np.uint8), "labels": [0, 1]})),
        "no rows of 3072 bytes",
    ),
    (
        "fewer labels",
        m.cifar10,
        put("data_batch_1", pickle.dumps({"data": m.cifar_rows(1)[0], "labels": [0, 1]})),
        "3 images but 2 labels",
    ),
    (
        "labels that are text",
        m.cifar10,
        put("data_batch_1", pickle.dumps({"data": m.cifar_rows(1)[0], "labels": ["a"] * 3})),
        "labels is no list of whole numbers",
    ),
    (
        "names that are numbers",
        m.cifar10,
        put("batches.meta", pickle.dumps({"label_names": [1]})),
        "no list of names",
    ),
    ("binary cut off", m.cifar10_binary, cut("data_batch_1.bin"), "no whole number of records of 3,073"),
    (
        "binary label without a name",
        m.cifar10_binary,
        put("data_batch_1.bin", bytes([9]) + bytes(3072)),
        "has label 9",
    ),
    (".mat cut off", m.svhn, cut("train_32x32.mat"), "train_32x32.mat has no arrays X and y"),
    (
        ".mat that kills its reader",
        m.svhn,
        byte("train_32x32.mat", 145, 14),
        "cannot read .*train_32x32.mat: ",
    ),
    (".mat without arrays", m.svhn, put("train_32x32.mat", b"x" * 300), "cannot read .*train_32x32.mat"),
    (
        "npz without labels",
        m.imagenet_npz,
        lambda r: m.npz(r / "train_data_batch_1.npz", data=np.zeros((2, 768), np.uint8)),
        "no arrays data and labels",
    ),
    (
        "npz with other rows",
        m.imagenet_npz,
        lambda r: m.npz(r / "train_data_batch_1.npz", data=np.zeros((2, 9), np.uint8), labels=[1, 2]),
        "expected uint8 rows of 3 x side x side",
    ),
    (
        "npz with fewer labels",
        m.imagenet_npz,
        lambda r: m.npz(r / "train_data_batch_1.npz", data=np.zeros((2, 768), np.uint8), labels=[1]),
        "2 images but 1 labels",
    ),
]


@pytest.mark.parametrize(("what", "make", "harm", "said"), WRONG, ids=[row[0] for row in WRONG])
def test_one_line_that_names_the_file(
    what: str, make: Callable[[Path], Any], harm: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    make(root)
    harm(root)
    with pytest.raises(BadInput, match=said) as caught:
        load(root)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert not list((tmp_path / "cache").glob("tmp-*")), "nothing is left behind"


@pytest.mark.parametrize("text", ["no numbers", "1 1:x", "1 0:5", "1 1:nan", "1.5 1:1", ""])
def test_text_that_is_no_libsvm(tmp_path: Path, text: str) -> None:
    m.write(tmp_path / "set" / "usps", text)
    m.write(tmp_path / "set" / "usps.t", m.libsvm_text(2))
    with pytest.raises(BadInput, match="expected label 1:value"):
        load(tmp_path / "set")


# --- pickles ---


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def by_opcodes(path: Path) -> bytes:
    """The same, with the name put together on the stack (protocol 4)."""
    name = str(path).encode()
    return b"\x80\x04\x8c\x02io\x8c\x04open\x93\x8c" + bytes([len(name)]) + name + b"\x8c\x01w\x86R."


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "open": lambda path: pickle.dumps({"data": 1, "labels": Evil(path)}),
    "open, protocol 0": lambda path: pickle.dumps([Evil(path)], 0),
    "name on the stack": by_opcodes,
    "system": lambda path: f"cposix\nsystem\n(S'touch {path}'\ntR.".encode(),
    "numpy's own reader": lambda path: b"cnumpy\nload\n(S'x'\ntR.",
    "a class instance": lambda path: b"(iposix\nsystem\nS'x'\n.",
    "a new object": lambda path: pickle.dumps(datetime.date(2020, 1, 1)),
    "extension codes": lambda path: b"\x82\x01.",
    "persistent id": lambda path: b"Px\n.",
    "build on a list": lambda path: b"]}b.",
    "array of objects": lambda path: pickle.dumps(np.array([Evil(path)], dtype=object)),
    "call of an array": lambda path: b"cnumpy\nndarray\n(I1\ntR.",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_code_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "ran"
    path = m.write(tmp_path / "batch", HOSTILE[kind](mark))
    with pytest.raises(BadFile, match=r"nothing in it was run|cannot read"):
        read_literals(path)
    assert not mark.exists()
    root = m.cifar10(tmp_path / "set")
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (root / name).write_bytes(path.read_bytes())
    with pytest.raises(BadFile):
        load(root)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_that_were_written(tmp_path: Path, protocol: int) -> None:
    values = {
        "array": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big": np.array([1, 70000], dtype=">i4"),
        b"bytes": b"\x00\xff",
        "text": "é",
        "numbers": [1, -5, 2**40, 2.5, True, None],
        "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        7: {},
    }
    found = read_literals(m.write(tmp_path / "values", pickle.dumps(values, protocol)))
    assert list(found) == list(values)
    for key, value in values.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value


def test_a_pickle_that_declares_a_long_text(tmp_path: Path) -> None:
    path = m.write(tmp_path / "batch", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"short.")
    with pytest.raises(BadFile, match="cannot read"):
        read_literals(path)


def test_a_pickle_of_shared_lists_ends(tmp_path: Path) -> None:
    """A list that holds itself twice, a hundred times over, would be 2^100 elements if anything walked it."""
    value: Any = []
    for _ in range(100):
        value = [value, value]
    root = m.cifar10(tmp_path / "set")
    (root / "data_batch_1").write_bytes(pickle.dumps({"data": value, "labels": value}, 2))
    with pytest.raises(BadFile, match="no rows of 3072"):
        load(root)


# --- declared sizes ---


def bomb(path: Path, declared: int = 6 << 30) -> Path:
    """A .npz of some megabytes whose images are 6 GB of zeros, as numpy would write it."""
    block = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as stream:
            header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({declared // 3072}, 32, 32, 3), }}"
            stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n")
            for _ in range(declared >> 20):
                stream.write(block)
        with archive.open("labels.npy", "w") as stream:
            np.save(stream, np.arange(declared // 3072) % 2)
    return path


def test_an_npz_that_declares_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.npz", 512 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadFile, match=r"declare 537 MB in a file of .*nothing was read"):
        load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


def test_an_npz_whose_header_lies(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 3000, 3000), }\n"
        archive.writestr(
            "images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(99)
        )
    with pytest.raises(BadFile, match=r"'images' declares 540,000,000,000 bytes"):
        load(path)


@pytest.mark.parametrize(
    "header", [b"{'descr': '|u1', (((", b"{'descr': 'O8'}", b"\xff\xfe", b"[" * 3000, b"{}", b"1"]
)
@pytest.mark.parametrize("version", [1, 2, 3, 9])
def test_an_npz_with_a_damaged_header(tmp_path: Path, header: bytes, version: int) -> None:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(99))
    with pytest.raises(BadFile, match=r"cannot read .*set\.npz"):
        load(tmp_path / "set.npz")


def test_text_that_unpacks_without_end(tmp_path: Path) -> None:
    m.write(tmp_path / "set" / "usps.bz2", bz2.compress(b"1 1:" + b"0" * (8 << 20)))
    m.write(tmp_path / "set" / "usps.t.bz2", bz2.compress(m.libsvm_text(2).encode()))
    with pytest.raises(BadFile, match="unpacks to more than an image set can be"):
        load(tmp_path / "set")


def test_arrays_are_read_in_little_memory(tmp_path: Path) -> None:
    """79 MB of images in a process that may use 60 MB more than it starts with."""
    images = np.random.default_rng(0).integers(0, 256, (400, 256, 256, 3)).astype(np.uint8)
    path = m.npz(tmp_path / "set.npz", images=images, labels=np.arange(400) % 2)
    del images
    script = (
        "import sys, resource\n"
        "from condensery.data import load\n"
        "load('digits')\n"
        "size = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (size + (60 << 20),) * 2)\n"
        "assert len(load(sys.argv[1], size=8).train) == 320\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
