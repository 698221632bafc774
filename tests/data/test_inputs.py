"""One table: what people give, and what is right. Every row is loaded, and its labels compared with its pixels."""

from __future__ import annotations

import bz2
import json
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import makers as m
import numpy as np
import pyarrow as pa
import pytest

from condensery.data import load
from condensery.errors import BadInput

NAMES = m.NAMES


@dataclass(frozen=True)
class Row:
    """An input and what is right.

    Attributes:
        what: the input in words.
        make: makes it in a new folder; may return what to load instead of that folder.
        train, test: images of the parts.
        classes: names, in order.
        says: words that must stand in the lines.
        refused: words that must stand in the refusal.
        options: of `load`.
    """

    what: str
    make: Callable[[Path], Any]
    train: int = 9
    test: int = 6
    classes: tuple[str, ...] = NAMES
    says: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def parts(train: str, test: str, *more: str) -> Callable[[Path], None]:
    """Class folders in folders of these names: 9 images in the first, 6 in the others."""

    def make(root: Path) -> None:
        m.folders(root / train)
        for k, name in enumerate((test, *more)):
            m.folders(root / name, 2, start=20 + 10 * k)

    return make


def steps(*calls: Callable[[Path], Any]) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for call in calls:
            call(root)

    return make


def tables(**of_part: Any) -> Callable[[Path], None]:
    """Parquet files, one for each table."""

    def make(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for name, rows in of_part.items():
            rows().to_parquet(root / f"{name}.parquet")

    return make


def table_and(columns: Callable[[], dict[str, Any]], **more: Any) -> Callable[[Path], Path]:
    """One Parquet file of 15 images with these columns beside `image`."""
    return lambda root: m.parquet(root / "set.parquet", {"image": m.cells(5), **columns()}, **more)


def arrays_file(**values: Any) -> Callable[[Path], Path]:
    return lambda root: m.npz(root / "set.npz", **{key: value() for key, value in values.items()})


def x(count: int, start: int = 0) -> Callable[[], np.ndarray]:
    return lambda: m.arrays(count, start)[0]


def y(count: int, map_: Callable[[np.ndarray], Any] = lambda labels: labels) -> Callable[[], Any]:
    return lambda: map_(m.arrays(count)[1])


def listed(
    root: Path, line: str, head: str = "", to: str = "labels.csv", names: list[str] | None = None
) -> None:
    """A flat folder of 15 images, and a list of their classes."""
    found = m.flat(root / "images", 15) if names is None else names
    lines = [
        line.format(name=name, stem=name[:-4], label=NAMES[k % 3], c=k % 3) for k, name in enumerate(found)
    ]
    m.write(root / to, "\n".join(([head] if head else []) + lines) + "\n")


def one_list_for_both(root: Path) -> None:
    lines = ["file_name,label"]
    for part, count, start in (("train", 9, 0), ("test", 6, 20)):  # the same names in both parts
        lines += [f"{part}/{name},{NAMES[k % 3]}" for k, name in enumerate(m.flat(root / part, count, start))]
    m.write(root / "metadata.csv", "\n".join(lines) + "\n")


def lists_of_one_name(root: Path, *parts: str) -> None:
    """Flat parts whose files are called alike, and a list for each of `parts`."""
    for part, count, start in (("train", 9, 0), ("test", 6, 20)):
        lines = [f"{name},{NAMES[k % 3]}" for k, name in enumerate(m.flat(root / part, count, start))]
        if part in parts:
            m.write(root / f"{part}_labels.csv", "\n".join(["file,label", *lines]) + "\n")


def contest(root: Path) -> None:
    """Flat parts; the classes of train in a list, and a list of test images whose labels mean nothing."""
    found = m.flat(root / "train", 15, stem="")
    m.write(
        root / "train.csv", "id,has_class\n" + "".join(f"{n},{NAMES[k % 3]}\n" for k, n in enumerate(found))
    )
    found = m.flat(root / "test", 6, stem="t")
    m.write(root / "sample_submission.csv", "id,has_class\n" + "".join(f"{name},cat\n" for name in found))


def gtsrb_kaggle(root: Path) -> None:
    m.folders(root / "Train", names=("0", "1", "2"))
    lines = [f"30,{k % 3},Test/{name}" for k, name in enumerate(m.flat(root / "Test"))]
    m.write(root / "Test.csv", "\n".join(["Width,ClassId,Path", *lines]) + "\n")
    lines = [f"30,{c},Train/{c}/{c}_{i}.png" for c in range(3) for i in range(3)]
    m.write(root / "Train.csv", "\n".join(["Width,ClassId,Path", *lines]) + "\n")
    m.flat(root / "Meta", 3, stem="")


def tiny_imagenet(root: Path) -> None:
    names = ("n02", "n01", "n03")  # wnids.txt is not sorted
    m.write(root / "wnids.txt", "\n".join(names) + "\n")
    m.write(root / "words.txt", "n01\tword\n")
    m.folders(root / "train", names=names, below="images")
    m.write(root / "train" / "n01" / "n01_boxes.txt", "n01_0.png\t0\t10\t63\t58\n")
    found = m.flat(root / "val" / "images", stem="val_")
    m.write(
        root / "val" / "val_annotations.txt",
        "".join(f"{n}\t{names[k % 3]}\t0\t3\t4\t6\n" for k, n in enumerate(found)),
    )
    m.flat(root / "test" / "images", 3, stem="test_")


def imagenet_kaggle(root: Path) -> None:
    base = root / "ILSVRC" / "Data" / "CLS-LOC"
    m.folders(base / "train")
    lines = [
        f"{name[:-4]},{NAMES[k % 3]} 1 2 60 50 {NAMES[k % 3]} 3 4 5 6"
        for k, name in enumerate(m.flat(base / "val"))
    ]
    m.write(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *lines]) + "\n")
    m.flat(base / "test", 3, stem="test_")


