"""Splits gathered into groups, so that a corpus of many small files moves in few elements and full batches."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from transforms.adapters.formats.reading import Page, read_split, shown_uri
from transforms.adapters.formats.splits import TARGET_SPLIT_BYTES, Split
from transforms.adapters.storage import ChangedFileError, SourceFile, check_unchanged
from transforms.logic.records import Reading, reject
from transforms.logic.schemas import MAX_BATCH_BYTES, MAX_BATCH_ROWS, Reason
from transforms.logic.selection import Selection, select_documents
from transforms.logic.timeline import slowest_name

MAX_GROUP_SPLITS = 512
_MIN_GROUPS = 64
"""As many workers find something to do, if there are that many splits."""


@dataclass(frozen=True)
class SplitGroup:
    """Splits that one worker reads in order, and the dates of their paths (`SourceFile.date`)."""

    splits: tuple[Split, ...]
    dates: tuple[str | None, ...]


@dataclass
class GroupPage:
    """What was read of a group, within the limits of a batch: documents that are taken, rejects, and counts and seconds by tally name."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, page: Page, taken: list[dict[str, Any]], left_out: Counter[str]) -> None:
        """Adds a page of a split: what is taken of its documents, and how many are not, by reason."""
        self.documents += taken
        self.rejects += page.rejects
        self.counts.update({f"left_out.{reason}": count for reason, count in left_out.items()})
        self.counts.update({"documents.read": page.records_read, "bytes.read": page.bytes_read})
        self.counts.update({f"encoding.{name}.documents": count for name, count in page.encodings.items()})

    def takes(self, page: Page) -> bool:
        """Whether a page of a split fits beside what is there."""
        rows = max(len(self.documents) + len(page.documents), len(self.rejects) + len(page.rejects))
        return rows <= MAX_BATCH_ROWS and self.counts["bytes.read"] + page.bytes_read <= MAX_BATCH_BYTES


def group_splits(splits: Iterable[Split], files: Iterable[SourceFile], *, together: bool = False) -> list[SplitGroup]:
    """Groups neighbouring splits, in order, up to 64 MB and `MAX_GROUP_SPLITS` each; smaller if there would be few groups.

    Args:
        splits: in order of file and place.
        files: what the splits were planned from.
        together: all in one group, for one worker.
    """
    planned = list(splits)
    dates = {file.uri: file.date for file in files if file.date is not None}
    if together:
        return [_group(planned, dates)] if planned else []
    most_bytes = min(TARGET_SPLIT_BYTES, ceil(sum(split.size_bytes for split in planned) / _MIN_GROUPS))
    most_splits = min(MAX_GROUP_SPLITS, ceil(len(planned) / _MIN_GROUPS))
    groups: list[SplitGroup] = []
    gathered: list[Split] = []
    size_bytes = 0
    for split in planned:
        if gathered and (len(gathered) >= most_splits or size_bytes + split.size_bytes > most_bytes):
            groups.append(_group(gathered, dates))
            gathered, size_bytes = [], 0
        gathered.append(split)
        size_bytes += split.size_bytes
    return [*groups, _group(gathered, dates)] if gathered else groups


def _group(splits: list[Split], dates: Mapping[str, str]) -> SplitGroup:
    return SplitGroup(tuple(splits), tuple(dates.get(split.uri) for split in splits))


def read_group(
    group: SplitGroup, reading: Reading, selection: Selection, clock: Callable[[], float] | None = None
) -> Iterator[GroupPage]:
    """Reads the splits of a group in order, as pages that documents of several files share.

    With `selection.limit` the group is the whole corpus: it is read up to that many documents. What is left out is counted as
    `left_out.<reason>`, and by the limit also as `splits.left_out` and `files.left_out.limit`. With a clock, which gives seconds, the time
    that each split takes is counted too, without the time in which pages are worked on.
    """
    room = selection.limit
    gathered = GroupPage()
    for index, (split, date) in enumerate(zip(group.splits, group.dates, strict=True)):
        if room == 0:
            gathered.counts.update(_unread(group.splits, index))
            break
        gathered.counts["splits.read"] += 1
        watch = _Watch(clock)
        with closing(read_planned(split, reading)) as pages:
            for page in pages:
                if not gathered.takes(page):
                    watch.stop()
                    yield gathered
                    watch.start()
                    gathered = GroupPage()
                taken, left_out = select_documents(page.documents, selection, date)
                if room is not None:
                    left_out["limit"] = max(0, len(taken) - room)
                    taken = taken[:room]
                    room -= len(taken)
                gathered.add(page, taken, left_out)
                if room == 0:
                    break
        gathered.counts["source_bytes.read"] += split.size_bytes
        watch.stop()
        if watch.seconds:
            gathered.seconds[slowest_name(shown_uri(split.uri), split.start, split.stop)] = watch.seconds
    yield gathered


class _Watch:
    """Adds up the seconds between `start` and `stop`, as a clock has them; it has been started. Without a clock there are none."""

    def __init__(self, clock: Callable[[], float] | None) -> None:
        self._clock = clock
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        self._started = 0.0 if self._clock is None else self._clock()

    def stop(self) -> None:
        if self._clock is not None:
            self.seconds += self._clock() - self._started


def _unread(splits: tuple[Split, ...], index: int) -> Counter[str]:
    unread = splits[index:]
    files = {split.uri for split in unread} - {split.uri for split in splits[:index]}
    return Counter({"splits.left_out": len(unread), "files.left_out.limit": len(files)})


def read_planned(split: Split, reading: Reading) -> Generator[Page]:
    """The pages of a split as it was planned; what was read after its file changed becomes one reject of the file."""
    try:
        for page in read_split(split, reading):
            check_unchanged(split.uri, split.etag)
            yield page
    except ChangedFileError as changed:
        yield Page(rejects=[reject("read", Reason.CHANGED_FILE, shown_uri(split.uri), str(changed))])
