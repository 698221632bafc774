"""From encoded images to uint8 pixels, in parallel."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from condensery.data.listing import Item
from condensery.data.values import PLAIN, Extent, Range, choose_range, scaled
from condensery.errors import BadFile, BadInput, one_line

CHUNK = 64
"""Images per task: enough to hide what a task costs, few enough to keep little in memory."""


@dataclass(frozen=True)
class Wish:
    """How images shall come out.

    Attributes:
        size: side of the square they are resized and cropped to, None to keep their size.
        channels: 1 or 3, None for 1 where an image is grey and 3 otherwise.
        wide: the values of images with more than 8 bits that become 0 and 255; None if not known yet.
        narrow: the same for images with 8 bits.
    """

    size: int | None = None
    channels: int | None = None
    wide: Range | None = None
    narrow: Range = PLAIN


class WideImage(Exception):
    """An image has more than 8 bits for each value, and what they mean depends on the others: measure all."""


Decoded = tuple[str, "np.ndarray | BadFile"]


def decode_all(items: Iterable[Item], wish: Wish) -> Iterator[Decoded]:
    """Decode in parallel threads (PIL releases the GIL), in order, with a bounded number under way.

    Yields:
        (where, pixels): uint8 (H, W, C), C as `wish` says; or why the image cannot be decoded.

    Raises:
        WideImage: an image has more than 8 bits and `wish` does not say their range.
        BadInput: an image is too small, or has values out of the range.
    """
    return _in_parallel(items, lambda item: (item.where, _or_error(item, wish)))


def wide_extent(items: Iterable[Item]) -> Extent:
    """Which values the images with more than 8 bits hold, all together; damaged images are passed over."""
    found = [extent for extent in _in_parallel(items, _wide_extent) if extent is not None]
    together = found[0]
    for extent in found[1:]:
        together |= extent
    return together


def _or_error(item: Item, wish: Wish) -> np.ndarray | BadFile:
    try:
        return decode(item, wish)
    except BadFile as error:
        return error


def _wide_extent(item: Item) -> Extent | None:
    try:
        deep = _deep_values(_opened(item.payload)) if item.payload is not None else None
    except Exception:  # it will be named when it is decoded
        return None
    if deep is None:
        return None
    whole = bool((deep == np.round(deep)).all())
    return Extent(float(deep.min()), float(deep.max()), whole, deep.dtype.kind in "iu")


T = TypeVar("T")


def _in_parallel(items: Iterable[Item], work: Callable[[Item], T]) -> Iterator[T]:
    Image.init()  # plug-ins are loaded once here, not by several threads at the same time
    workers = min(8, os.cpu_count() or 1)
    chunks = _chunks(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as threads:
        waiting: deque[Future[list[T]]] = deque()

        def start(count: int) -> None:
            for chunk in islice(chunks, count):
                waiting.append(threads.submit(lambda some: [work(item) for item in some], chunk))

        try:
            start(2 * workers)
            while waiting:
                yield from waiting.popleft().result()
                start(1)
        finally:
            for future in waiting:
                future.cancel()


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def decode(item: Item, wish: Wish) -> np.ndarray:
    """One image as uint8 (H, W, C).

    Raises:
        BadFile: it cannot be decoded.
        BadInput: it is smaller than 8x8 pixels.
    """
    if item.payload is None:
        raise BadFile(f"{item.where} holds no image; remove the row")
    try:
        pixels = _ready(item.payload, wish)
        if pixels is None:
            pixels = _pixels(_plain(_opened(item.payload), wish), wish)
    except (MemoryError, WideImage, BadInput):
        raise
    except FileNotFoundError as error:
        raise BadFile(f"{item.where} is a link to nowhere or was removed meanwhile") from error
    except UnidentifiedImageError as error:  # PIL's own message names an address in memory
        raise BadFile(f"{item.where} is not an image that can be read; replace or remove it") from error
    except Exception as error:  # damaged files make PIL raise nearly any type
        raise BadFile(
            f"cannot read the image {item.where}: {one_line(error)}; replace or remove it"
        ) from error
    if min(pixels.shape[:2]) < 8:
        height, width = pixels.shape[:2]
        raise BadInput(f"{item.where} is {width}x{height}; at least 8x8 is needed, enlarge with --size")
    return pixels


def _ready(payload: Path | bytes | np.ndarray, wish: Wish) -> np.ndarray | None:
    """Pixels (H, W, C) of an array that comes out as it is; None for what PIL has to see."""
    plain = wish.size is None and wish.channels is None and wish.narrow.is_plain
    if not plain or not isinstance(payload, np.ndarray) or payload.dtype != np.uint8:
        return None
    if payload.ndim == 2:
        return payload[:, :, None]
    return _without_copies(payload) if payload.shape[2:] == (3,) else None


def _opened(payload: Path | bytes | np.ndarray) -> Image.Image:
    """The payload as a PIL image whose header is read."""
    if isinstance(payload, np.ndarray):
        return Image.fromarray(payload)
    if isinstance(payload, Path):
        payload = payload.read_bytes()
    if not payload:
        raise ValueError("the file is empty")
    return Image.open(io.BytesIO(payload))


def _pixels(image: Image.Image, wish: Wish) -> np.ndarray:
    """Apply the wish to an upright image of mode "L" or "RGB" -> uint8 (H, W, C)."""
    if wish.channels is not None:
        image = image.convert("L" if wish.channels == 1 else "RGB")
    if wish.size is not None:
        image = _resize(image, wish.size)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels[:, :, None]
    return _without_copies(pixels) if wish.channels is None else pixels


def _without_copies(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3), or (H, W, 1) of a grey image."""
    return pixels[:, :, :1] if _is_grey(pixels) else pixels


