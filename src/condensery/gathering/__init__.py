"""Reports from what lies on disk."""

from condensery.gathering.honest import honest
from condensery.gathering.runs import report_of_runs

__all__ = ["honest", "report_of_runs"]
