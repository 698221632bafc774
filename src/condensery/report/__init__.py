"""What lies on disk -> rows of measurements -> tables and a page."""

from condensery.report.writing import require_writable, write_report

__all__ = ["require_writable", "write_report"]
