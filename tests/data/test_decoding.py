"""Decoding equals Pillow, for random images of every kind; values of more than 8 bits equal the arithmetic."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from condensery.data.decode import WideImage, Wish, decode, wide_extent
from condensery.data.listing import Item
from condensery.data.values import Extent, Range, choose_range, scaled, whole_range
from condensery.errors import BadInput

KINDS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
    "TGA": ("L", "RGB", "RGBA"),
}


def random_image(mode: str, seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(8, 40, 2)
    colour = Image.fromarray(generator.integers(0, 256, (height, width, 4)).astype(np.uint8), "RGBA")
    return (
        colour.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "P", "1") else colour.convert(mode)
    )


def as_a_viewer_shows_it(encoded: bytes) -> np.ndarray:
    """The picture on white, upright, in colour: uint8 (H, W, 3), by Pillow alone."""
    with Image.open(io.BytesIO(encoded)) as image:
        upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "P", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.asarray(upright.convert("RGB"))


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in KINDS.items() for mode in modes])
def test_equal_to_pillow(kind: str, mode: str) -> None:
    for seed in range(8):
        stream = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = seed + 1
        options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        random_image(mode, seed).save(stream, kind, **options)
        expected = as_a_viewer_shows_it(stream.getvalue())
        found = decode(Item("x", stream.getvalue()), Wish(channels=3))
        np.testing.assert_array_equal(found, expected)
        grey = decode(Item("x", stream.getvalue()), Wish(channels=1))
        np.testing.assert_array_equal(grey[..., 0], np.asarray(Image.fromarray(expected).convert("L")))


@pytest.mark.parametrize("size", [8, 13, 32])
def test_resized_as_pillow_does(size: int) -> None:
    for seed in range(10):
        image = random_image("RGB", seed)
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        large = image.resize((width, height), Image.Resampling.BICUBIC)
        expected = np.asarray(large.crop((left, top, left + size, top + size)))
        np.testing.assert_array_equal(decode(Item("x", np.asarray(image)), Wish(size=size)), expected)


def png_of_16_bits(values: np.ndarray) -> bytes:
    """uint16 (H, W, C) as a PNG, written byte by byte: Pillow writes no 16-bit colour."""
    height, width, channels = values.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    kind = {1: 0, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + values[y].astype(">u2").tobytes() for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_bit_of_16_bit_files_counts(channels: int, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (12, 9, channels))
    values[0, 0] = 2**bits - 1
    item = Item("x", png_of_16_bits(values.astype(np.uint16)))
    with pytest.raises(WideImage):
        decode(item, Wish())
    extent = wide_extent([item])
    assert (extent.low, extent.high, extent.integer) == (values.min(), values.max(), True)
    wanted = choose_range(extent, None, "x")
    assert wanted == (0, 2**bits - 1)
    found = decode(item, Wish(wide=wanted))
    np.testing.assert_array_equal(found, np.floor(values * 255 / (2**bits - 1) + 0.5).astype(np.uint8))


def test_16_bits_with_alpha_stand_on_white() -> None:
    values = np.full((8, 8, 4), 65535, np.uint16)
    values[..., 0], values[:4, :, 3] = 0, 0
    found = decode(Item("x", png_of_16_bits(values)), Wish(wide=Range(0, 65535)))
    assert (found[:4] == 255).all() and (found[4:] == [0, 255, 255]).all()


def test_16_bit_images_are_turned_as_exif_says() -> None:
    deep = Image.fromarray(np.arange(8 * 16, dtype=np.uint16).reshape(8, 16) * 500)
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    deep.save(stream, "PNG", exif=exif)
    found = decode(Item("x", stream.getvalue()), Wish(wide=Range(0, 65535)))
    stored = scaled(np.asarray(deep), Range(0, 65535))
    np.testing.assert_array_equal(found[..., 0], np.rot90(stored, -1))


def test_floating_pixels_need_a_range() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.linspace(-3, 7, 64, dtype=np.float32).reshape(8, 8)).save(stream, "TIFF")
    item = Item("x", stream.getvalue())
    with pytest.raises(BadInput, match=r"from -3 to 7, not all whole; .* --value-range -3,7"):
        choose_range(wide_extent([item]), None, "x")
    found = decode(item, Wish(wide=Range(-3, 7)))
    np.testing.assert_array_equal(found[..., 0].ravel(), np.round(np.linspace(0, 255, 64)))


@pytest.mark.parametrize(
    ("high", "right"),
    [
        (1, 1),
        (16, 16),
        (17, 255),
        (255, 255),
        (256, 1023),
        (1023, 1023),
        (4095, 4095),
        (4096, 16383),
        (65535, 65535),
    ],
)
def test_the_rule_for_whole_numbers(high: int, right: int) -> None:
    assert whole_range(high) == (0, right)


def test_scaling_is_exact_and_monotonous() -> None:
    for high in (1, 15, 16, 1023, 4095, 65535):
        values = np.arange(high + 1, dtype=np.uint16)
        found = scaled(values, Range(0, high)).astype(int)
        assert found[0] == 0 and found[-1] == 255 and (np.diff(found) >= 0).all()
        assert np.abs(found - np.arange(high + 1) * 255 / high).max() <= 0.5
    plain = np.arange(256, dtype=np.uint8)
    assert scaled(plain, Range(0, 255)) is plain
    np.testing.assert_array_equal(scaled(plain / 255, Range(0, 1)), plain)
    np.testing.assert_array_equal(scaled(plain / 127.5 - 1, Range(-1, 1)), plain)


def test_values_outside_a_range_are_refused() -> None:
    with pytest.raises(BadInput, match="hold values from 0 to 300, outside --value-range 0,255"):
        choose_range(Extent(0, 300, True, True), Range(0, 255), "they")
    with pytest.raises(BadInput, match="outside --value-range 0,99"):
        decode(Item("x", np.full((8, 8), 100, np.uint8)), Wish(narrow=Range(0, 99)))
