"""Presets: what they set, where, and that everything in the file is a setting of a method."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

import condensery
from condensery import METHODS, BadInput, ImageData, get_method
from condensery.presets import PRESETS, preset_settings, run_command, without_what_cannot_be
from condensery.records import ImageSpec

ENTRIES = [
    (
        preset,
        method,
        {
            k: v
            for k, v in entry.items()
            if k not in ("data", "network", "ipc", "least_ipc", "least_side", "steps", "whitening")
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


@pytest.mark.parametrize(("height", "width", "factor"), [(32, 32, 2), (28, 28, 2), (8, 8, None)])
def test_fast_stores_tiles_of_images_that_are_large_enough(
    height: int, width: int, factor: int | None
) -> None:
    fields, _ = preset_settings("fast", "dm", spec("custom", height, width), 10, "convnet")
    assert fields.get("factor") == factor


@pytest.mark.parametrize("preset", PRESETS)
def test_patches_are_tiles_from_100_pixels_on(preset: str) -> None:
    assert preset_settings(preset, "patches", spec("custom", 64, 64), 10, "convnet") == ({}, None)
    assert preset_settings(preset, "patches", spec("custom", 100, 120), 10, "convnet") == (
        {"factor": 2},
        None,
    )


def test_tiles_that_cannot_be_are_left_out_and_said(tiny: ImageData) -> None:
    chosen = {"factor": 2, "real_batch": 8}
    assert without_what_cannot_be(chosen, tiny.spec, least=12, ipc=3) == (chosen, None)
    assert without_what_cannot_be(chosen, tiny.spec, least=12, ipc=4, init="noise") == (chosen, None)
    plain, said = without_what_cannot_be(chosen, tiny.spec, least=12, ipc=4)
    assert plain == {"factor": 1, "real_batch": 8} and "16 real images of each class are needed" in str(said)
    assert without_what_cannot_be({"real_batch": 8}, tiny.spec, least=1, ipc=4) == ({"real_batch": 8}, None)
    odd = replace(tiny.spec, height=9)
    assert "8x9 pixels do not divide by 2" in str(without_what_cannot_be(chosen, odd, 12, 1)[1])


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
