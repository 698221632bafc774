"""Presets: what they set, where, and that everything in the file is a setting of a method."""

from __future__ import annotations

import shlex
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import condensery
from condensery import METHODS, BadInput, ImageData, get_method
from condensery.commands import run_command
from condensery.presets import PRESETS, preset_settings, preset_whitening, with_tiles_that_suit
from condensery.records import ImageSpec, LabeledImages

ENTRIES = [
    (
        preset,
        method,
        {
            k: v
            for k, v in entry.items()
            if k
            not in (
                "data",
                "network",
                "ipc",
                "least_ipc",
                "most_ipc",
                "least_side",
                "when",
                "steps",
                "whitening",
            )
        },
    )
    for preset, methods in tomllib.loads(
        (resources.files("condensery") / "presets.toml").read_text("utf-8")
    ).items()
    for method, entries in methods.items()
    for entry in entries
]


def spec(name: str, height: int = 32, width: int = 32) -> ImageSpec:
    return ImageSpec(1, height, width, ("a", "b"), (0.5,), (0.5,), name=name)


def images_of(pixels: np.ndarray) -> ImageData:
    """Grey images of two classes, in turn."""
    part = LabeledImages(pixels, np.arange(len(pixels)) % 2)
    return ImageData(spec("custom", *pixels.shape[1:3]), part, part, "custom", "")


@pytest.mark.parametrize(("preset", "method", "fields"), ENTRIES)
def test_every_entry_is_a_setting_of_a_method(preset: str, method: str, fields: dict[str, object]) -> None:
    assert preset in PRESETS and method in METHODS
    assert get_method(method, **fields) != get_method(method) or not fields


@pytest.mark.parametrize(
    ("method", "data", "ipc", "network", "expected"),
    [
        ("dm", "cifar10", 100, "convnet", {"image_lr": 10.0}),
        ("dm", "cifar10", 50, "convnet", {}),
        ("dm", "mnist", 100, "convnet", {}),
        ("dc", "mnist", 1, "mlp", {"image_lr": 0.01}),
        ("dsa", "cifar100", 50, "convnet", {"outer_loop": 10, "inner_loop": 10}),
        ("dsa", "cifar100", 10, "convnet", {}),
        ("patches", "mnist", 1, "convnet", {}),
    ],
)
def test_paper_is_what_was_published(method, data, ipc, network, expected) -> None:
    assert preset_settings("paper", method, spec(data), ipc, network) == (expected, None)


def test_a_variant_has_its_own_settings() -> None:
    """TESLA's README: 1000 for the images, and half of the gradient in its code."""
    where = ("paper", "mtt", spec("cifar10"), 1, "convnet")
    mtt, tesla = ({**preset_settings(*where, {"gradient": one})[0]} for one in ("exact", "tesla"))
    assert (
        "image_lr" not in mtt and tesla["image_lr"] == 500.0 and tesla["syn_steps"] == mtt["syn_steps"] == 50
    )
    assert preset_settings(*where, {"gradient": "tesla"})[1] == 10_000
    assert (
        preset_whitening(*where) == "zca-kornia" and preset_whitening(*where, {"gradient": "tesla"}) is None
    )


@pytest.mark.parametrize(
    ("height", "width", "ipc", "factor"),
    [(32, 32, 10, 2), (28, 28, 6, 2), (32, 32, 5, 4), (8, 8, 1, None)],
)
def test_fast_stores_tiles_of_images_that_are_large_enough(
    height: int, width: int, ipc: int, factor: int | None
) -> None:
    fields, _ = preset_settings("fast", "dm", spec("custom", height, width), ipc, "convnet")
    assert fields.get("factor") == factor


@pytest.mark.parametrize("preset", PRESETS)
def test_patches_are_tiles_from_100_pixels_on(preset: str) -> None:
    assert preset_settings(preset, "patches", spec("custom", 64, 64), 10, "convnet") == ({}, None)
    assert preset_settings(preset, "patches", spec("custom", 100, 120), 10, "convnet") == (
        {"factor": 2},
        None,
    )


def test_tiles_that_cannot_be_are_left_out_and_said() -> None:
    chosen, few = {"factor": 2, "real_batch": 8}, images_of(np.zeros((24, 8, 8, 1), np.uint8))
    assert with_tiles_that_suit(chosen, few, ipc=3) == (chosen, None)
    assert with_tiles_that_suit(chosen, few, ipc=4, init="noise") == (chosen, None)
    plain, said = with_tiles_that_suit(chosen, few, ipc=4)
    assert plain == {"factor": 1, "real_batch": 8} and "16 real images of each class are needed" in str(said)
    assert with_tiles_that_suit({"real_batch": 8}, few, ipc=4) == ({"real_batch": 8}, None)
    odd = images_of(np.zeros((24, 9, 8, 1), np.uint8))
    assert "8x9 pixels do not divide by 2" in str(with_tiles_that_suit(chosen, odd, 1)[1])


