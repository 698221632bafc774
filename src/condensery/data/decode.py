"""From encoded images to uint8 pixels, in parallel."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from condensery.data.listing import Item
from condensery.errors import BadFile, BadInput, one_line

CHUNK = 64
"""Images per task: enough to hide what a task costs, few enough to keep little in memory."""


@dataclass(frozen=True)
class Wish:
    """How images shall come out.

    Attributes:
        size: side of the square they are resized and cropped to, None to keep their size.
        channels: 1 or 3, None for 1 where an image is grey and 3 otherwise.
    """

    size: int | None = None
    channels: int | None = None


def decode_all(items: Iterable[Item], wish: Wish) -> Iterator[tuple[str, np.ndarray]]:
    """Decode in parallel threads (PIL releases the GIL), in order, with a bounded number under way.

    Yields:
        (where, pixels): uint8 (H, W, C), C as `wish` says.

    Raises:
        BadFile: for the first image that cannot be decoded, naming it.
    """
    Image.init()  # plug-ins are loaded once here, not by several threads at the same time
    workers = min(8, os.cpu_count() or 1)
    chunks = _chunks(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as threads:
        waiting: deque[Future[list[tuple[str, np.ndarray]]]] = deque()
        try:
            for chunk in islice(chunks, 2 * workers):
                waiting.append(threads.submit(_decode_chunk, chunk, wish))
            while waiting:
                yield from waiting.popleft().result()
                for chunk in islice(chunks, 1):
                    waiting.append(threads.submit(_decode_chunk, chunk, wish))
        finally:
            for future in waiting:
                future.cancel()


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _decode_chunk(items: Iterable[Item], wish: Wish) -> list[tuple[str, np.ndarray]]:
    return [(item.where, decode(item, wish)) for item in items]


def decode(item: Item, wish: Wish) -> np.ndarray:
    """One image as uint8 (H, W, C).

    Raises:
        BadFile: it cannot be decoded.
        BadInput: it is smaller than 8x8 pixels.
    """
    try:
        pixels = _pixels(_upright(item.payload), wish)
    except MemoryError:
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


def _upright(payload: Path | bytes | np.ndarray) -> Image.Image:
    """The payload as a loaded PIL image, turned as its EXIF orientation says."""
    if isinstance(payload, np.ndarray):
        return Image.fromarray(payload)
    if isinstance(payload, Path):
        payload = payload.read_bytes()
    if not payload:
        raise BadFile("the file is empty")
    with Image.open(io.BytesIO(payload)) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def _pixels(image: Image.Image, wish: Wish) -> np.ndarray:
    """Apply the wish to a PIL image -> uint8 (H, W, C)."""
    image = _plain(image)
    if wish.channels is not None:
        image = image.convert("L" if wish.channels == 1 else "RGB")
    if wish.size is not None:
        image = _resize(image, wish.size)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels[:, :, None]
    if wish.channels is None and _is_grey(pixels):
        return pixels[:, :, :1]
    return pixels


def _plain(image: Image.Image) -> Image.Image:
    """Any mode of PIL -> "L" or "RGB". What is transparent becomes white, as a viewer shows it."""
    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
        image = image.convert("RGBA")
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise BadFile("floating-point pixels have no agreed range")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Grey values 0..65535 -> 0..255, rounded to the nearest."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BadFile(f"grey values reach from {values.min()} to {values.max()}, expected 0 to 65535")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


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
    red = pixels[:, :, 0]
    return bool((red == pixels[:, :, 1]).all() and (red == pixels[:, :, 2]).all())