def _plain(image: Image.Image, wish: Wish) -> Image.Image:
    """Any image -> upright "L" or "RGB" with values in 0..255."""
    deep = _deep_values(image)
    if deep is None:
        image.load()
        plain = _eight_bits(ImageOps.exif_transpose(image))
        return plain if wish.narrow.is_plain else Image.fromarray(_ranged(np.asarray(plain), wish.narrow))
    if wish.wide is None:
        raise WideImage
    orientation = image.getexif().get(_ORIENTATION)
    values = _ranged(deep, wish.wide)
    turned = Image.fromarray(values)  # (H, W), or (H, W, 3 or 4)
    turned.getexif()[_ORIENTATION] = orientation or 1
    return _eight_bits(ImageOps.exif_transpose(turned))


def _ranged(values: np.ndarray, wanted: Range) -> np.ndarray:
    extent = Extent(float(values.min()), float(values.max()), False, values.dtype.kind in "iu")
    return scaled(values, choose_range(extent, wanted, "the images"))


_ORIENTATION = 0x0112


def _deep_values(image: Image.Image) -> np.ndarray | None:
    """Values (H, W) or (H, W, C) of an image that has more than 8 bits for each, None for any other image.

    PIL keeps the upper 8 bits of 16-bit colour alone. Its decoders also take the other order of bytes, in which
    the lower 8 bits are the upper ones.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    tiles = getattr(image, "tile", [])
    modes = {_raw_mode(tile) for tile in tiles}
    if len(modes) != 1 or (mode := modes.pop())[-4:] not in (";16B", ";16L") or mode.startswith("LA"):
        return None
    big = mode.endswith("B")
    other = mode[:-1] + ("L" if big else "B")
    stream = io.BytesIO(image.fp.getvalue())  # type: ignore[attr-defined]  # opened from memory, see _opened
    first = np.asarray(image).astype(np.uint16)
    with Image.open(stream) as again:
        again.tile = [tile._replace(args=_with_raw_mode(tile.args, other)) for tile in again.tile]
        second = np.asarray(again).astype(np.uint16)
    return first * 256 + second


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _with_raw_mode(args: Any, mode: str) -> Any:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode of PIL with 8 bits or fewer -> "L" or "RGB". What is transparent becomes white, as a viewer shows it."""
    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
        image = image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _resize(image: Image.Image, size: int) -> Image.Image:
    """Short side to `size` (bicubic, antialiased), then the central square."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels of (H, W, 3) are equal everywhere: grey, however it is stored."""
    red, green, blue = (pixels[:, :, c] for c in range(3))
    if (red[0] != green[0]).any():
        return False
    return bool((red == green).all() and (red == blue).all())
