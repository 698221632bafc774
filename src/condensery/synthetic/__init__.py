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
from condensery.synthetic.starts import GIVEN, Start, start_of
from condensery.synthetic.stored import DECODERS, decoded, with_pixels
from condensery.synthetic.tiles import Tiles, start_images, start_notes

__all__ = [
    "DECODERS",
    "GIVEN",
    "Content",
    "Generated",
    "GeneratorNetwork",
    "Learned",
    "Pixels",
    "Start",
    "Tiles",
    "decoded",
    "default_blocks",
    "drawn_anew",
    "own_codes",
    "require_blocks",
    "start_images",
    "start_notes",
    "start_of",
    "with_pixels",
]
