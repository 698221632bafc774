"""What people look at, and what other tools read."""

from condensery.report.export import FORMATS, ExportResult, export
from condensery.report.picture import picture, save_picture

__all__ = ["FORMATS", "ExportResult", "export", "picture", "save_picture"]
