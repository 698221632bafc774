"""`condense import`: files as authors' programs save them, and what the other commands make of such sets."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_images import make_photos
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import condensery

NETWORK = "--networks convnet+width=8+depth=2"


@pytest.fixture
def real() -> tuple[torch.Tensor, torch.Tensor]:
    """One digit of each class, normalised, and its label."""
    data = condensery.load_images("digits")
    keep = [int(np.flatnonzero(data.train.labels == c)[0]) for c in range(10)]
    pixels = torch.from_numpy(np.array(data.train.pixels[keep])).permute(0, 3, 1, 2)
    return data.spec.normalise(pixels), torch.arange(10)


def _main_py(images, labels):
    """As DatasetCondensation's main.py ends each experiment."""
    saved = [[deepcopy(images.detach().cpu()), deepcopy(labels.detach().cpu())]]
    torch.save({"data": saved, "accs_all_exps": {"ConvNet": [0.5, 0.6]}}, "res_DC_digits_ConvNet_1ipc.pt")
    return "res_DC_digits_ConvNet_1ipc.pt"


def _trajectories(images, labels):
    """As trajectory matching keeps its best images, beside the labels."""
    torch.save(images.clone().requires_grad_(), "images_best.pt")
    torch.save(labels.cpu(), "labels_best.pt")
    return "images_best.pt"


def _two_files(images, labels):
    _trajectories(images, labels)
    Path("labels_best.pt").rename("y.pt")
    return "images_best.pt y.pt"


def _learned(images, labels):
    torch.save([images, torch.eye(10)[labels] - 0.1], "learned.pt")
    return "learned.pt"


def _soft(images, labels):
    torch.save([images, (4 * torch.eye(10)[labels]).softmax(1)], "soft.pt")
    return "soft.pt"


def _arrays(images, labels):
    np.savez("kernel.npz", images=images.permute(0, 2, 3, 1).numpy(), labels=np.eye(10)[labels])
    return "kernel.npz"


def _safetensors(images, labels):
    save_file({"images": images.contiguous(), "labels": labels}, "other.safetensors")
    return "other.safetensors"


def _folder(images, labels):
    spec = condensery.load_images("digits").spec
    for pixels, label in zip(spec.denormalise(images), labels, strict=True):
        place = Path("png") / str(int(label))
        place.mkdir(parents=True)
        Image.fromarray((pixels[0] * 255).round().byte().numpy()).save(place / "0.png")
    return "png"


KINDS = [_main_py, _trajectories, _two_files, _learned, _soft, _arrays, _safetensors, _folder]


@pytest.mark.parametrize("save", KINDS)
def test_from_an_authors_file_to_a_score(condense, fast_protocol, real, save):
    files = save(*real)
    done = condense(f"import {files} --data digits --out set")
    assert done.code == 0 and done.err == "", done.err
    assert "Found " in done.out and "one set read from" in done.out and "condense evaluate set" in done.out
    made = condensery.load("set")
    torch.testing.assert_close(made.images, real[0].detach(), rtol=0, atol=1e-5)
    assert made.labels.tolist() == list(range(10)) and Path("set/set.png").exists()
    assert made.record["method"] == "imported" and set(made.record["data"]["prints"]) == {"train", "test"}
    done = condense(f"evaluate set {NETWORK} --repeats 1 --baselines random")
    assert done.code == 0 and done.err == "", done.err
    assert "imported" in done.out and "random" in done.out and "other images" not in done.out
    assert "imported" in condense("show set").out


def test_labelled_exported_and_reported(condense, fast_protocol, real):
    condense(f"import {_main_py(*real)} --data digits --out set")
    teacher = "--teacher convnet+width=8+depth=2+norm=batch --teacher-epochs 4"
    assert condense(f"label set --views 2 --epochs 2 {teacher}").code == 0
    assert condensery.load("set-views2").label_kind == "views (2)"
    assert condense("export set --format npz --out set.npz").code == 0
    again = condense("import set.npz --data digits --out again")
    assert again.code == 0 and torch.equal(condensery.load("again").images, condensery.load("set").images)
    condense(f"evaluate set {NETWORK} --repeats 1 --baselines none")
    assert condense("report set again --no-scatter --out page.html").code == 0
    assert "imported" in Path("page.html").read_text()


def test_several_experiments(condense, fast_protocol, real):
    images, labels = real
    torch.save({"data": [[images, labels], [images + 0.1, labels]]}, "res.pt")
    done = condense("import res.pt --data digits")
    assert done.code == 0 and "condense evaluate runs/digits-res/0 runs/digits-res/1" in done.out
    done = condense(f"evaluate runs/digits-res/0 runs/digits-res/1 {NETWORK} --repeats 1 --baselines none")
    assert done.code == 0 and len(Path("runs/digits-res/1/evaluations.jsonl").read_text().splitlines()) == 1
    document = json.loads(condense("import res.pt --data digits --out x --json").out)
    assert [one["out"] for one in document] == ["x/0", "x/1"]


