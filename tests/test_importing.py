"""Sets that other programs saved, read without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from condensery import ImageData, artifact, evaluate
from condensery.errors import BadInput
from condensery.export import export
from condensery.importing import import_sets


@pytest.fixture
def made(tiny: ImageData) -> tuple[torch.Tensor, torch.Tensor]:
    """Two real images of each of three classes, normalised; not in the order of their classes."""
    keep = np.concatenate([np.flatnonzero(tiny.train.labels == c)[:2] for c in (2, 0, 1)])
    pixels = torch.from_numpy(np.array(tiny.train.pixels[keep])).permute(0, 3, 1, 2)
    return tiny.spec.normalise(pixels), torch.from_numpy(tiny.train.labels[keep])


WAYS: dict[str, Any] = {
    "dict with data": lambda f, x, y: torch.save({"data": [[x, y]], "accs_all_exps": {"ConvNet": [0.1]}}, f),
    "list": lambda f, x, y: torch.save([x, y], f),
    "dict of tensors": lambda f, x, y: torch.save({"images": x, "labels": y}, f),
    "one-hot": lambda f, x, y: torch.save((x, torch.eye(3)[y]), f),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_images_and_labels(way: str, made: Any, tiny: ImageData, tmp_path: Path) -> None:
    WAYS[way](tmp_path / "set.pt", *made)
    (found,) = import_sets(tmp_path / "set.pt", tiny)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2] and found.targets is None
    torch.testing.assert_close(found.images, made[0][[2, 3, 4, 5, 0, 1]], rtol=0, atol=0)


def test_several_experiments_are_several_sets(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    images, labels = made
    torch.save({"data": [[images, labels], [images + 0.1, labels]]}, tmp_path / "res.pt")
    first, second = import_sets(tmp_path / "res.pt", tiny)
    torch.testing.assert_close(second.images, first.images + 0.1)


def test_images_and_labels_apart(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    for name, value in zip(("images_best.pt", "labels_best.pt"), made, strict=True):
        torch.save(value, tmp_path / name)
    both = import_sets([tmp_path / "images_best.pt", tmp_path / "labels_best.pt"], tiny)
    alone = import_sets(tmp_path / "images_best.pt", tiny)
    assert both[0].images.equal(alone[0].images)
    (tmp_path / "labels_best.pt").unlink()
    with pytest.raises(BadInput, match="holds images alone"):
        import_sets(tmp_path / "images_best.pt", tiny)


@pytest.mark.parametrize("scale", ["data", "unit", "bytes"])
def test_arrays_in_either_order_and_scale(scale: str, made: Any, tiny: ImageData, tmp_path: Path) -> None:
    images, labels = made
    pixels = tiny.spec.denormalise(images).permute(0, 2, 3, 1).numpy()
    values = {
        "data": images.numpy(),
        "unit": pixels.clip(0, 1),
        "bytes": np.round(pixels * 255).astype(np.uint8),
    }
    np.savez(tmp_path / "set.npz", images=values[scale], labels=labels.numpy())
    lines: list[str] = []
    (found,) = import_sets(tmp_path / "set.npz", tiny, announce=lines.append)
    torch.testing.assert_close(found.images, images[[2, 3, 4, 5, 0, 1]], rtol=0, atol=1e-5)
    assert "--normalisation" in lines[0]


def test_learned_and_soft_labels(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    images, labels = made
    learned, soft = torch.eye(3)[labels] - 1 / 3, torch.softmax(3 * torch.eye(3)[labels], 1)
    torch.save([images, learned], tmp_path / "learned.pt")
    torch.save([images, soft], tmp_path / "soft.pt")
    lines: list[str] = []
    (one,) = import_sets(tmp_path / "learned.pt", tiny, announce=lines.append)
    (other,) = import_sets(tmp_path / "soft.pt", tiny)
    assert one.training["loss"] == "mse" and isinstance(one.targets, torch.Tensor)
    assert any("squared errors" in line for line in lines)
    assert isinstance(other.targets, torch.Tensor) and not other.training
    torch.testing.assert_close(one.targets.argmax(1), one.labels)
    torch.testing.assert_close(other.targets.argmax(1), other.labels)


def test_class_folders_and_our_exports(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    for i, (image, label) in enumerate(zip(*made, strict=True)):
        pixels = (tiny.spec.denormalise(image[None])[0, 0] * 255).round().byte().numpy()
        path = tmp_path / "png" / tiny.spec.class_names[int(label)] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (found,) = import_sets(tmp_path / "png", tiny)
    torch.testing.assert_close(found.images, made[0][[2, 3, 4, 5, 0, 1]], rtol=0, atol=1e-5)
    for kind in ("npz", "pt"):
        export(found, kind, tmp_path / f"export.{kind}")
        (again,) = import_sets(tmp_path / f"export.{kind}", tiny)
        assert again.images.equal(found.images) and again.labels.equal(found.labels)


def test_exports_of_other_data_are_refused(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    images, labels = made
    content = {"images": images, "labels": labels, "class_names": ["a", "b", "c"]}
    torch.save(content, tmp_path / "names.pt")
    torch.save({**content, "class_names": list(tiny.spec.class_names), "mean": [0.9]}, tmp_path / "mean.pt")
    for name, said in (
        ("names", "holds the classes a, b, c, the data 0, 1, 2"),
        ("mean", "normalised with mean"),
    ):
        with pytest.raises(BadInput, match=said):
            import_sets(tmp_path / f"{name}.pt", tiny)


def test_one_image_in_a_class_folder(tiny: ImageData, tmp_path: Path) -> None:
    for c, name in enumerate(tiny.spec.class_names):
        (tmp_path / "png" / name).mkdir(parents=True)
        Image.fromarray(tiny.train.pixels[tiny.train.labels == c][0, :, :, 0]).save(
            tmp_path / "png" / name / "0.png"
        )
    assert import_sets(tmp_path / "png", tiny)[0].labels.tolist() == [0, 1, 2]


def test_an_imported_set_is_a_set_like_any_other(made: Any, tiny: ImageData, tmp_path: Path) -> None:
    torch.save(list(made), tmp_path / "data.pt")
    (found,) = import_sets(tmp_path / "data.pt", tiny)
    artifact.save(found, tmp_path / "set.safetensors")
    loaded = artifact.load(tmp_path / "set.safetensors")
    assert loaded.images.equal(found.images) and loaded.record["method"] == "imported"
    score = evaluate(loaded, networks=["convnet+width=8+depth=2"], repeats=1, baselines=()).scores[0]
    assert score.n == 1


class Evil:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_what_is_refused(made: Any, tiny: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = made
    whitened = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 4
    for content, said in [
        ([images, labels, labels], "expected images and labels"),
        ([images[:, :, :4], labels], "have shape"),
        ([images, labels + 1], "reach from 1 to 3"),
        ([images, labels[:2]], "6 images but 2 labels"),
        ([images, labels + 0.5], "not whole"),
        ([images * float("nan"), labels], "not finite"),
        ([whitened, labels], "whitened or normalised otherwise"),
        ({"x": 1}, "holds no images with labels, only x"),
        ([Evil(), labels], "without running code"),
    ]:
        torch.save(content, tmp_path / "set.pt")
        with pytest.raises(BadInput, match=said) as caught:
            import_sets(tmp_path / "set.pt", tiny)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(BadInput, match="no file or folder"):
        import_sets(tmp_path / "nowhere.pt", tiny)
    with pytest.raises(BadInput, match="unknown normalisation"):
        import_sets(tmp_path / "set.pt", tiny, normalisation="zca")


def test_images_of_a_generator_are_resized_and_drawn_to_the_budget(tiny: ImageData, tmp_path: Path) -> None:
    """What a program outside wrote: class folders of images of another size, more than are wanted."""
    for c, name in enumerate(tiny.spec.class_names):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        members = np.flatnonzero(tiny.train.labels == c)[:4]
        for k, pixels in enumerate(tiny.train.pixels[members, :, :, 0]):
            Image.fromarray(pixels).resize((16, 16)).save(tmp_path / "drawn" / name / f"{k}.png")
    heard: list[str] = []
    (found,) = import_sets(tmp_path / "drawn", tiny, ipc=2, announce=heard.append)
    (same,) = import_sets(tmp_path / "drawn", tiny, ipc=2)
    (other,) = import_sets(tmp_path / "drawn", tiny, ipc=2, seed=1)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2] and found.record["ipc"] == 2
    assert torch.equal(found.images, same.images) and not torch.equal(found.images, other.images)
    assert "12 of 12 images are resized to 8x8" in heard
    assert "6 of 12 images are kept, 2 of each class, drawn at random" in heard
    (whole,) = import_sets(tmp_path / "drawn", tiny)
    assert all(any(torch.equal(image, one) for one in whole.images) for image in found.images)
    with pytest.raises(BadInput, match="--ipc 5 asks for other than 1 to 4 images of class '0'"):
        import_sets(tmp_path / "drawn", tiny, ipc=5)
