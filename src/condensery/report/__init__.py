"""What people look at."""

from condensery.report.picture import picture, save_picture

__all__ = ["picture", "save_picture"]
