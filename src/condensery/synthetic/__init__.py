"""What a method learns: something that yields labelled images."""

from condensery.synthetic.pixels import Pixels

__all__ = ["Pixels"]
