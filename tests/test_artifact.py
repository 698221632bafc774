"""The file format: what was saved is what is loaded, and nothing else is accepted."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import condensery
from condensery import BadFile, BadInput, ImageSpec, Rng, SyntheticSet, artifact, disk
from condensery.synthetic import decoded, with_pixels
from condensery.views import Views

SPEC = ImageSpec(
    3, 8, 8, ("cat", "dog\n", "ünïcode"), (0.1, 0.2, 0.3), (0.9, 1.0, 1.1), name="pets", flip=False
)
RECORD = {"method": "dm", "fields": {"image_lr": 0.1}, "ipc": 2, "seed": 7, "accuracies": [{"mean": 0.5}]}


def a_set(spec: ImageSpec = SPEC) -> SyntheticSet:
    images = torch.randn(6, *spec.shape, generator=Rng(1).torch()) * 3
    return SyntheticSet(images, torch.arange(3).repeat_interleave(2), spec, dict(RECORD))


def header(**changes: Any) -> dict[str, Any]:
    synthetic = a_set()
    good = {"format": artifact.FORMAT, "spec": SPEC.to_json(), "record": synthetic.record}
    found = artifact.checksum({"images": synthetic.images, "labels": synthetic.labels}, {**good, **changes})
    return {**good, "sha256": found, **changes}


def written(
    path: Path, tensors: dict[str, Tensor] | None = None, text: str | None = None, **changes: Any
) -> Path:
    """A safetensors file that is ours but for the changes; `text` replaces the JSON header altogether."""
    synthetic = a_set()
    tensors = {"images": synthetic.images, "labels": synthetic.labels, **(tensors or {})}
    text = json.dumps(header(**changes)) if text is None else text
    safetensors.torch.save_file(tensors, path, {"condensery": text})
    return path


def refusal(path: Path, kind: type[Exception] = BadFile) -> str:
    with pytest.raises(kind) as caught:
        artifact.load(path)
    message = str(caught.value)
    assert "\n" not in message and message
    assert caught.value.exit_code == 2
    return message


@pytest.fixture
def good(tmp_path: Path) -> Path:
    artifact.save(a_set(), tmp_path / "set.safetensors")
    return tmp_path / "set.safetensors"


def test_round_trip_keeps_every_bit(good: Path) -> None:
    loaded, saved = condensery.load(good), a_set()
    assert torch.equal(loaded.images, saved.images)
    assert torch.equal(loaded.labels, saved.labels)
    assert loaded.spec == saved.spec
    assert loaded.record == saved.record


def test_extreme_values_survive(tmp_path: Path) -> None:
    synthetic = a_set()
    synthetic.images[0, 0, 0, :4] = torch.tensor([1e-45, -0.0, 3.4e38, -3.4e38])
    artifact.save(synthetic, tmp_path / "x.safetensors")
    loaded = artifact.load(tmp_path / "x.safetensors")
    assert loaded.images.numpy().tobytes() == synthetic.images.numpy().tobytes()


def test_a_folder_stands_for_its_file(good: Path) -> None:
    assert torch.equal(artifact.load(good.parent).images, a_set().images)
    assert torch.equal(artifact.load(str(good)).images, a_set().images)


def test_anyone_can_read_it_with_safetensors_alone(good: Path) -> None:
    tensors = safetensors.torch.load_file(good)
    assert set(tensors) == {"images", "labels"}
    with safetensors.safe_open(good, "pt") as file:
        assert json.loads(file.metadata()["condensery"]) == header()


def test_views_and_tensors_with_a_graph_can_be_saved(tmp_path: Path) -> None:
    saved = a_set()
    images = saved.images.permute(0, 1, 3, 2).requires_grad_()
    artifact.save(SyntheticSet(images, saved.labels, SPEC), tmp_path / "x.safetensors")
    assert torch.equal(artifact.load(tmp_path / "x.safetensors").images, images.detach())


def test_truncated_at_any_length(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    path = tmp_path / "cut.safetensors"
    lengths = {*range(0, 40), *range(40, len(content), 97), len(content) - 1}
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        refusal(path)


def test_flipped_bytes_are_found_or_harmless(good: Path, tmp_path: Path) -> None:
    """Anywhere in the file: refused, or at least the images and labels are those that were saved."""
    content, saved = good.read_bytes(), a_set()
    path = tmp_path / "flipped.safetensors"
    refused = 0
    positions = [*range(0, 120), *range(120, len(content), 31)]
    for position in positions:
        broken = bytearray(content)
        broken[position] ^= 0x55
        path.write_bytes(broken)
        try:
            loaded = artifact.load(path)
        except BadFile as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert torch.equal(loaded.images, saved.images)
            assert torch.equal(loaded.labels, saved.labels)
    assert refused > len(positions) / 2


def test_flipped_pixels_are_named_as_damage(good: Path) -> None:
    content = bytearray(good.read_bytes())
    content[-200] ^= 1
    good.write_bytes(content)
    assert "SHA-256 differs" in refusal(good)


def test_foreign_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    assert "condensery did not write it" in refusal(path)


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_nothing_is_ever_unpickled(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save(Bomb(), path)
    assert "not a safetensors file" in refusal(path)
    assert not (tmp_path / "exploded").exists()
    with path.open("rb") as file:
        _ = torch.load(file, weights_only=False) if kind == "torch" else pickle.load(file)
    assert (tmp_path / "exploded").exists()  # it was a live one


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_a_header_that_is_not_json(text: str, tmp_path: Path) -> None:
    assert "is damaged: its record is not" in refusal(written(tmp_path / "x.safetensors", text=text))


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "NaN"])
def test_a_header_that_is_not_an_object(text: str, tmp_path: Path) -> None:
    assert "not a JSON object" in refusal(written(tmp_path / "x.safetensors", text=text))


@pytest.mark.parametrize("version", [3, 10**30])
def test_newer_format(version: int, tmp_path: Path) -> None:
    message = refusal(written(tmp_path / "x.safetensors", format=version))
    assert f"has format version {version}" in message and "upgrade condensery" in message


@pytest.mark.parametrize("version", [None, "1", 1.5, True, 0, -1, [1]])
def test_a_format_that_is_no_version(version: Any, tmp_path: Path) -> None:
    refusal(written(tmp_path / "x.safetensors", format=version))


@pytest.mark.parametrize("key", ["format", "spec", "sha256", "record"])
def test_missing_parts(key: str, tmp_path: Path) -> None:
    text = json.dumps({k: v for k, v in header().items() if k != key})
    refusal(written(tmp_path / "x.safetensors", text=text))


@pytest.mark.parametrize(
    "changes",
    [
        {"record": 5},
        {"record": "text"},
        {"record": None},
        {"spec": []},
        {"spec": None},
        {"spec": {}},
        {"sha256": "0" * 64},
        {"sha256": None},
    ],
    ids=str,
)
def test_wrong_kinds_of_parts(changes: dict[str, Any], tmp_path: Path) -> None:
    refusal(written(tmp_path / "x.safetensors", **changes))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 9},
        {"height": float("inf")},
        {"height": float("nan")},
        {"height": "eight"},
        {"height": None},
        {"channels": 1},
        {"channels": 4},
        {"class_names": ["one", "two"]},
        {"class_names": ["one"]},
        {"class_names": 3},
        {"mean": [0.1]},
        {"mean": [0.1, 0.2, float("nan")]},
        {"mean": 0.1},
        {"std": [0.0, 1.0, 1.0]},
        {"std": [1.0, 1.0, float("inf")]},
        {"std": [1.0, 1.0, {}]},
    ],
    ids=str,
)
def test_a_spec_that_cannot_be(change: dict[str, Any], tmp_path: Path) -> None:
    refusal(written(tmp_path / "x.safetensors", spec={**SPEC.to_json(), **change}))


IMAGES = a_set().images


@pytest.mark.parametrize(
    "tensors",
    [
        {"labels": torch.tensor([0, 0, 1, 1, 2, 3])},
        {"labels": torch.tensor([-1, 0, 1, 1, 2, 2])},
        {"labels": torch.tensor([0, 1])},
        {"labels": torch.zeros(6, 1, dtype=torch.int64)},
        {"labels": torch.zeros(6)},
        {"images": IMAGES[:, :2].contiguous()},
        {"images": IMAGES[0].clone()},
        {"images": IMAGES[:, :, :7].contiguous()},
        {"images": IMAGES.double()},
        {"images": IMAGES.half()},
        {"images": IMAGES[:0].clone(), "labels": torch.zeros(0, dtype=torch.int64)},
        {"images": IMAGES / 0},
        {"images": IMAGES * float("nan")},
        {"images": IMAGES.to(torch.complex64)},
    ],
    ids=lambda t: "-".join(f"{k}{tuple(v.shape)}{str(v.dtype)[6:]}" for k, v in t.items()),
)
def test_tensors_that_cannot_be(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    assert "is not a valid synthetic set" in refusal(written(tmp_path / "x.safetensors", tensors))


@pytest.mark.parametrize("name", ["images", "labels"])
def test_missing_tensors(name: str, tmp_path: Path) -> None:
    tensors = {"images": a_set().images, "labels": a_set().labels}
    del tensors[name]
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(tensors, path, {"condensery": json.dumps(header())})
    refusal(path)


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for claim in (0, 3, 10**6, 2**40, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", claim) + b'{"images":{}}')
        refusal(path)


def test_a_kind_of_number_that_torch_has_not(tmp_path: Path) -> None:
    entry = {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}
    text = json.dumps({"__metadata__": {"condensery": "{}"}, "images": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"ab")
    refusal(path)


def test_missing_file_and_folder_without_a_set(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.safetensors", BadInput)
    assert "holds no set.safetensors" in refusal(tmp_path, BadInput)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "set.safetensors").mkdir()
    refusal(tmp_path)


@pytest.mark.parametrize("step", ["replace", "fsync", "save_file"])
def test_a_full_disk_leaves_the_old_file(step: str, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = good.read_bytes()
    monkeypatch.setattr(artifact if step == "save_file" else os, step, full)
    other = SyntheticSet(a_set().images + 1, a_set().labels, SPEC)
    with pytest.raises(BadInput, match=r"cannot write .*the disk is full; free some space"):
        artifact.save(other, good)
    assert good.read_bytes() == before
    assert [p.name for p in good.parent.iterdir()] == [good.name]


def test_a_full_disk_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    disk.write_text(path, "old")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match="the disk is full"):
        disk.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_does_not_exist_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        artifact.save(a_set(), tmp_path / "missing" / "set.safetensors")


def test_saving_twice_gives_the_same_bytes(good: Path, tmp_path: Path) -> None:
    artifact.save(artifact.load(good), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == good.read_bytes()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"network": 5}, "network"),
        ({"method": None}, "method"),
        ({"ipc": "many"}, "ipc"),
        ({"seed": True}, "seed"),
        ({"seconds": "long"}, "seconds"),
        ({"loss": "nan"}, "loss"),
        ({"fields": [1]}, "fields"),
        ({"data": []}, "data"),
        ({"data": None}, "data"),
        ({"data": {"source": 3}}, "source"),
        ({"data": {"options": {"size": "big"}}}, "size"),
        ({"data": {"options": {"classes": "3,8"}}}, "classes"),
        ({"data": {"options": {"cache_dir": "/elsewhere"}}}, "cache_dir"),
        ({"labels": "soft"}, "labels"),
        ({"labels": {"teacher": "me"}}, "teacher"),
        ({"labels": {"teacher": {"epochs": "many"}}}, "epochs in its teacher"),
        ({"accuracies": 5}, "accuracies"),
        ({"accuracies": [7]}, "accuracies"),
        ({"accuracies": [{"n": "q"}]}, "n in its accuracies"),
    ],
)
def test_a_record_with_a_wrong_type(change: dict[str, Any], word: str, tmp_path: Path) -> None:
    assert word in refusal(written(tmp_path / "x.safetensors", record={**RECORD, **change}))


def test_a_record_may_say_more_or_less_than_ours(tmp_path: Path) -> None:
    for record in ({}, {**RECORD, "note": ["anything", 1]}):
        path = written(tmp_path / "x.safetensors", record=record)
        assert artifact.load(path).record == record


FORMAT_1 = Path(__file__).parent / "format1.safetensors"


def test_a_file_of_format_1_loads_bit_for_bit() -> None:
    """A file that condensery wrote when 1 was the newest format."""
    loaded, saved = artifact.load(FORMAT_1), a_set()
    assert loaded.images.numpy().tobytes() == saved.images.numpy().tobytes()
    assert torch.equal(loaded.labels, saved.labels)
    assert (loaded.spec, loaded.record) == (saved.spec, saved.record)
    assert (loaded.targets, loaded.stored, loaded.training) == (None, {}, {})


def test_a_damaged_file_of_format_1_is_refused(tmp_path: Path) -> None:
    content = bytearray(FORMAT_1.read_bytes())
    content[-200] ^= 1
    (tmp_path / "x.safetensors").write_bytes(content)
    assert "SHA-256 differs" in refusal(tmp_path / "x.safetensors")


TRAINING = {
    "epochs": 30,
    "lr": 0.001,
    "optimizer": "adamw",
    "schedule": "cosine",
    "loss": "kl",
    "temperature": 4.0,
}


def with_views(**changes: Any) -> SyntheticSet:
    synthetic = a_set()
    boxes = torch.tensor([[0, 0, 255, 255], [20, 30, 200, 210]], dtype=torch.uint8).repeat(6, 1, 1)
    parts: dict[str, Any] = {
        "boxes": boxes,
        "levels": torch.arange(36).reshape(6, 2, 3).to(torch.uint8),
        "step": 0.1,
        "temperature": 4.0,
        "num_classes": 3,
        "flips": torch.tensor([[0, 1]] * 6, dtype=torch.uint8),
        "partners": torch.tensor([[1, 5]] * 6, dtype=torch.uint8),
        "patches": torch.tensor([[0, 0, 0, 0], [0, 0, 100, 100]], dtype=torch.uint8).repeat(6, 1, 1),
    }
    return replace(synthetic, targets=Views(**{**parts, **changes}), training=dict(TRAINING))


def with_tiles() -> SyntheticSet:
    images = torch.randn(3, *SPEC.shape, generator=Rng(2).torch())
    stored = {"tiles.images": images, "tiles.factor": torch.tensor(2)}
    return SyntheticSet(decoded(stored, SPEC), torch.arange(3).repeat_interleave(4), SPEC, {}, stored=stored)


def with_targets() -> SyntheticSet:
    targets = torch.rand(6, 3, generator=Rng(3).torch())
    return replace(a_set(), targets=targets / targets.sum(1, keepdim=True))


def with_learned_values() -> SyntheticSet:
    return replace(
        a_set(), targets=torch.randn(6, 3, generator=Rng(4).torch()), training={"epochs": 2, "loss": "mse"}
    )


KINDS = {
    "plain": a_set,
    "views": with_views,
    "largest": lambda: with_views(classes=torch.tensor([2, 0], dtype=torch.uint8).repeat(6, 2, 1)),
    "two bytes": lambda: with_views(levels=torch.full((6, 2, 3), 40_000, dtype=torch.int32).to(torch.uint16)),
    "crops alone": lambda: with_views(flips=None, partners=None, patches=None),
    "tiles": with_tiles,
    "pixels": lambda: with_pixels(a_set()),
    "tiles of 8 bits": lambda: with_pixels(with_tiles()),
    "targets": with_targets,
    "learned values": with_learned_values,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_content_round_trips(kind: str, tmp_path: Path) -> None:
    saved, path = KINDS[kind](), tmp_path / "x.safetensors"
    artifact.save(saved, path)
    loaded = artifact.load(path)
    assert torch.equal(loaded.images, saved.images) and torch.equal(loaded.labels, saved.labels)
    assert loaded.stored.keys() == saved.stored.keys() and loaded.training == saved.training
    assert all(torch.equal(loaded.stored[name], tensor) for name, tensor in saved.stored.items())
    if isinstance(saved.targets, Views):
        assert isinstance(loaded.targets, Views)
        assert (loaded.targets.step, loaded.targets.temperature) == (
            saved.targets.step,
            saved.targets.temperature,
        )
        assert loaded.targets.tensors.keys() == saved.targets.tensors.keys()
        for name, tensor in saved.targets.tensors.items():
            found = loaded.targets.tensors[name]
            assert found.dtype == tensor.dtype and torch.equal(found.to(torch.int64), tensor.to(torch.int64))
    else:
        assert (loaded.targets is None) == (saved.targets is None)
        assert loaded.targets is None or torch.equal(loaded.targets, saved.targets)
    assert artifact.digest(loaded) == artifact.digest(saved)
    assert loaded.bytes == saved.bytes == sum(t.nbytes for t in safetensors.torch.load_file(path).values())
    artifact.save(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_byte_of_any_kind_is_found(kind: str, tmp_path: Path) -> None:
    """Nothing that is loaded can change unseen: tensors, record, mean and std, wishes about training."""
    path = tmp_path / "x.safetensors"
    artifact.save(KINDS[kind](), path)
    content = path.read_bytes()
    for position in range(8, len(content), 41):
        broken = bytearray(content)
        broken[position] ^= 0x01
        path.write_bytes(broken)
        try:
            artifact.load(path)
        except BadFile as error:
            assert "\n" not in str(error)
        else:  # a blank of the safetensors header, which nothing is read from
            assert chr(content[position]).isspace() or content[position] == 0x21, (
                position,
                content[position],
            )


def edited(path: Path, synthetic: SyntheticSet, tensors: dict[str, Any] | None = None, **header: Any) -> Path:
    """The file of `synthetic`, some tensors and parts of the header replaced (None: removed), a checksum that fits."""
    artifact.save(synthetic, path)
    found, parts = artifact.read_tensors(path)
    found = {k: v for k, v in {**found, **(tensors or {})}.items() if v is not None}
    parts = {k: v for k, v in {**parts, **header}.items() if v is not None}
    artifact.write_tensors(path, found, {**parts, "sha256": artifact.checksum(found, parts)})
    return path


ONES = torch.ones(6, 3)


@pytest.mark.parametrize(
    ("synthetic", "tensors", "header", "match"),
    [
        (with_targets(), {"targets": ONES}, {}, "image 0 are no probabilities: the least is 1 and they sum to 3"),
        (with_targets(), {"targets": -ONES / 3}, {}, "no probabilities"),
        (with_targets(), {"targets": ONES / 0}, {}, "targets hold values that are not finite"),
        (with_targets(), {"targets": ONES[:, :2].contiguous()}, {}, "targets must be float32"),
        (with_targets(), {"targets": (ONES / 3).double()}, {}, "targets must be float32"),
        (with_learned_values(), {}, {"training": {"epochs": 2}}, "no probabilities"),
        (with_learned_values(), {"targets": ONES * float("nan")}, {}, "not finite"),
        (with_views(), {"views.boxes": torch.full((6, 2, 4), 200, dtype=torch.uint8)}, {}, "outside the image"),
        (with_views(), {"views.boxes": None}, {}, "boxes"),
        (with_views(), {"views.levels": torch.zeros(6, 2, 4, dtype=torch.uint8)}, {}, "levels of views must be"),
        (with_views(), {"views.partners": torch.full((6, 2), 6, dtype=torch.uint8)}, {}, "6 to 6, but there are 6"),
        (with_views(), {"views.extra": ONES}, {}, "extra"),
        (with_views(), {"targets": ONES / 3}, {}, "targets of images, and of views"),
        (with_views(), {}, {"views": None}, "views"),
        (with_views(), {}, {"views": {"step": "x", "temperature": 1}}, "step of labels of views must be a"),
        (with_views(), {}, {"views": {"step": 0.1, "temperature": 0}}, "temperature of labels of views"),
        (with_views(), {"images": a_set().images[:3], "labels": a_set().labels[:3]}, {}, "3 images but views of 6"),
        (with_tiles(), {"stored.tiles.factor": torch.tensor(3)}, {}, "3 does not divide the sides of 8x8 images"),
        (with_tiles(), {"stored.tiles.factor": torch.tensor(4)}, {}, "48 images but labels of shape"),
        (with_tiles(), {"stored.tiles.images": with_tiles().stored["tiles.images"] / 0}, {}, "not finite"),
        (with_tiles(), {"stored.dreams.images": ONES}, {}, "unknown way, dreams, tiles"),
        (with_tiles(), {"images": with_tiles().images}, {}, "holds images, and what is stored in place"),
        (a_set(), {"secret": ONES}, {}, "unknown tensor 'secret'"),
        (a_set(), {}, {"training": {"epochs": 3, "dance": 1}}, "wants to be trained with 'dance', which this"),
        (a_set(), {}, {"training": {"epochs": "many"}}, "trained with epochs = 'many'"),
        (a_set(), {}, {"training": {"lr": 0.1}}, "does not say for how many epochs"),
        (a_set(), {}, {"training": {"epochs": 3, "loss": "hinge"}}, "unknown loss 'hinge'"),
        (a_set(), {}, {"training": {"epochs": 3, "augmentation": "sparkle"}}, "sparkle"),
        (a_set(), {}, {"training": []}, "JSON object"),
        (a_set(), {}, {"format": 3}, "has format version 3, this condensery reads up to 2: upgrade"),
    ],
)  # fmt: skip
def test_impossible_content_with_a_checksum_that_fits(
    synthetic: SyntheticSet, tensors: dict[str, Any], header: dict[str, Any], match: str, tmp_path: Path
) -> None:
    assert match in refusal(edited(tmp_path / "x.safetensors", synthetic, tensors, **header))


@pytest.mark.parametrize("part", ["spec", "record", "training", "views"])
def test_the_checksum_covers_the_header(part: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    artifact.save(with_views(), path)
    tensors, parts = artifact.read_tensors(path)
    changed = {
        "spec": {**parts["spec"], "mean": [0.1, 0.2, 0.31]},
        "record": {**RECORD, "seed": 8},
        "training": {**TRAINING, "epochs": 31},
        "views": {**parts["views"], "temperature": 5.0},
    }
    artifact.write_tensors(path, tensors, {**parts, part: changed[part]})
    assert "SHA-256 differs" in refusal(path)


def test_what_is_saved_is_what_was_trained_on(tmp_path: Path) -> None:
    wrong = replace(with_tiles(), images=with_tiles().images + 1)
    with pytest.raises(BadInput, match="does not make its images"):
        artifact.save(wrong, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="unknown optimizer 'magic'"):
        artifact.save(
            replace(a_set(), training={"epochs": 1, "optimizer": "magic"}), tmp_path / "x.safetensors"
        )
    assert not list(tmp_path.iterdir())


def test_the_digest_tells_content_apart_and_not_records() -> None:
    sets = [KINDS[kind]() for kind in KINDS]
    assert len({artifact.digest(s) for s in sets}) >= len(sets) - 1
    assert artifact.digest(with_views()) != artifact.digest(with_views(temperature=5.0))
    assert artifact.digest(replace(with_views(), record={})) == artifact.digest(with_views())
