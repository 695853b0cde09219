"""Bytes to records: sources are planned as splits, and each split is read to documents and rejects.

`splits` plans, `reading` reads, and every other module knows one format. A record that cannot be used costs itself, a file that
cannot be read costs its unread part.
"""

from transforms.adapters.formats.reading import Page, read_split
from transforms.adapters.formats.splits import Split, plan_splits

__all__ = ["Page", "Split", "plan_splits", "read_split"]
