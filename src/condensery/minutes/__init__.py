"""Minutes of a machine: settings with which a run ends in time, from a few real steps that are timed.

Data goes one way: a method, the images and a measurement come in, ordinary settings come out. A run records those, so
a repeat and a resumed run need no clock.
"""

from condensery.minutes.fitting import chosen_length, require_minutes, within
from condensery.minutes.preparing import seconds_of_pieces

__all__ = ["chosen_length", "require_minutes", "seconds_of_pieces", "within"]
