"""Selection of real images: the baselines that a condensed set has to beat. One file per selector."""

from condensery.coresets.random import random_selection

__all__ = ["random_selection"]
