"""A set for people and other tools: one picture, files of other formats."""

from condensery.export.formats import FORMATS, ExportResult, export
from condensery.export.picture import picture, save_picture

__all__ = ["FORMATS", "ExportResult", "export", "picture", "save_picture"]