def gtsrb(root: Path) -> None:
    names = ("00000", "00001", "00002")
    m.folders(root / "GTSRB" / "Final_Training" / "Images", names=names)
    for name in names:
        m.write(
            root / "GTSRB" / "Final_Training" / "Images" / name / f"GT-{name}.csv",
            f"Filename;ClassId\n{name}_0.png;9\n",
        )
    test = root / "GTSRB" / "Final_Test"
    lines = [f"{name};30;30;5;5;25;25;{k % 3}" for k, name in enumerate(m.flat(test / "Images"))]
    m.write(
        test / "GT-final_test.csv", "\n".join(["Filename;Width;Height;X1;Y1;X2;Y2;ClassId", *lines]) + "\n"
    )


def usps(root: Path) -> None:
    m.write(root / "usps.bz2", bz2.compress(m.libsvm_text(3).encode()))
    m.write(root / "usps.t.bz2", bz2.compress(m.libsvm_text(2, 20).encode()))


def wide(top: int, colour: bool = False) -> Callable[[Path], None]:
    """16-bit grey PNG files whose values reach up to `top`."""

    def make(root: Path) -> None:
        for part, count, start in (("train", 3, 0), ("test", 2, 20)):
            for c, name in enumerate(NAMES):
                for i in range(count):
                    deep = m.grey(c, start + i).astype(np.int64) * top // 199
                    m.save(root / part / name / f"{i}.png", deep.astype(np.uint16))

    return make


def unicode_forms(root: Path) -> None:
    for part, form, count in (("train", "NFC", 3), ("test", "NFD", 2)):
        m.folders(
            root / part, count, names=[unicodedata.normalize(form, name) for name in ("câble", "dôme", "été")]
        )


def circle(root: Path) -> None:
    parts("train", "test")(root)
    (root / "train" / "cat" / "again").symlink_to(root / "train", target_is_directory=True)
    (root / "up").symlink_to(".", target_is_directory=True)


def paths_beside(root: Path) -> Path:
    m.flat(root / "pictures", 15)
    names = [f"pictures/img_{k}.png" for k in range(15)]
    return m.parquet(root / "set.parquet", {"image": names, "label": [NAMES[k % 3] for k in range(15)]})


def saved_to_disk(root: Path) -> None:
    import datasets

    parts_ = {"train": m.rows(3), "test": m.rows(2, 20)}
    datasets.DatasetDict(parts_).save_to_disk(str(root))


def damaged_images(root: Path) -> None:
    parts("train", "test")(root)
    (root / "train" / "cat" / "cat_1.png").write_bytes(b"\x89PNG cut")
    (root / "test" / "emu" / "emu_0.png").write_bytes(b"")


def unknown_feature(root: Path) -> Path:
    """A column of a type that no library here knows, noted as `datasets` notes it."""
    note = {"info": {"features": {"image": {"_type": "Image"}, "scan": {"_type": "Hologram9"}}}}
    columns = {"image": m.cells(5), "label": np.repeat(NAMES, 5), "scan": pa.array([b"x"] * 15)}
    return m.parquet(root / "set.parquet", columns, {b"huggingface": json.dumps(note).encode()})


