"""Reports from what lies on disk."""

from condensery.gathering.runs import report_of_runs

__all__ = ["report_of_runs"]
