"""Dates, path templates, patterns and samples: each takes what it says, and counts the rest."""

import datetime as dt
import fnmatch
import re
from dataclasses import dataclass
from typing import Any

import pytest
from fsspec.utils import glob_translate
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.selection import (
    PathTemplate,
    Selection,
    Window,
    instant,
    select_documents,
    select_files,
    window_of,
)

NAIVE = dt.datetime.fromisoformat
PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)
ZONES = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
    lambda offset: dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
)
MOMENTS = st.datetimes(NAIVE("2025-12-30"), NAIVE("2026-01-03"), timezones=ZONES)
ENDS = st.none() | MOMENTS


def document(number: int, date: str = "") -> dict[str, Any]:
    return {"document_id": f"d{number}", "date": date, "text": "text"}


def ids(documents: list[dict[str, Any]]) -> list[str]:
    return [one["document_id"] for one in documents]


# --- dates ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", "2026-01-01T00:00:00+00:00"),
        ("2026-03", "2026-03-01T00:00:00+00:00"),
        ("2026-03-04", "2026-03-04T00:00:00+00:00"),
        ("20260304", "2026-03-04T00:00:00+00:00"),
        (" 2026-03-04T05:06 ", "2026-03-04T05:06:00+00:00"),
        ("2026-03-04T05:06:07Z", "2026-03-04T05:06:07+00:00"),
        ("2026-03-04 05:06:07.5 UTC", "2026-03-04T05:06:07.500000+00:00"),
        ("2026-03-04T05:06:07+05:30", "2026-03-04T05:06:07+05:30"),
    ],
)
def test_dates_are_read_as_utc_unless_they_say_otherwise(text: str, expected: str) -> None:
    found = instant(text)
    assert found is not None
    assert found.isoformat() == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "03/04/2026", "2026-13-01", "2026-02-30", "1772582400", "26-03-04", "2026-03-04T25:00"]
)
def test_what_is_no_date_is_not_guessed(text: str) -> None:
    assert instant(text) is None


@PROPERTY
@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    found = instant(text)
    assert found is None or found.tzinfo is not None
    assert Window(stop=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).reason_against(text) in {None, "date", "date_missing"}


@PROPERTY
@given(start=ENDS, stop=ENDS, moments=st.lists(MOMENTS, max_size=8))
def test_a_window_is_half_open_and_compares_in_utc(
    start: dt.datetime | None, stop: dt.datetime | None, moments: list[dt.datetime]
) -> None:
    window = Window(start, stop)
    for moment in moments:
        seconds = [None if one is None else one.timestamp() for one in (start, moment, stop)]
        first, at, last = seconds
        assert at is not None
        inside = (first is None or first <= at) and (last is None or at < last)
        assert window.reason_against(moment.isoformat()) == (None if inside else "date")


@PROPERTY
@given(st.lists(MOMENTS, min_size=3, max_size=3, unique=True), st.lists(MOMENTS, max_size=20))
def test_consecutive_windows_take_every_document_once(ends: list[dt.datetime], moments: list[dt.datetime]) -> None:
    first, middle, last = sorted(ends)
    documents = [document(number, moment.isoformat()) for number, moment in enumerate(moments)]
    whole, parts = (
        [ids(select_documents(documents, Selection(window), None)[0]) for window in windows]
        for windows in ([Window(first, last)], [Window(first, middle), Window(middle, last)])
    )
    assert sorted(parts[0] + parts[1]) == sorted(whole[0])


