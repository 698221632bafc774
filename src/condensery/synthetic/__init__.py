"""What a method learns: something that yields labelled images; and what a file stores in place of images."""

from condensery.synthetic.generator import (
    Generated,
    GeneratorNetwork,
    default_blocks,
    drawn_anew,
    own_codes,
    require_blocks,
)
from condensery.synthetic.learned import Content, Learned
from condensery.synthetic.pixels import Pixels
from condensery.synthetic.stored import DECODERS, decoded, with_pixels
from condensery.synthetic.tiles import Tiles, require_start, start_images

__all__ = [
    "DECODERS",
    "Content",
    "Generated",
    "GeneratorNetwork",
    "Learned",
    "Pixels",
    "Tiles",
    "decoded",
    "default_blocks",
    "drawn_anew",
    "own_codes",
    "require_blocks",
    "require_start",
    "start_images",
    "with_pixels",
]
