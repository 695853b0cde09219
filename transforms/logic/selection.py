"""Which files and documents of a source are taken: patterns, dates, a sample. What is left out is counted by reason.

A file whose path names its date is chosen by that date alone: all its documents belong to it, whatever they say themselves, so that
consecutive windows take every file of a growing corpus exactly once. Documents of other files are chosen by their own date.
"""

import datetime as dt
import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from transforms.logic.identity import digest

_DIGITS = {"Y": 4, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}
_FROM_THE_YEAR_DOWN = ("YmdHMS", "YjHMS")
_DATE_CHARACTERS = {"Y": 4, "Ym": 7}
_DATE = re.compile(r"\{date:([^{}]*)\}")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_REDUCED = re.compile(r"(\d{4})(?:-(\d{2}))?")
_MAGIC = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])")
_MAGIC_AS_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_SAMPLE_BYTES = 8


def instant(text: str) -> dt.datetime | None:
    """The first instant of an ISO 8601 date or timestamp (also `YYYY` and `YYYY-MM`), with its time zone; UTC if it names none.

    None for anything else: no other way of writing a date is guessed.
    """
    text = text.strip()
    if reduced := _REDUCED.fullmatch(text):
        text = f"{reduced[1]}-{reduced[2] or '01'}-01"
    try:
        found = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Window:
    """A half-open stretch of time; an end that is None is open."""

    start: dt.datetime | None = None
    stop: dt.datetime | None = None

    def reason_against(self, date: str) -> str | None:
        """Why something of this date is left out: `date`, or `date_missing` if the text is no date; None if it is taken."""
        moment = instant(date)
        if moment is None:
            return "date_missing"
        inside = (self.start is None or self.start <= moment) and (self.stop is None or moment < self.stop)
        return None if inside else "date"


def window_of(date_from: str | None, date_to: str | None) -> Window | None:
    """The window from one date up to another, None without both; a text that is no date, or no time between, raises `ValueError`."""
    ends: list[dt.datetime | None] = []
    for flag, text in (("--date-from", date_from), ("--date-to", date_to)):
        end = None if text is None else instant(text)
        if text is not None and end is None:
            message = f"{flag} {text!r} is no date; write YYYY-MM-DD, or a timestamp such as 2026-03-01T06:00:00+02:00"
            raise ValueError(message)
        ends.append(end)
    start, stop = ends
    if start is not None and stop is not None and start >= stop:
        message = f"--date-to {date_to!r} is not after --date-from {date_from!r}; it is the first date no longer taken"
        raise ValueError(message)
    return None if start is None and stop is None else Window(start, stop)


@dataclass(frozen=True)
class PathTemplate:
    """A glob pattern in which `{date:FORMAT}` stands for a date.

    FORMAT is `strftime`'s, of the directives %Y %m %d %j %H %M %S and other text; the parts of a date may stand in several places, as in
    `{date:%Y}/day-{date:%m%d}`.

    Raises:
        ValueError: the pattern does not tell a date; the message names what is allowed.
    """

    pattern: str

    def __post_init__(self) -> None:
        if "{date" in _DATE.sub("", self.pattern):
            message = f"{self.pattern!r}: {{date must be followed by a format, as in {{date:%Y/%m/%d}}"
            raise ValueError(message)
        unknown = [f"%{name}" for name in self._directives if name not in _DIGITS]
        unknown += [name for one in self._formats for name in "*?[]" if name in one]
        if unknown:
            allowed = " ".join(f"%{name}" for name in _DIGITS)
            message = f"{self.pattern!r}: {unknown[0]} cannot stand in a date; allowed are {allowed} and plain text"
            raise ValueError(message)
        names = "".join(sorted(self._directives))
        if self.dated and not any(
            names == "".join(sorted(order[:count])) for order in _FROM_THE_YEAR_DOWN for count in range(1, 7)
        ):
            message = (
                f"{self.pattern!r}: a date needs every part from the year down, each once, as in %Y/%m/%d or %Y-%j"
            )
            raise ValueError(message)

    @property
    def dated(self) -> bool:
        """Whether the pattern holds a date."""
        return bool(self._formats)

    @property
    def glob(self) -> str:
        """The pattern with digits of any value in place of the date."""
        return _DATE.sub(lambda match: _DIRECTIVE.sub(lambda one: "[0-9]" * _DIGITS[one[1]], match[1]), self.pattern)

    def date_of(self, path: str) -> str:
        """The date in the path of a listed file, ISO 8601, as exact as the template; empty if there is none, as in `2026/02/30`."""
        match = self._regex.match(path) if self.dated else None
        if match is None:
            return ""
        try:
            found = dt.datetime.strptime("/".join(match.groups()), "/".join(self._formats)).replace(tzinfo=dt.UTC)
        except ValueError:
            return ""
        if "H" in self._directives:
            return found.isoformat()
        return found.date().isoformat()[: _DATE_CHARACTERS.get("".join(sorted(self._directives)), 10)]

    @property
    def _formats(self) -> list[str]:
        return _DATE.findall(self.pattern)

    @property
    def _directives(self) -> list[str]:
        return [name for one in self._formats for name in _DIRECTIVE.findall(one)]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        """Matches the paths of the glob and all that lie below them; the dates are its groups."""
        pieces = [_regex_of_glob(part) for part in _DATE.split(self.pattern.rstrip("/"))]
        pieces[1::2] = [f"({_regex_of_format(one)})" for one in self._formats]
        return re.compile(f"(?s:{''.join(pieces)}(?:/.*)?)\\Z")


