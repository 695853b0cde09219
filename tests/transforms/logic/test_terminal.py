"""Text that a terminal shows and does not obey."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.terminal import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, Grüße, 日本語, हिन्दी\n\ta line", "plain text, Grüße, 日本語, हिन्दी\n\ta line"),
        ("\x1b[2J\x1b]0;title\x07gone", r"\x1b[2J\x1b]0;title\x07gone"),
        ("over\rwritten\b\x9b1m", r"over\rwritten\x08\x9b1m"),
        ("right\u202eto left\u2066", r"right\u202eto left\u2066"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_orders_to_a_terminal_become_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_what_is_shown_is_printable_and_stays_as_it_is(text: str) -> None:
    once = visible(text)
    assert all(one.isprintable() or one in "\n\t" for one in once)
    assert visible(once) == once
