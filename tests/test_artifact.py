"""The file format: what was saved is what is loaded, and nothing else is accepted."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import condensery
from condensery import BadFile, BadInput, ImageSpec, Rng, SyntheticSet, artifact

SPEC = ImageSpec(
    3, 8, 8, ("cat", "dog\n", "ünïcode"), (0.1, 0.2, 0.3), (0.9, 1.0, 1.1), name="pets", flip=False
)
RECORD = {"method": "dm", "fields": {"image_lr": 0.1}, "ipc": 2, "seed": 7, "accuracies": [{"mean": 0.5}]}


def a_set(spec: ImageSpec = SPEC) -> SyntheticSet:
    images = torch.randn(6, *spec.shape, generator=Rng(1).torch()) * 3
    return SyntheticSet(images, torch.arange(3).repeat_interleave(2), spec, dict(RECORD))


def header(**changes: Any) -> dict[str, Any]:
    synthetic = a_set()
    good = {
        "format": artifact.FORMAT,
        "spec": SPEC.to_json(),
        "sha256": artifact.digest(synthetic),
        "record": synthetic.record,
    }
    return {**good, **changes}


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


@pytest.mark.parametrize("version", [2, 10**30])
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
    artifact.write_text(path, "old")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match="the disk is full"):
        artifact.write_text(path, "new")
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
