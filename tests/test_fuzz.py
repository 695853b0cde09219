"""The fuzz target itself: rounds can be repeated, the first ones hold, and a promise that is broken is seen."""

import time
from pathlib import Path

import pytest

from tests import fuzz


def test_the_first_rounds_hold_and_can_be_repeated(tmp_path: Path) -> None:
    files = fuzz.seeds()
    rounds = [fuzz.damaged(files, number) for number in range(500)]
    assert rounds[:50] == [fuzz.damaged(files, number) for number in range(50)]
    assert len({content for _, content in rounds}) > 400
    for name, content in rounds:
        fuzz.check(tmp_path, name, content)


def test_a_file_that_raises_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.adapters.formats.lines._has_rounded", lambda values: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        fuzz.check(tmp_path, "a.jsonl", b"{}\n")


def test_a_file_that_takes_too_long_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS_A_FILE", 1)
    monkeypatch.setattr("transforms.adapters.formats.lines._has_rounded", lambda values: time.sleep(30))
    with pytest.raises(fuzz.HangError):
        fuzz.check(tmp_path, "a.jsonl", b"{}\n")
