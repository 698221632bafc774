"""What a method learns: something that yields labelled images."""

from condensery.synthetic.learned import Content, Learned
from condensery.synthetic.pixels import Pixels

__all__ = ["Content", "Learned", "Pixels"]
