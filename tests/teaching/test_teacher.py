"""Teachers: trained once, resumed to the same bits, loaded from files, refused where they do not know the task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from condensery import BadInput, ImageData, ImageSpec, Rng
from condensery.data import ClassPool
from condensery.models.registry import resolve
from condensery.teaching import Teacher, TeacherSettings, epochs, get_teacher, teacher_recipe
from condensery.teaching.own import require_same_task

pytestmark = pytest.mark.usefixtures("fresh_cache")
CPU = torch.device("cpu")
NETWORK = "convnet+width=8+depth=2+norm=batch"
SETTINGS = TeacherSettings(NETWORK, epochs=4)


def state(taught: Teacher) -> dict[str, Tensor]:
    return taught.network.state_dict()


def same(one: Teacher, other: Teacher) -> bool:
    return all(torch.equal(tensor, state(other)[name]) for name, tensor in state(one).items())


@pytest.fixture
def epochs_trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The draws of every epoch that is really trained."""
    trained: list[str] = []
    real = epochs.train_epoch

    def spy(*arguments: Any, **options: Any) -> None:
        trained.append(arguments[4].path)
        real(*arguments, **options)

    monkeypatch.setattr(epochs, "train_epoch", spy)
    return trained


def test_a_teacher_learns_and_is_found_again(digits: ImageData, epochs_trained: list[str]) -> None:
    heard: list[tuple[int, int]] = []
    first = get_teacher(digits, SETTINGS, CPU, lambda done, total: heard.append((done, total)))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert 0.85 < first.accuracy <= 1 and first.epochs == 4 and first.name == NETWORK
    again = get_teacher(digits, SETTINGS, CPU)
    assert len(epochs_trained) == 4 and same(first, again) and again.accuracy == first.accuracy
    assert first.training_seconds and again.training_seconds == round(first.training_seconds, 1)
    other = get_teacher(digits, replace(SETTINGS, seed=1), CPU)
    assert not same(first, other)
    weights = (
        4 * (8 * 9 + 8 + 2 * 8 + 2 * 8) + 8 + 4 * (8 * 8 * 9 + 8 + 2 * 8 + 2 * 8) + 8 + 4 * (8 * 9 * 10 + 10)
    )
    assert first.bytes == weights == first.to_json()["bytes"]


def test_an_interrupted_training_goes_on_to_the_same_bits(
    digits: ImageData, epochs_trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = get_teacher(digits, SETTINGS, CPU)
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "other"))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_teacher(digits, SETTINGS, CPU, stop)
    epochs_trained.clear()
    resumed = get_teacher(digits, SETTINGS, CPU)
    assert len(epochs_trained) == 2 and same(whole, resumed)
    assert len(list((tmp_path / "other").glob("teachers/*/*.optimizer.safetensors"))) == 1


def test_an_early_stage_is_the_same_training_and_goes_on(
    digits: ImageData, epochs_trained: list[str]
) -> None:
    early = get_teacher(digits, replace(SETTINGS, stage=2), CPU)
    assert len(epochs_trained) == 2 and early.to_json()["stage"] == 2
    late = get_teacher(digits, SETTINGS, CPU)
    assert len(epochs_trained) == 4 and not same(early, late)
    assert same(early, get_teacher(digits, replace(SETTINGS, stage=2), CPU)) and len(epochs_trained) == 4
    assert early.accuracy < late.accuracy


@pytest.mark.parametrize("part", ["00004.safetensors", "00003.safetensors"])
def test_damaged_files_are_made_again(
    part: str, digits: ImageData, epochs_trained: list[str], fresh_cache: Path
) -> None:
    first = get_teacher(digits, SETTINGS, CPU)
    (damaged,) = fresh_cache.glob(f"teachers/*/{part}")
    damaged.write_bytes(damaged.read_bytes()[:50])
    epochs_trained.clear()
    assert same(first, get_teacher(digits, SETTINGS, CPU))
    assert len(epochs_trained) == (4 if part == "00004.safetensors" else 0)


def test_default_recipes() -> None:
    """469 steps an epoch of MNIST: 3; 391 of CIFAR-10: 10; 12 of the digits: 84 make 1,000 steps."""
    grey = spec(channels=1)
    assert teacher_recipe(60_000, grey).epochs == 3 and teacher_recipe(1438, grey).epochs == 84
    assert teacher_recipe(50_000, spec(channels=3)).epochs == 10
    assert TeacherSettings().factory(grey).canonical == "convnet+width=32"


def spec(channels: int) -> ImageSpec:
    return ImageSpec(channels, 32, 32, ("a", "b"), (0.5,) * channels, (0.5,) * channels)


def test_shifts_repeat_the_border_and_flips_mirror() -> None:
    image = torch.arange(64.0).reshape(1, 1, 8, 8).expand(200, 1, 8, 8).contiguous()
    moved = epochs.ShiftAndFlip(flip=False)(image, Rng(0))
    expected = {
        tuple(image[0, 0][rows][:, columns].flatten().tolist())
        for rows in ([0, *range(7)], [*range(8)], [*range(1, 8), 7])
        for columns in ([0, *range(7)], [*range(8)], [*range(1, 8), 7])
    }
    assert {tuple(one.flatten().tolist()) for one in moved} == expected
    both = epochs.ShiftAndFlip(flip=True)(image, Rng(0))
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(both, moved, strict=True)]
    assert 70 < sum(mirrored) < 130


# ---- the user's own


