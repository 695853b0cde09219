"""Bytes to records: sources are planned as splits, and each split is read to documents and rejects.

`splits` plans, `opening` tells what a file is, unpacks and recodes it, `reading` makes pages of its records, `groups` gathers them. Every
format has a module: `lines` (JSON Lines), `json_values`, `delimited` (CSV, TSV), `files` (text, Markdown), `tables` (Parquet), `wet`,
and with extras `html`, `pdf`, `warc`. A record that cannot be used costs itself, a file that cannot be read costs its unread part.
"""

from transforms.adapters.formats.reading import Page, read_split
from transforms.adapters.formats.splits import Split, plan_splits

__all__ = ["Page", "Split", "plan_splits", "read_split"]
