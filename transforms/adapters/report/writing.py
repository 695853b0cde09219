"""The report as a file."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from transforms.adapters.report.reading import MOST_SAMPLED, read_material
from transforms.adapters.storage import join, list_names, write_bytes
from transforms.logic.errors import CorpusEmbedError
from transforms.logic.report.page import Assets, Material, render

REPORT = "report.html"
FAILURES = (
    CorpusEmbedError,
    OSError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""All that may go wrong while a page is made: pyarrow's and numpy's own errors are among them. None is worth a run."""


@cache
def _assets() -> Assets:
    folder = files(__package__)
    return Assets(*(folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js")))


def render_report(material: Material) -> str:
    """The page."""
    return render(material, _assets())


def write_report(uri: str, record: Mapping[str, Any], *, with_texts: bool = True) -> str:
    """Puts the report of a run beside its record and gives the URI.

    Raises:
        OSError: it cannot be written.
    """
    target = join(_directory(uri, record["run_id"]), REPORT)
    page = render_report(read_material(uri, record, MOST_SAMPLED, with_texts=with_texts))
    write_bytes(target, page.encode())
    return target


def find_report(uri: str, run_id: str) -> str | None:
    """The URI of the report of a run, if there is one."""
    directory = _directory(uri, run_id)
    return join(directory, REPORT) if REPORT in list_names(directory) else None


def _directory(uri: str, run_id: str) -> str:
    return join(uri.rstrip("/"), "runs", run_id)
