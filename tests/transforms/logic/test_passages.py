"""Neighbouring chunks read on: every character once, in order."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.passages import places_in, read_on


@st.composite
def cuts(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A text, and chunks of it of which neighbours may overlap or leave some of it out."""
    text = draw(st.text(st.sampled_from("aäß字🎉 \n"), min_size=1, max_size=60))
    starts = sorted(draw(st.sets(st.integers(0, len(text) - 1), min_size=1, max_size=6)))
    ends = sorted(draw(st.sets(st.integers(1, len(text)), min_size=len(starts), max_size=len(starts))))
    pairs = [(start, max(end, start + 1)) for start, end in zip(starts, ends, strict=True)]
    ordered = [pair for place, pair in enumerate(pairs) if all(pair[1] > before[1] for before in pairs[:place])]
    rows = [
        {"id": f"c{number}", "ordinal": number + 3, "start": start, "end": end, "text": text[start:end]}
        for number, (start, end) in enumerate(ordered)
    ]
    return text, draw(st.permutations(rows))


@given(cuts(), st.data())
def test_no_character_comes_twice_and_none_is_lost(cut: tuple[str, list[dict[str, Any]]], data: st.DataObject) -> None:
    text, rows = cut
    chosen = data.draw(st.sampled_from(rows))
    passages = read_on(rows, chosen["id"])
    shown = [place for one in passages for place in range(one.start, one.end)]
    assert shown == sorted({place for row in rows for place in range(row["start"], row["end"])})
    assert all(one.text == text[one.start : one.end] for one in passages)
    (whole,) = [one for one in passages if one.id == chosen["id"]]
    assert whole.text == chosen["text"]
    gaps = [one.skipped for one in passages]
    assert gaps == [0, *(after.start - before.end for before, after in itertools.pairwise(passages))]


def test_an_overlap_is_shown_with_the_chosen_chunk() -> None:
    rows = [
        {"id": "a", "ordinal": 0, "start": 0, "end": 6, "text": "abcdef"},
        {"id": "b", "ordinal": 1, "start": 4, "end": 9, "text": "efghi"},
        {"id": "c", "ordinal": 2, "start": 8, "end": 12, "text": "ijkl"},
    ]
    assert [one.text for one in read_on(rows, "b")] == ["abcd", "efghi", "jkl"]
    assert [one.text for one in read_on(rows, "a")] == ["abcdef", "ghi", "jkl"]
    assert [one.text for one in read_on(rows, "c")] == ["abcd", "efgh", "ijkl"]


def test_places_are_ranks_in_the_other_ranking() -> None:
    assert places_in(["a", "b", "c"], ["c", "x", "a", "c"]) == [3, None, 1]
    assert places_in([], ["a"]) == []