def test_a_file_of_another_program_is_told_what_to_do(condense, real):
    for save in KINDS:
        file = save(*real).split()[0]
        for command in ("evaluate", "show", "label"):
            done = condense(f"{command} {file}")
            assert done.code == 2 and f"condense import {file} --data X" in done.err, done.err
            assert "damaged" not in done.err and done.err.count("\n") == 1


def test_what_is_refused(condense, real):
    file = _main_py(*real)
    Path("broken.pt").write_bytes(Path(file).read_bytes()[:-200])
    condense(f"import {file} --data digits --out set")
    for line, words in [
        (f"import {file}", "name the images with --data"),
        (f"import {file} --data digits --out set", "already holds a set"),
        (f"import {file} --data digits --normalisation zca", "unknown normalisation 'zca'"),
        (f"import {file} --data digits --size 16", "name the data they were made from"),
        ("import nowhere.pt --data digits", "there is no file or folder nowhere.pt to import"),
        ("import broken.pt --data digits", "holds no tensors that can be read without running code"),
        ("import set/set.safetensors --data digits", "is a set of condensery's already"),
        ("import set --data digits", "is a set of condensery's already"),
    ]:
        done = condense(line)
        assert done.code == 2 and words in done.err and done.err.count("\n") == 1, done.err


def test_a_file_that_is_missing_is_named_before_the_images_are_read(condense):
    done = condense("import nowhere.pt --data nothing/at/all")
    assert done.code == 2 and "there is no file or folder nowhere.pt to import" in done.err and done.out == ""


def test_verify_says_what_the_hash_covers(condense, real):
    condense(f"import {_soft(*real)} --data digits --out set")
    done = condense("show set --verify")
    said = " ".join(done.out.split())
    assert "holds; it covers all that is read from the file: images, labels, targets, classes" in said
    document = json.loads(condense("show set --verify --json").out)
    with safe_open("set/set.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    assert json.loads(metadata["condensery"])["sha256"] == document["verified"]["sha256"]
    shutil.copy(Path(__file__).parents[1] / "format1.safetensors", "old.safetensors")
    assert "covers images and labels alone: the file is of format 1" in " ".join(
        condense("show old.safetensors --verify").out.split()
    )
    header = json.loads(metadata["condensery"])
    header["spec"]["mean"] = [0.25]
    save_file(tensors, "set/set.safetensors", {"condensery": json.dumps(header)})
    done = condense("show set --verify")
    assert done.code == 2 and "SHA-256 differs" in done.err


def test_other_test_images_than_the_set_was_made_from(condense, fast_protocol, tmp_path):
    make_photos(tmp_path / "photos", count=12)
    make_photos(tmp_path / "others", classes=("dog", "cat"), count=9)
    condense("select --data photos --method random --ipc 2 --network convnet+width=8+depth=2 --out set")
    done = condense("evaluate set --data others --repeats 1 --baselines none --json")
    assert done.code == 0 and "others holds other images than the set was made from" in done.err
    assert "images of others are normalised with the set's mean" in done.err
    assert json.loads(done.out)["changed"] == ["train", "test"]
    make_photos(tmp_path / "large", count=9, side=16)
    assert "give images of the same size" in condense("evaluate set --data large").err
    line = "evaluate set --data large --size 8 --test-fraction 0.5 --repeats 1 --baselines none"
    assert "10 images to train on, 8 split off" in condense(line).out
    assert "test images of others, not those the set was made beside" in " ".join(
        condense("show set").out.split()
    )
    for photo in list(Path("photos").rglob("*.png"))[:3]:
        photo.unlink()
    done = condense("evaluate set --repeats 1 --baselines none")
    assert done.code == 0 and "photos holds other images than the set was made from" in done.out, done.out


def test_a_source_whose_name_no_file_can_have(condense, fast_protocol):
    condense("select --data digits --method random --ipc 2 --network convnet+width=8+depth=2 --out set")
    made = condensery.load("set")
    data = {**made.record["data"], "source": "x" * 3000}
    condensery.save(replace(made, record={**made.record, "data": data}), "set/set.safetensors")
    done = condense("report set --out page.html")
    assert done.code == 0 and "unexpected" not in done.err, done.err
    done = condense("evaluate set")
    assert done.code == 2 and done.err.startswith("condense: error: ") and done.err.count("\n") == 1
    assert "unexpected" not in done.err