def parts_inside(root: Path) -> None:
    for c, name in enumerate(NAMES):
        for part, count, start in (("train", 3, 0), ("test", 2, 20)):
            for i in range(count):
                m.save(root / name / part / f"{i}.png", m.picture(c, start + i))


SPLIT = {"train": 12, "test": 3}
ROWS = [
    # parts of folders
    *[
        Row(f"parts called {a} and {b}", parts(a, b), says=(f"{a} (9 images) to train on, {b} (6)",))
        for a, b in [
            ("Training", "Testing"),
            ("TRAIN", "TEST"),
            ("seg_train", "seg_test"),
            ("train", "testing"),
            ("train_set", "test_set"),
            ("TrainImages", "TestImages"),
            ("training", "val"),
            ("train", "valid"),
            ("Train", "Validation"),
            ("Final_Training", "Online-Test"),
        ]
    ],
    Row("training, validation and test", parts("train", "test", "val"), says=("Not used: val (6 images)",)),
    Row(
        "validation chosen by option",
        parts("train", "test", "val"),
        says=("val (6) to test on", "Not used: test (6 images)"),
        options={"test_split": "val"},
    ),
    Row(
        "folds with the same sub-folders",
        parts("fold1", "fold2"),
        refused=("parts or folds", "--train-split fold1"),
    ),
    Row(
        "folds named by options",
        parts("fold1", "fold2"),
        options={"train_split": "fold1", "test_split": "fold2"},
    ),
    Row(
        "two folds for training",
        parts("a", "b", "c"),
        train=15,
        options={"train_split": "a,b", "test_split": "c"},
        says=("a + b (15 images)",),
    ),
    Row(
        "an option that names no part",
        parts("train", "test"),
        options={"test_split": "tset"},
        refused=("no part 'tset'", "train"),
    ),
    Row(
        "a name for both parts",
        parts("train", "test"),
        options={"train_split": "test", "test_split": "test"},
        refused=("name the same part",),
    ),
    Row(
        "class folders beside train/",
        steps(parts("train/x", "bus"), lambda r: m.folders(r / "train", names=("diesel", "steam"))),
        refused=("train", "bus", "--train-split train", "--train-split ."),
    ),
    Row(
        "train is a vehicle",
        lambda r: m.folders(r, 5, names=("bus", "car", "train")),
        **SPLIT,
        classes=("bus", "car", "train"),
    ),
    Row(
        "train is a class by option",
        steps(
            lambda r: m.folders(r, 5, names=("bus", "car")),
            lambda r: [
                m.save(r / "train" / kind / f"{i}.png", m.picture(2, 30 + i))
                for kind in "ab"
                for i in range(3)
            ],
        ),
        options={"train_split": "."},
        train=13,
        test=3,
        classes=("bus", "car", "train"),
    ),
    Row(
        "train/ and test/ beside something else",
        steps(parts("train", "test"), lambda r: m.flat(r / "extra")),
        says=("Not used: extra/ (6 images)",),
    ),
    Row(
        "a flat test folder without labels",
        steps(lambda r: m.folders(r / "train", 5), lambda r: m.flat(r / "test")),
        **SPLIT,
        says=("12 images to train on, 3 split off", "test (6 images without labels)"),
    ),
    Row(
        "a flat test folder beside class folders",
        steps(lambda r: m.folders(r, 5), lambda r: m.flat(r / "test")),
        **SPLIT,
        says=("test (6 images without labels)",),
    ),
    Row("test/ with classes beside class folders", steps(m.folders, lambda r: m.folders(r / "test", 2, 20))),
    Row("parts inside each class", parts_inside, says=("each class folder holds its own parts",)),
    Row("only a test folder", steps(lambda r: m.folders(r / "test")), refused=("no training part",)),
    Row(
        "train/ without any labels",
        steps(lambda r: m.flat(r / "train"), lambda r: m.flat(r / "test")),
        refused=("no labels", "CSV or text file"),
    ),
    Row(
        "two training folders",
        parts("train_a", "test", "train_b"),
        refused=("several parts for train", "--train-split"),
    ),
    # wrapping, what lies beside, names
    Row(
        "wrapped by a zip program",
        lambda r: parts("train", "test")(r / "archive" / "flowers"),
        says=("set lies in archive/flowers/",),
    ),
    Row(
        "each part wrapped",
        steps(
            lambda r: m.folders(r / "seg_train" / "seg_train"),
            lambda r: m.folders(r / "seg_test" / "seg_test", 2, 20),
            lambda r: m.flat(r / "seg_pred" / "seg_pred"),
        ),
        says=("seg_pred/ (6 images)",),
    ),
    Row(
        "a repository",
        steps(
            lambda r: m.folders(r / "Dataset", 5),
            lambda r: m.flat(r / "Examples"),
            lambda r: m.write(r / "README.md", "x"),
        ),
        **SPLIT,
        says=("set lies in Dataset/", "Examples/ (6 images); README.md"),
    ),
    Row(
        "a group beside a class",
        steps(lambda r: m.folders(r / "animals"), lambda r: m.flat(r / "cars")),
        refused=("animals holds sub-folders", "--train-split . takes animals, cars"),
    ),
    Row(
        "two groups of classes",
        steps(
            lambda r: m.folders(r / "a", names=("cat", "dog")),
            lambda r: m.folders(r / "b", names=("car", "bus")),
        ),
        refused=("classes are these or those above",),
    ),
    Row(
        "other files beside images",
        steps(
            parts("train", "test"),
            lambda r: m.write(r / "train/cat/notes.txt", "x"),
            lambda r: m.write(r / "labels.xml", "x"),
        ),
        says=("Not used: labels.xml, train/cat/notes.txt",),
    ),
    Row(
        "many other files",
        steps(
            parts("train", "test"), *[lambda r, i=i: m.write(r / f"train/cat/{i}.xml", "x") for i in range(5)]
        ),
        says=("5 files .xml (train/cat/0.xml, ...)",),
    ),
    Row(
        "a folder of other files beside classes",
        steps(lambda r: m.folders(r, 5), lambda r: m.write(r / "boxes" / "a.xml", "x")),
        **SPLIT,
        says=("Not used: boxes/a.xml",),
    ),
    Row(
        "a class of pictures that are not read",
        steps(lambda r: m.folders(r, 5), lambda r: m.write(r / "fox" / "a.heic", "x")),
        refused=("class folder 'fox'", "fox/a.heic"),
    ),
    Row(
        "an empty class folder",
        steps(lambda r: m.folders(r, 5), lambda r: (r / "fox").mkdir()),
        refused=("'fox'", "no image"),
    ),
    Row(
        "only a test folder, to train on",
        steps(lambda r: m.folders(r / "test", 5)),
        **SPLIT,
        options={"train_split": "test"},
    ),
    Row(
        "an image beside class folders",
        steps(lambda r: m.folders(r, 5), lambda r: m.flat(r, 1)),
        refused=("img_0.png lies outside",),
    ),
    Row("names in two Unicode forms", unicode_forms, classes=("câble", "dôme", "été")),
    Row(
        "a test class that differs by a letter",
        steps(
            lambda r: m.folders(r / "train"), lambda r: m.folders(r / "test", 2, names=("cat", "Dog", "emu"))
        ),
        refused=("class 'Dog' of the test part", "did you mean 'dog'"),
    ),
    Row(
        "links that go in circles",
        circle,
        says=("the link train/cat/again, which leads back", "the link up, which"),
    ),
    Row(
        "a class without test images",
        steps(parts("train", "test"), lambda r: shutil.rmtree(r / "test" / "dog")),
        test=4,
        says=("no test images of dog",),
    ),
    Row(
        "duplicates between the parts",
        steps(
            parts("train", "test"), lambda r: shutil.copy(r / "train/cat/cat_0.png", r / "test/cat/again.png")
        ),
        test=7,
        says=("1 of 7 test images are training images too",),
    ),
    Row(
        "nothing but a zip file",
        steps(lambda r: m.write(r / "flowers.zip", b"PK")),
        refused=("flowers.zip; unpack it first",),
    ),
    # lists of labels
    Row(
        "a flat folder and a CSV file",
        lambda r: listed(r, "{name},{label}", "file,label"),
        **SPLIT,
        says=("stand in labels.csv",),
    ),
    Row("names without ending, text labels", lambda r: listed(r, "{stem},{label}", "id,breed"), **SPLIT),
    Row(
        "with folders, semicolons",
        lambda r: listed(r, "images/{name};{label};1", "path;class;width"),
        **SPLIT,
    ),
    Row(
        "tabs, without names of columns", lambda r: listed(r, "{name}\t{label}\t0\t1", to="list.txt"), **SPLIT
    ),
    Row(
        "numbers as labels", lambda r: listed(r, "{name},{c}", "file,label"), **SPLIT, classes=("0", "1", "2")
    ),
    Row(
        "metadata.csv as the Hub has it",
        lambda r: listed(r, "images/{name},{label},a text", "file_name,label,text", "metadata.csv"),
        **SPLIT,
    ),
    Row(
        "metadata.jsonl",
        lambda r: listed(r, '{{"file_name": "images/{name}", "label": "{label}"}}', to="metadata.jsonl"),
        **SPLIT,
    ),
    Row(
        "two columns that may be the class",
        lambda r: listed(r, "{name},{label},x", "file,kind,colour"),
        refused=("several columns that may be the class", "kind, colour", "--label-column"),
    ),
    Row(
        "the class by option",
        lambda r: listed(r, "{name},x,{label}", "file,kind,colour"),
        **SPLIT,
        options={"label_column": "colour"},
    ),
    Row(
        "a list that names missing files",
        lambda r: listed(r, "{name},{label}", "file,label", names=[*m.flat(r / "images", 15), "gone.png"]),
        refused=("names 1 image absent from", "gone.png"),
    ),
    Row(
        "a list that misses files",
        lambda r: listed(r, "{name},{label}", "file,label", names=m.flat(r / "images", 15)[:-1]),
        refused=("gives no class to 1 of 15", "img_14.png"),
    ),
    Row(
        "an image with two classes",
        lambda r: listed(r, "{name},{label}", "file,label\nimg_0.png,dog"),
        refused=("two classes", "img_0.png"),
    ),
    Row(
        "two lists of the same images",
        steps(
            lambda r: listed(r, "{name},{label}", "file,label"),
            lambda r: m.write(
                r / "other.csv", "file,label\n" + "".join(f"img_{k}.png,cat\n" for k in range(9))
            ),
        ),
        refused=("several lists",),
    ),
    Row(
        "class folders, and a list for the test part",
        steps(
            lambda r: m.folders(r / "train"),
            lambda r: m.write(
                r / "test.csv",
                "file,class\n"
                + "".join(f"test/{n},{NAMES[k % 3]}\n" for k, n in enumerate(m.flat(r / "test"))),
            ),
        ),
        says=("classes of test stand in test.csv",),
    ),
    Row("a CSV file without names of columns", lambda r: listed(r, "{name},{label}"), **SPLIT),
    Row(
        "numbers as names and as labels",
        lambda r: listed(r, "{c},{stem}", "label,id", names=m.flat(r / "i", 15, stem="")),
        **SPLIT,
        classes=("0", "1", "2"),
    ),
    Row("one list for both parts", one_list_for_both),
    Row(
        "a contest with a sample submission",
        contest,
        **SPLIT,
        says=("test (6 images without labels)", "sample_submission.csv"),
    ),
    Row(
        "GTSRB from Kaggle",
        gtsrb_kaggle,
        classes=("0", "1", "2"),
        says=("Meta/ (3 images)", "classes of Test stand in Test.csv"),
    ),
    # tables
    Row(
        "tables below tables",
        steps(
            tables(train=lambda: m.rows(3), test=lambda: m.rows(2, 20)),
            lambda r: tables(more=lambda: m.rows(1))(r / "old"),
        ),
        says=("Not used: old/more.parquet",),
    ),
    Row(
        "a label that is not a number",
        table_and(lambda: {"label": [float("nan"), *np.repeat([0.0, 1.0], 7)]}),
        refused=("row 0", "no label"),
    ),
    Row(
        "names in another order in the test file",
        tables(train=lambda: m.rows(3), test=lambda: m.rows(2, 20, NAMES[::-1])),
        says=("labels go by name",),
    ),
    Row(
        "names in another order in a shard",
        lambda r: tables(
            **{
                "train-00000-of-00002": lambda: m.rows(1),
                "test": lambda: m.rows(2, 20),
                "train-00001-of-00002": lambda: m.rows(2, 5, NAMES[::-1]),
            }
        )(r),
        says=("different orders; labels go by name",),
    ),
    Row(
        "text in a shard, numbers in the next",
        lambda r: tables(
            **{
                "train-00000-of-00002": lambda: m.rows(1, names=None),
                "test": lambda: m.rows(2, 20),
                "train-00001-of-00002": lambda: m.rows(2, 5),
            }
        )(r),
    ),
    Row(
        "text in a shard, bare numbers in the next",
        steps(
            tables(**{"train-00000-of-00002": lambda: m.rows(1, names=None)}),
            lambda r: m.parquet(
                r / "train-00001-of-00002.parquet", {"image": m.cells(1), "label": [0, 1, 2]}
            ),
        ),
        refused=("train-00001-of-00002.parquet", "numbers without names"),
    ),
    Row(
        "text for training, names for testing",
        tables(train=lambda: m.rows(3, names=None), test=lambda: m.rows(2, 20, NAMES[::-1])),
    ),
    Row(
        "a class without images",
        tables(train=lambda: m.rows(3, names=("ant", *NAMES)), test=lambda: m.rows(2, 20, ("ant", *NAMES))),
        says=("classes without images (ant)",),
    ),
    Row(
        "a test part without labels",
        tables(
            train=lambda: m.rows(3),
            validation=lambda: m.rows(2, 20),
            test=lambda: m.rows(1, 40).map(lambda row: {"label": -1}),
        ),
        says=("test has no labels, so validation is tested on", "test (3 images without labels)"),
    ),
    Row(
        "a test part without a label column",
        tables(
            train=lambda: m.rows(3),
            valid=lambda: m.rows(2, 20),
            test=lambda: m.rows(1, 40).remove_columns("label"),
        ),
        says=("valid (6) to test on", "test (3 images without labels)"),
    ),
    Row(
        "some test rows without labels",
        tables(
            train=lambda: m.rows(3),
            test=lambda: m.rows(2, 20).map(
                lambda row, i: {"label": -1 if i == 4 else row["label"]}, with_indices=True
            ),
        ),
        refused=("row 4 of the test part", "no label"),
    ),
    Row("images by path beside the table", paths_beside, **SPLIT),
    Row(
        "a table that names a missing image",
        steps(paths_beside, lambda r: (r / "pictures" / "img_3.png").unlink()),
        refused=("pictures/img_3.png", "not beside it"),
    ),
    Row(
        "columns of odd types",
        table_and(
            lambda: {
                "label": np.repeat(NAMES, 5),
                "box": pa.array([{"x": [1.5]}] * 15),
                "when": pa.array(range(15), pa.timestamp("ms")),
                "price": pa.array([None] * 15, pa.decimal128(9, 2)),
            }
        ),
        **SPLIT,
    ),
    Row("a column of a type from the future", unknown_feature, **SPLIT),
    Row(
        "whole labels written as floats",
        table_and(lambda: {"label": np.repeat([0.0, 1.0, 2.0], 5)}),
        **SPLIT,
        classes=("0", "1", "2"),
    ),
    Row(
        "labels that are not whole",
        table_and(lambda: {"label": np.repeat([0.0, 1.5, 2.0], 5)}),
        refused=("label 1.5", "whole numbers"),
    ),
    Row(
        "text as categories",
        table_and(lambda: {"label": pa.array(np.repeat(NAMES, 5)).dictionary_encode()}),
        **SPLIT,
    ),
    Row("a folder of save_to_disk", saved_to_disk, says=("table of save_to_disk",)),
    Row(
        "a table split by option",
        tables(a=lambda: m.rows(3), b=lambda: m.rows(2, 20)),
        options={"train_split": "a", "test_split": "b"},
    ),
    # arrays
    *[
        Row(
            f".npz with {a} and {b}",
            arrays_file(
                **{a.format("x"): x(3), a.format("y"): y(3), b.format("x"): x(2, 20), b.format("y"): y(2)}
            ),
            classes=("0", "1", "2"),
        )
        for a, b in [
            ("{}_train", "{}_val"),
            ("{}_train", "{}_valid"),
            ("{}", "{}_test"),
            ("train_{}", "dev_{}"),
            ("{}train", "{}test"),
        ]
    ],
    Row(
        "validation images in .npz",
        arrays_file(train_images=x(3), train_labels=y(3), val_images=x(2, 20), val_labels=y(2)),
        classes=("0", "1", "2"),
        says=("val (6) to test on",),
    ),
    Row(
        "test and validation images in .npz",
        arrays_file(x_train=x(3), y_train=y(3), x_val=x(1, 40), y_val=y(1), x_test=x(2, 20), y_test=y(2)),
        classes=("0", "1", "2"),
        says=("Not used: val (3 images)",),
    ),
    Row(
        "an array that is not used",
        arrays_file(images=x(5), labels=y(5), mean=lambda: np.zeros(3)),
        **SPLIT,
        classes=("0", "1", "2"),
        says=("Not used: the array 'mean'",),
    ),
    Row(
        "a fourth channel that is opaque",
        arrays_file(images=lambda: np.insert(m.arrays(5)[0], 3, 255, -1), labels=y(5)),
        **SPLIT,
        classes=("0", "1", "2"),
        says=("fourth channel is opaque",),
    ),
    Row(
        "a fourth channel that is no alpha",
        arrays_file(images=lambda: np.insert(m.arrays(5)[0], 3, 77, -1), labels=y(5)),
        refused=("fourth is no alpha", "--channels 3"),
    ),
    Row(
        "the first three of four channels",
        arrays_file(images=lambda: np.insert(m.arrays(5)[0], 3, 77, -1), labels=y(5)),
        **SPLIT,
        classes=("0", "1", "2"),
        options={"channels": 3},
        says=("first three are taken",),
    ),
    Row(
        "one-hot labels",
        arrays_file(images=x(5), labels=y(5, lambda labels: np.eye(3)[labels])),
        **SPLIT,
        classes=("0", "1", "2"),
        says=("labels are one-hot",),
    ),
    Row(
        "multi-label",
        arrays_file(
            images=x(5), labels=y(5, lambda labels: np.eye(3)[labels] + np.eye(3)[0] * (labels == 1)[:, None])
        ),
        refused=("multi-label", "image 5 has 2 classes"),
    ),
    Row(
        "floating whole labels",
        arrays_file(images=x(5), labels=y(5, lambda labels: labels.astype(float))),
        **SPLIT,
        classes=("0", "1", "2"),
    ),
    # values
    Row("12 bits in 16-bit files", wide(4000), says=("read as 0 to 4095",)),
    Row("8 bits in 16-bit files", wide(199), says=("read as 0 to 255",)),
    Row("16 bits in 16-bit files", wide(60000), says=("read as 0 to 65535",)),
    Row("a range by option", wide(4000), options={"value_range": (0, 5000)}, says=("read as 0 to 5000",)),
    Row(
        "a range that is too small",
        wide(4000),
        options={"value_range": (0, 100)},
        refused=("outside --value-range 0,100",),
    ),
    Row(
        "12-bit arrays",
        arrays_file(images=lambda: m.arrays(5)[0].astype(np.uint16) * 16, labels=y(5)),
        **SPLIT,
        classes=("0", "1", "2"),
        says=("read as 0 to 4095",),
    ),
    Row(
        "few grey levels in arrays",
        arrays_file(images=lambda: m.arrays(5)[0] // 14, labels=y(5)),
        **SPLIT,
        classes=("0", "1", "2"),
        says=("read as 0 to 14",),
    ),
    Row(
        "values from -1 to 1",
        arrays_file(images=lambda: m.arrays(5)[0] / 127.5 - 1, labels=y(5)),
        refused=("-1 to ", "--value-range -1,"),
    ),
    Row(
        "values from -1 to 1 by option",
        arrays_file(images=lambda: m.arrays(5)[0] / 127.5 - 1, labels=y(5)),
        **SPLIT,
        classes=("0", "1", "2"),
        options={"value_range": (-1, 1)},
        says=("read as -1 to 1",),
    ),
    # damaged
    Row("damaged images", damaged_images, refused=("cat_1.png", "--skip-damaged")),
    Row(
        "damaged images skipped",
        damaged_images,
        train=8,
        test=5,
        options={"skip_damaged": True},
        says=("2 damaged images (", "cat_1.png", "emu_0.png"),
    ),
    Row(
        "all images of a class damaged",
        steps(
            parts("train", "test"), lambda r: [m.write(r / f"train/cat/cat_{i}.png", b"x") for i in range(3)]
        ),
        options={"skip_damaged": True},
        refused=("all training images of the class 'cat'",),
    ),
    Row(
        "all test images damaged",
        steps(parts("train", "test"), lambda r: [p.write_bytes(b"x") for p in (r / "test").rglob("*.png")]),
        options={"skip_damaged": True},
        refused=("all test images of", "are damaged"),
    ),
    Row(
        "lists whose images are called alike in both parts",
        lambda r: lists_of_one_name(r, "train", "test"),
        says=("classes of test stand in test_labels.csv",),
    ),
    Row(
        "test images that are called as listed training images are",
        lambda r: lists_of_one_name(r, "train"),
        train=6,
        test=3,
        says=("test (6 images without labels)",),
    ),
    *[
        Row(f"a file {end}", lambda r, end=end: m.write(r / f"images{end}", b"x"), refused=refused)
        for end, refused in (
            (".pt", ("condense import ", "--data X")),
            (".safetensors", ("condense import",)),
        )
    ],
    Row(
        "a folder with a set that was made",
        lambda r: m.write(r / "set.safetensors", b"x").parent,
        refused=("a set that condensery made", "--init"),
    ),
    Row(
        "a README beside flat images",
        steps(
            lambda r: listed(r, "{name},{label}", "file,label", names=m.flat(r / "images", 15, stem="")),
            lambda r: m.write(r / "README.txt", "images 1 to 15\nof 3 animals\n"),
        ),
        **SPLIT,
        says=("Not used: README.txt",),
    ),
    # sets as they lie on disk
    Row(
        "TinyImageNet",
        tiny_imagenet,
        classes=("n02", "n01", "n03"),
        says=("wnids.txt", "val/val_annotations.txt", "test (3 images without labels)"),
    ),
    Row(
        "ImageNet from Kaggle",
        imagenet_kaggle,
        says=("LOC_val_solution.csv", "test (3 images without labels)"),
    ),
    Row("GTSRB", gtsrb, classes=("00000", "00001", "00002"), says=("GT-final_test.csv", "3 files .csv")),
    Row(
        "idx files",
        steps(lambda r: m.idx(r / "MNIST" / "raw")),
        train=12,
        classes=("0", "1", "2"),
        says=("idx files in MNIST/raw/",),
    ),
    Row(
        "gzipped idx files", lambda r: m.idx_gz(r / "FashionMNIST" / "raw"), train=12, classes=("0", "1", "2")
    ),
    Row(
        "idx files, plain and gzipped",
        steps(m.idx, m.idx_gz),
        train=12,
        classes=("0", "1", "2"),
        says=("4 files .gz",),
    ),
    Row(
        "an idx file as the source",
        lambda r: m.idx(r) / "train-images-idx3-ubyte",
        train=12,
        classes=("0", "1", "2"),
    ),
    Row(
        "CIFAR-10 of Python",
        steps(lambda r: m.cifar10(r / "cifar-10-batches-py")),
        train=12,
        says=("CIFAR-10 archive of Python in cifar-10-batches-py/",),
    ),
    Row("CIFAR-10 with protocol 4", lambda r: m.cifar10(r, protocol=4), train=12),
    Row("CIFAR-10 with protocol 5", lambda r: m.cifar10(r, protocol=5), train=12),
    Row(
        "a batch of CIFAR-10 is missing",
        lambda r: m.cifar10(r, batches=(1, 3)),
        train=12,
        says=("missing: 2 of data_batch_3",),
    ),
    Row("CIFAR-100 of Python", m.cifar100, says=("fine_labels; --label-column coarse_labels",)),
    Row(
        "coarse labels of CIFAR-100",
        m.cifar100,
        classes=("red", "other"),
        options={"label_column": "coarse_labels"},
    ),
    Row(
        "a column that CIFAR-100 lacks",
        m.cifar100,
        options={"label_column": "x"},
        refused=("no column 'x'", "coarse_labels"),
    ),
    Row("CIFAR-10 binary", m.cifar10_binary, train=12, says=("CIFAR-10 binary archive",)),
    Row("SVHN", m.svhn, train=12, classes=("0", "1", "2"), says=("label 10 is the digit 0",)),
    Row("USPS", usps, classes=("0", "1", "2"), says=("label 1 is the digit 0", "read as -1 to 1")),
    Row(
        "ImageNet at 64 pixels", m.imagenet_npz, train=12, classes=("1", "2", "3"), says=("the array 'mean'",)
    ),
    Row(
        "a root with several sets",
        steps(lambda r: m.idx(r / "MNIST" / "raw"), lambda r: m.cifar10(r / "cifar-10-batches-py")),
        refused=("several sets", "MNIST/raw", "cifar-10-batches-py", "name one of these"),
    ),
    Row(
        "a set and class folders",
        steps(lambda r: m.idx(r / "MNIST" / "raw"), lambda r: m.folders(r / "photos")),
        refused=("several sets", "photos (images)"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_what_it_is_and_what_is_right(row: Row, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    made = row.make(root)
    source = made if isinstance(made, Path) else root
    lines: list[str] = []
    if row.refused:
        with pytest.raises(BadInput) as caught:
            load(source, announce=lines.append, **row.options)
        message = str(caught.value)
        assert all(words in message for words in row.refused), message
        assert "\n" not in message
        return
    data = load(source, announce=lines.append, **row.options)
    assert data.spec.class_names == row.classes
    assert (len(data.train), len(data.test)) == (row.train, row.test)
    for part in (data.train, data.test):
        seen = m.classes_seen(part.pixels)
        if row.classes == ("red", "other"):
            seen = [min(c, 1) for c in seen]
        assert part.labels.tolist() == seen, "the label is that of the picture"
    said = "\n".join(lines)
    assert all(words in said for words in row.says), said
    assert lines[-len(data.found.lines()) :] == data.found.lines() and len(data.found.lines()) >= 3
    again: list[str] = []
    repeated = load(source, announce=again.append, **row.options)
    assert again == data.found.lines() and repeated.fingerprint == data.fingerprint


def test_there_are_many() -> None:
    assert len(ROWS) > 100 and len({row.what for row in ROWS}) == len(ROWS)