def test_windows_are_made_of_dates_and_wrong_ones_are_named() -> None:
    assert window_of(None, None) is None
    assert window_of("2026-03-01", None) == Window(dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    assert window_of(None, "2026-03") == Window(None, dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    for date_from, date_to, said in (
        ("2026-03-32", None, "--date-from '2026-03-32' is no date; write YYYY-MM-DD"),
        (None, "tomorrow", "--date-to 'tomorrow' is no date"),
        ("2026-03-02", "2026-03-01", "--date-to '2026-03-01' is not after --date-from '2026-03-02'"),
        ("2026-03-01", "2026-03-01T00:00:00Z", "is not after"),
        ("2026-03-01T00:00:00-05:00", "2026-03-01T04:00:00Z", "is not after"),
    ):
        with pytest.raises(ValueError, match=said):
            window_of(date_from, date_to)


# --- dates in paths ---

FORMATS = [
    "%Y",
    "%Y/%m",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y-%j",
    "year=%Y/month=%m/day=%d",
    "%Y/%m/%d/%H",
    "%d.%m.%Y",
    "%Y%m%dT%H%M%S",
]


@PROPERTY
@given(
    moment=st.datetimes(NAIVE("0001-01-01"), NAIVE("9999-12-31")),
    date_format=st.sampled_from(FORMATS),
    before=st.sampled_from(["", "a/", "**/", "a*/b?/", "[ab]/", "x.y+z/"]),
    after=st.sampled_from(["/*.jsonl", ".jsonl", "/**/*.jsonl", "/part-[0-9]*", ""]),
)
def test_a_date_written_into_a_path_is_read_from_it(
    moment: dt.datetime, date_format: str, before: str, after: str
) -> None:
    template = PathTemplate(f"/root/{before}{{date:{date_format}}}{after}")
    # strftime of the C library does not pad years before 1000.
    written = moment.strftime(date_format.replace("%Y", f"{moment.year:04}"))
    real = {"**/": "p/q/", "a*/b?/": "ab/bc/", "[ab]/": "b/"}.get(before, before)
    end = {"/*.jsonl": "/f.jsonl", "/**/*.jsonl": "/g/f.jsonl", "/part-[0-9]*": "/part-7", "": "/g/f.jsonl"}.get(
        after, after
    )
    path = f"/root/{real}{written}{end}"
    found = instant(template.date_of(path))
    assert found is not None
    assert found.replace(tzinfo=None) == _floor(moment.replace(microsecond=0), date_format)
    assert after == "" or _matches(template.glob, path)


def _floor(moment: dt.datetime, date_format: str) -> dt.datetime:
    if "%S" in date_format:
        return moment
    if "%H" in date_format:
        return moment.replace(minute=0, second=0)
    if "%d" in date_format or "%j" in date_format:
        return moment.replace(hour=0, minute=0, second=0)
    return moment.replace(month=moment.month if "%m" in date_format else 1, day=1, hour=0, minute=0, second=0)


def _matches(glob: str, path: str) -> bool:
    """Whether the library that lists would list it."""
    return re.match(glob_translate(glob), path) is not None


def test_a_date_may_be_spread_over_a_path() -> None:
    template = PathTemplate("/b/y{date:%Y}/*/m{date:%m}/{date:%d}-*.jsonl")
    assert template.glob == "/b/y[0-9][0-9][0-9][0-9]/*/m[0-9][0-9]/[0-9][0-9]-*.jsonl"
    assert template.date_of("/b/y2026/x/m03/04-part.jsonl") == "2026-03-04"


@pytest.mark.parametrize(
    ("pattern", "path", "date"),
    [
        ("/{date:%Y}/*", "/2026/a", "2026"),
        ("/{date:%Y/%m}/", "/2026/03/a/b", "2026-03"),
        ("/{date:%Y/%j}", "/2026/064/a", "2026-03-05"),
        ("/{date:%Y%m%d%H}.jsonl", "/2026030405.jsonl", "2026-03-04T05:00:00+00:00"),
        ("/{date:%Y/%m/%d}/*", "/2026/02/30/a", ""),
        ("/{date:%Y/%m/%d}/*", "/2026/3/4/a", ""),
        ("/a.{date:%Y}", "/ab2026", ""),
        ("/*", "/2026", ""),
    ],
)
def test_dates_are_as_exact_as_their_template(pattern: str, path: str, date: str) -> None:
    assert PathTemplate(pattern).date_of(path) == date


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{date}", "must be followed by a format"),
        ("{date:%Y", "must be followed by a format"),
        ("{date:}", "from the year down"),
        ("{date:%m/%d}", "from the year down"),
        ("{date:%Y/%d}", "from the year down"),
        ("{date:%Y/%m/%j}", "from the year down"),
        ("{date:%Y}/{date:%Y}", "from the year down"),
        ("{date:%Y %b}", "%b cannot stand in a date; allowed are %Y %m %d %j %H %M %S"),
        ("{date:%Y/*}", r"\* cannot stand in a date"),
        ("{date:%Y%}", "cannot stand in a date|from the year down"),
    ],
)
def test_a_template_that_tells_no_date_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PathTemplate(pattern)


