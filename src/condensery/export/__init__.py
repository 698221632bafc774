"""A set for people and other tools: one picture, files of other formats, the command that makes it again."""

from condensery.export.formats import FORMATS, ExportResult, export
from condensery.export.picture import picture, save_picture
from condensery.export.run_command import run_command

__all__ = ["FORMATS", "ExportResult", "export", "picture", "run_command", "save_picture"]
