"""Where labelled images come from: sources, known sets, per-class sampling."""

from condensery.data.pool import ClassPool, PoolImages, batches
from condensery.data.sources import load
from condensery.data.specs import KNOWN_SETS, KnownSet, recognise
from condensery.data.whitened import whitened

__all__ = ["KNOWN_SETS", "ClassPool", "KnownSet", "PoolImages", "batches", "load", "recognise", "whitened"]
