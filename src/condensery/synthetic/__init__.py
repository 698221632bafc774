"""What a method learns: something that yields labelled images; and what a file stores in place of images."""

from condensery.synthetic.learned import Content, Learned
from condensery.synthetic.pixels import Pixels
from condensery.synthetic.stored import DECODERS, decoded, with_pixels
from condensery.synthetic.tiles import Tiles, require_start, start_images

__all__ = [
    "DECODERS",
    "Content",
    "Learned",
    "Pixels",
    "Tiles",
    "decoded",
    "require_start",
    "start_images",
    "with_pixels",
]
