"""Tables of plain values, for people or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], indent: str = "  ") -> str:
    """Rows under their headings, numbers to the right; nothing for no rows.

    Args:
        rows: by name of the field.
        columns: heading by name of the field, in order.
        indent: put before every line.
    """
    if not rows:
        return ""
    cells = [list(columns.values()), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    is_number = [all(isinstance(row[name], int | float) for row in rows) for name in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "".join(f"{indent}{line}\n" for line in lines)


def as_json(values: Any) -> str:
    """Values as JSON with a line for each, in the order given."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def size(size_bytes: int) -> str:
    """Bytes as a person reads them, in powers of 1024."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
