"""The example of section 3.2 of DCC: its measure by hand, and that it runs and draws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import three_and_eight as example
from PIL import Image

import condensery
from condensery import ImageData


def test_the_measure_by_hand() -> None:
    """Means (3, 1) and (1, 1): apart along (1, 0); their sum (4, 2) less what lies along it is (0, 2)."""
    apart, shared = example.directions(np.array([3.0, 1.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose((apart, shared), ((1, 0), (0, 1)), atol=1e-12)
    images = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 2.0], [0.0, -2.0], [1.0, 3.0], [-3.0, 1.0]])
    shares = example.discriminative_share(images, apart, shared)
    np.testing.assert_allclose(shares, [1, 1, 0, 0, 1 / 4, 3 / 4], atol=1e-12)


def test_the_measure_on_real_digits(digits: ImageData) -> None:
    data = condensery.load_images("digits", classes=["3", "8"])
    first, second = (example.pixels_of(data, c).mean(0).ravel() for c in (0, 1))
    apart, shared = example.directions(first, second)
    np.testing.assert_allclose((apart @ apart, shared @ shared, apart @ shared), (1, 1, 0), atol=1e-12)
    for image, expected in ((first - second, 1.0), (shared, 0.0)):
        assert example.discriminative_share(image[None], apart, shared)[0] == pytest.approx(
            expected, abs=1e-9
        )
    # both means have the same part along `shared`, and d / 2 more or less than the middle along `apart`
    inside = example.discriminative_share(np.stack([first, second]), apart, shared)
    along = np.array([first @ apart, second @ apart])
    np.testing.assert_allclose(first @ shared, second @ shared)
    np.testing.assert_allclose(inside, np.abs(along) / (np.abs(along) + first @ shared))


def test_left_share() -> None:
    image = np.array([[3.0, 0.0, -7.0, 1.0]])
    assert example.left_share(image) == pytest.approx(3 / 4)
    assert example.left_share(image[:, ::-1]) == pytest.approx(1 / 4)


def test_only_one_class_is_mirrored(digits: ImageData) -> None:
    turned = example.mirrored(digits, 3)
    for part, before in ((turned.train, digits.train), (turned.test, digits.test)):
        np.testing.assert_array_equal(
            part.pixels[part.labels == 3], before.pixels[before.labels == 3][:, :, ::-1]
        )
        np.testing.assert_array_equal(part.pixels[part.labels != 3], before.pixels[before.labels != 3])
    assert turned.fingerprint != digits.fingerprint


def test_colours_of_a_difference() -> None:
    white, red, blue = example.two_colours(np.array([[0.0, 9.0, -9.0]]))[0]
    assert white.tolist() == [1, 1, 1] and red[0] > 2 * red[2] and blue[2] > 2 * blue[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--classes 3,8,5", "--classes takes two names, such as 3,8, not '3,8,5'"),
        ("--out picture.gif", "ends in .png in a folder that exists, not picture.gif"),
        ("--out no/such/folder/picture.png", "in a folder that exists"),
    ],
)
def test_refused_before_it_computes(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        example.main(words.split())
    assert message in capsys.readouterr().err


def test_it_runs_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = "--data digits --steps 2 --ipc 2 --repeats 2 --epochs 1 --network convnet+width=8+depth=1"
    rows = example.main([*small.split(), "--out", str(tmp_path / "digits.png")])
    assert [row.name for row in rows] == ["real", "start of all", "DC", "DCC", "DCC, 3 mirrored"]
    _, start, dc, dcc, turned = rows
    for row in (dc, dcc, turned):
        assert [images.shape for images in row.images] == [(2, 8, 8)] * 2 and len(row.accuracy) == 2
        assert not np.allclose(row.images, start.images)
    assert not np.allclose(dc.images, dcc.images)
    printed = capsys.readouterr().out
    assert "285 training and 72 test images of 3 and 8, from digits" in printed
    assert all(example.describe(row) in printed for row in rows)
    assert all(math.isfinite(row.left) and (row.shares <= 1).all() for row in rows)
    with Image.open(tmp_path / "digits.png") as sheet:
        assert sheet.format == "PNG" and len(sheet.getcolors(1 << 20) or []) > 20