@pytest.fixture
def taught(digits: ImageData) -> Teacher:
    return get_teacher(digits, SETTINGS, CPU)


@pytest.mark.parametrize("form", ["safetensors", "pt", "nested", "parallel"])
def test_weights_from_a_file(form: str, digits: ImageData, taught: Teacher, tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        safetensors.torch.save_file(state(taught), path)
    elif form == "parallel":
        torch.save({f"module.{name}": tensor for name, tensor in state(taught).items()}, path)
    else:
        torch.save({"state_dict": state(taught), "epoch": 3} if form == "nested" else state(taught), path)
    loaded = get_teacher(digits, TeacherSettings(NETWORK, weights=path), CPU)
    assert same(loaded, taught) and loaded.accuracy == taught.accuracy
    assert loaded.weights is not None and loaded.weights["file"] == path.name
    assert len(loaded.to_json()["weights"]["sha256"]) == 64


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("exploded",)


def refusal(data: ImageData, settings: TeacherSettings) -> str:
    with pytest.raises(BadInput) as caught:
        get_teacher(data, settings, CPU)
    assert "\n" not in str(caught.value) and type(caught.value) is BadInput
    return str(caught.value)


def test_files_that_are_no_weights(
    digits: ImageData, taught: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own, path = TeacherSettings(NETWORK, weights="w.pt"), tmp_path / "w.pt"
    assert "cannot read the teacher's weights w.pt: No such file" in refusal(digits, own)
    torch.save(Bomb(), path)
    assert "without running code" in refusal(digits, own) and not (tmp_path / "exploded").exists()
    path.write_bytes(b"nonsense")
    assert "without running code" in refusal(digits, own)
    torch.save([1, 2], path)
    assert "no state dictionary" in refusal(digits, own)
    torch.save(state(taught), path)
    assert "holds no weights of mlp" in refusal(digits, TeacherSettings("mlp", weights="w.pt"))


def with_head(taught: Teacher, change: Any, path: Path) -> Path:
    changed = {name: tensor.clone() for name, tensor in state(taught).items()}
    for name in ("head.weight", "head.bias"):
        changed[name] = change(changed[name])
    torch.save(changed, path)
    return path


def test_teachers_of_another_task_or_order_are_refused(
    digits: ImageData, taught: Teacher, tmp_path: Path
) -> None:
    order = [1, 0, 2, 3, 4, 5, 6, 7, 9, 8]
    swapped = with_head(taught, lambda t: t[order], tmp_path / "swapped.pt")
    message = refusal(digits, TeacherSettings(NETWORK, weights=swapped))
    assert "classes in another order" in message and "its output for '1' meant '0'" in message
    noise = with_head(taught, lambda t: torch.randn(t.shape, generator=Rng(5).torch()), tmp_path / "noise.pt")
    message = refusal(digits, TeacherSettings(NETWORK, weights=noise))
    assert "real training images" in message and (
        "does not know these images" in message or "another order" in message
    )
    constant = with_head(taught, torch.zeros_like, tmp_path / "constant.pt")
    assert "does not know these images" in refusal(digits, TeacherSettings(NETWORK, weights=constant))
    endless = with_head(taught, lambda t: t * float("inf"), tmp_path / "endless.pt")
    assert "not finite" in refusal(digits, TeacherSettings(NETWORK, weights=endless))


def test_a_weak_teacher_is_a_teacher(digits: ImageData) -> None:
    """The check says nothing against a network that knows a third of the images and calls the others zeros."""
    pool = ClassPool(digits.train, digits.spec, CPU)

    chosen = sorted(Rng(0).fork("teacher check").numpy().permutation(len(pool.labels))[:2000])
    truth = torch.from_numpy(pool.labels[chosen])
    said = torch.where(torch.arange(len(truth)) % 3 == 0, truth, torch.zeros_like(truth))
    third = torch.nn.functional.one_hot(said, 10).float()

    class InOrder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0

        def forward(self, x: Tensor) -> Tensor:
            self.seen += len(x)
            return third[self.seen - len(x) : self.seen]

    require_same_task(InOrder(), pool)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "--teacher-epochs must be at least 1, not 0"),
        ({"stage": 0}, "--teacher-stage must be at least 1, not 0"),
        ({"epochs": 2, "stage": 3}, "--teacher-stage 3 comes after the last of 2 epochs"),
        ({"weights": "x.pt"}, "name it with --teacher"),
        ({"weights": "x.pt", "network": "mlp", "epochs": 3}, "is not trained"),
    ],
)
def test_bad_settings_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        TeacherSettings(**options)


def test_a_stage_after_the_default_epochs_is_refused(digits: ImageData) -> None:
    assert "comes after the last of 84 epochs" in refusal(digits, TeacherSettings(NETWORK, stage=85))
    assert "no network is called 'sage'" in refusal(digits, TeacherSettings("sage"))


def test_a_network_of_ones_own_is_not_kept(
    digits: ImageData,
    fresh_cache: Path,
    epochs_trained: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own_teacher.py").write_text(
        "from condensery.models.convnet import ConvNet\n"
        "def make(channels, image_size, num_classes):\n"
        "    return ConvNet(channels, image_size, num_classes, width=8, depth=1, norm='batch')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = TeacherSettings("own_teacher:make", epochs=2)
    assert same(get_teacher(digits, own, CPU), get_teacher(digits, own, CPU))
    assert len(epochs_trained) == 4 and not (fresh_cache / "teachers").exists()
    assert resolve("own_teacher:make").kind == "own_teacher:make"
