"""What is deleted of documents that are gone: all or nothing, and nothing in doubt."""

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.mirroring import GONE, HELD, UNREAD, mirror


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2), st.floats(0, 1))
def test_all_or_nothing_is_deleted(held: int, gone: int, unread: int, fraction: float) -> None:
    gone = min(gone, held)
    mirrored = mirror({HELD: held, GONE: gone, UNREAD: unread}, fraction)
    allowed = gone <= fraction * held and not unread
    assert mirrored.deleted == (gone if allowed else 0)
    # What is not deleted has a name, and where nothing is gone there is nothing to name.
    assert (mirrored.outcome == "deleted") == (allowed or gone == 0)
    assert mirrored.describe() == {
        "held": held,
        "gone": gone,
        "unread": unread,
        "outcome": mirrored.outcome,
        "deleted": mirrored.deleted,
    }


def test_a_limit_of_one_allows_all_and_of_none_nothing() -> None:
    assert mirror({HELD: 3, GONE: 3}, 1).deleted == 3
    assert mirror({HELD: 1_000_000, GONE: 1}, 0).outcome == "over the limit"
    assert mirror({}, 0).outcome == "deleted"