def _regex_of_glob(glob: str) -> str:
    parts = _MAGIC.split(glob)
    parts[::2] = [re.escape(part) for part in parts[::2]]
    parts[1::2] = [_MAGIC_AS_REGEX.get(part, part.replace("[!", "[^")) for part in parts[1::2]]
    return "".join(parts)


def _regex_of_format(date_format: str) -> str:
    parts = _DIRECTIVE.split(date_format)
    parts[::2] = [re.escape(part) for part in parts[::2]]
    parts[1::2] = [f"[0-9]{{{_DIGITS[name]}}}" for name in parts[1::2]]
    return "".join(parts)


class Listed(Protocol):
    """What choosing needs of a listed file: `date` is that of its path, empty if it has none but should, None if it need not."""

    @property
    def uri(self) -> str: ...
    @property
    def date(self) -> str | None: ...
    @property
    def hidden(self) -> bool: ...


ListedT = TypeVar("ListedT", bound=Listed)


def select_files(
    files: Iterable[ListedT], exclude: Sequence[str], window: Window | None
) -> tuple[list[ListedT], Counter[str]]:
    """The files that are taken, in order, and how many are left out by reason.

    Reasons are `excluded` (a pattern matches the whole URI or the name), `hidden`, and `date` or `date_missing` of paths with a date.
    """
    excluded = re.compile("|".join(fnmatch.translate(pattern) for pattern in exclude) or r"(?!)")
    taken: list[ListedT] = []
    left_out: Counter[str] = Counter()
    for file in files:
        reason = None
        if excluded.match(file.uri) or excluded.match(file.uri.rsplit("/", 1)[-1]):
            reason = "excluded"
        elif file.hidden:
            reason = "hidden"
        elif window is not None and file.date is not None:
            reason = window.reason_against(file.date)
        if reason is None:
            taken.append(file)
        else:
            left_out[reason] += 1
    return taken, left_out


@dataclass(frozen=True)
class Selection:
    """Which documents are taken: those of a window, a share of them by a digest of their id, and at most so many."""

    window: Window | None = None
    sample: float = 1
    limit: int | None = None


def select_documents(
    documents: Iterable[Mapping[str, Any]], selection: Selection, path_date: str | None
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Documents of one file that are taken, in order, and how many are left out by reason.

    Args:
        documents: rows of the `RECORDS` schema.
        selection: `limit` is not applied here: it counts over files.
        path_date: `Listed.date` of their file; documents without a date of their own take it.

    Reasons are `date` and `date_missing` (the text is no date), then `sample`. A smaller sample is part of a larger one.
    """
    taken: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    window = selection.window if path_date is None else None
    for document in documents:
        row = dict(document)
        row["date"] = row["date"] or path_date or ""
        reason = None if window is None else window.reason_against(row["date"])
        if reason is None and not _sampled(row["document_id"], selection.sample):
            reason = "sample"
        if reason is None:
            taken.append(row)
        else:
            left_out[reason] += 1
    return taken, left_out


def _sampled(document_id: str, share: float) -> bool:
    if share >= 1:
        return True
    place = int.from_bytes(digest("sample", document_id)[:_SAMPLE_BYTES])
    return place < int(share * (1 << 8 * _SAMPLE_BYTES))