# --- files ---


@dataclass(frozen=True)
class File:
    uri: str
    date: str | None = None
    hidden: bool = False


def test_files_are_left_out_by_pattern_convention_and_date() -> None:
    files = [
        File("gs://b/a.jsonl"),
        File("gs://b/a.tmp"),
        File("gs://b/old/c.jsonl", "2026-03-01"),
        File("gs://b/_SUCCESS", hidden=True),
        File("gs://b/d.jsonl", "2026-03-01"),
        File("gs://b/e.jsonl", "2026-03-02"),
        File("gs://b/f.jsonl", ""),
        File("gs://b/_given.jsonl"),
    ]
    window = window_of("2026-03-01", "2026-03-02")
    taken, left_out = select_files(files, ["*.tmp", "gs://b/old/*"], window)
    assert [file.uri[7:] for file in taken] == ["a.jsonl", "d.jsonl", "_given.jsonl"]
    assert left_out == {"excluded": 2, "hidden": 1, "date": 1, "date_missing": 1}
    taken, left_out = select_files(files, [], None)
    assert [file.uri[7:] for file in taken] == [file.uri[7:] for file in files if not file.hidden]
    assert left_out == {"hidden": 1}


@PROPERTY
@given(
    names=st.lists(st.text("ab/.", min_size=1, max_size=6), max_size=8),
    patterns=st.lists(st.text("ab/.*?[]", min_size=1, max_size=5), max_size=3),
)
def test_every_file_is_taken_or_left_out_as_its_patterns_say(names: list[str], patterns: list[str]) -> None:
    files = [File(f"/{name}") for name in names]
    taken, left_out = select_files(files, patterns, None)
    assert taken == [
        file
        for file in files
        if not any(
            fnmatch.fnmatchcase(text, one) for one in patterns for text in (file.uri, file.uri.rsplit("/", 1)[1])
        )
    ]
    assert len(taken) + left_out["excluded"] == len(files)


# --- documents ---


def test_documents_of_a_dated_path_take_its_date_and_are_not_asked_for_their_own() -> None:
    documents = [document(0), document(1, "1999-01-01"), document(2, "n/a")]
    selection = Selection(window_of("2026-03-01", "2026-03-02"))
    taken, left_out = select_documents(documents, selection, "2026-03-01")
    assert [one["date"] for one in taken] == ["2026-03-01", "1999-01-01", "n/a"]
    assert not left_out
    taken, left_out = select_documents(documents, selection, None)
    assert (taken, left_out) == ([], {"date": 1, "date_missing": 2})
    assert documents == [document(0), document(1, "1999-01-01"), document(2, "n/a")]


def test_without_a_window_no_date_matters() -> None:
    documents = [document(0), document(1, "n/a")]
    assert select_documents(documents, Selection(), None) == (documents, {})


@PROPERTY
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_samples_are_nested_and_count_what_they_leave_out(names: list[str], one: float, other: float) -> None:
    documents = [{**document(0), "document_id": name} for name in names]
    small, large = (select_documents(documents, Selection(sample=share), None) for share in sorted((one, other)))
    rest = iter(large[0])
    assert all(document in rest for document in small[0])
    for taken, left_out in (small, large):
        assert len(taken) + left_out["sample"] == len(documents)
    assert select_documents(documents, Selection(sample=1), None)[0] == documents


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_sample_is_about_as_large_as_it_says_and_always_the_same(share: float) -> None:
    documents = [document(number) for number in range(10_000)]
    taken, _ = select_documents(documents, Selection(sample=share), None)
    # Five standard deviations of a binomial count.
    assert abs(len(taken) - 10_000 * share) < 5 * (10_000 * share * (1 - share)) ** 0.5
    assert select_documents(documents[::-1], Selection(sample=share), None)[0] == taken[::-1]
