"""Processes that share every step of one run: what they say to each other, and how they come together."""

from condensery.team.helpers import started
from condensery.team.launchers import launched
from condensery.team.team import ALONE, LostProcess, Team, meeting

__all__ = ["ALONE", "LostProcess", "Team", "launched", "meeting", "started"]
