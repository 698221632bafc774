"""What the papers report, cell by cell: package data, with the table that each number comes from."""

from condensery.published.values import (
    ACCURACY,
    WHOLE,
    Published,
    PublishedCell,
    PublishedTable,
    lookup,
    tables,
)

__all__ = ["ACCURACY", "WHOLE", "Published", "PublishedCell", "PublishedTable", "lookup", "tables"]
