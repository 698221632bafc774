"""What people look at, and what other tools read."""

from condensery.report.export import FORMATS, ExportResult, export
from condensery.report.picture import picture, save_picture
from condensery.report.writing import require_writable, write_report

__all__ = ["FORMATS", "ExportResult", "export", "picture", "require_writable", "save_picture", "write_report"]