def test_many_tiles_and_a_teacher_are_for_images_that_keep_their_detail() -> None:
    rows = np.linspace(0, 255, 34, dtype=np.uint8)
    smooth = images_of(np.tile(rows[:32, None, None], (20, 1, 32, 1)))
    stripes = images_of(np.tile(np.array([[0], [255]] * 16, np.uint8)[:, None], (20, 1, 32, 1)))
    all_of_it = {"factor": 4, "teacher_weight": 1.0}
    assert with_tiles_that_suit(all_of_it, smooth, 1, "noise") == (all_of_it, None)
    lost = "tiles of 4x4 keep 0% of the detail of these images, and 70% is wanted"
    said = f"no tiles of 4x4: {lost}; no teacher either"
    assert with_tiles_that_suit(all_of_it, stripes, 1, "noise") == ({"factor": 2}, said)
    fewer = {"factor": 2, "teacher_weight": 1.0}
    assert with_tiles_that_suit(fewer, smooth, 1, "noise") == (fewer, None)
    said = f"no teacher, which would gain nothing: {lost}"
    assert with_tiles_that_suit(fewer, stripes, 1, "noise") == ({"factor": 2}, said)
    odd = images_of(np.tile(rows[:, None, None], (20, 1, 34, 1)))  # 34 does not divide by 4
    assert with_tiles_that_suit(fewer, odd, 1, "noise") == (fewer, None)


def test_without_tiles_there_is_no_teacher() -> None:
    few = images_of(np.tile(np.linspace(0, 255, 32, dtype=np.uint8)[:, None, None], (6, 1, 32, 1)))
    chosen, said = with_tiles_that_suit({"factor": 2, "teacher_weight": 1.0}, few, 1)
    assert chosen == {"factor": 1} and str(said).endswith("one has 3; no teacher either")
    assert with_tiles_that_suit({"teacher_weight": 1.0}, few, 1) == ({}, None)  # somebody chose the tiles


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        BadInput, match="unknown preset 'fats'; choose one of fast, paper; did you mean 'fast'"
    ):
        preset_settings("fats", "dm", spec("mnist"), 1, "convnet")


def test_what_is_given_comes_before_the_preset(tiny_file: Path) -> None:
    heard: list[str] = []
    made = condensery.condense(
        tiny_file,
        "dm",
        preset="fast",
        steps=2,
        image_lr=0.5,
        network="convnet+width=8",
        announce=heard.append,
    )
    assert (made.record["steps"], made.record["fields"]["real_batch"]) == (2, 64)
    assert made.record["fields"]["image_lr"] == 0.5
    assert "preset fast: 2 steps, real_batch 64; --preset paper is as published, 20,000 steps" in heard
    given = condensery.condense(
        tiny_file,
        "dm",
        preset="fast",
        steps=2,
        real_batch=7,
        network="convnet+width=8",
        announce=heard.append,
    )
    assert given.record["fields"]["real_batch"] == 7
    assert heard[-1] != heard[0] and any(line.startswith("preset fast: 2 steps; ") for line in heard)


def test_a_run_with_a_preset_resumes_by_what_it_recorded(tiny_file: Path, tmp_path: Path) -> None:
    run = {"ipc": 1, "network": "convnet+width=8+depth=2", "device": "cpu", "preset": "fast"}
    whole = condensery.condense(tiny_file, "dm", steps=4, **run)
    condensery.condense(tiny_file, "dm", steps=2, out=tmp_path / "run", **run)
    again = condensery.condense(
        tiny_file, "dm", steps=4, out=tmp_path / "run", resume=True, real_batch=64, **run
    )
    assert (whole.images == again.images).all()


def test_a_configured_method_takes_no_preset(tiny_file: Path) -> None:
    with pytest.raises(BadInput, match="a preset on the method itself"):
        condensery.condense(tiny_file, get_method("dm"), preset="fast")


def test_a_run_with_a_preset_goes_on(tiny_file: Path, tmp_path: Path) -> None:
    same = {"preset": "fast", "network": "convnet+width=8", "out": tmp_path / "run"}
    condensery.condense(tiny_file, "dm", steps=1, **same)
    made = condensery.condense(tiny_file, "dm", steps=2, resume=True, **same)
    assert (made.record["step"], made.record["fields"]["real_batch"]) == (2, 64)
    with pytest.raises(BadInput, match="was started with real_batch 64, not 256"):
        condensery.condense(tiny_file, "dm", resume=True, **{**same, "preset": "paper"})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_of_a_set_means_the_same_whatever_the_preset(tiny_file: Path, preset: str) -> None:
    """Commands take `fast` by themselves: what it sets is there, at a method's default too."""
    made = condensery.condense(tiny_file, "dm", preset=preset, steps=1, network="convnet+width=8")
    words = shlex.split(run_command(made.record))
    typed = dict(zip(words[2::2], words[3::2], strict=True))
    assert typed["--real-batch"] == str(made.record["fields"]["real_batch"])
    assert typed["--image-lr"] == str(made.record["fields"]["image_lr"])
