"""Token-budget batches: packing, not padding."""

from collections.abc import Iterator, Sequence


def token_budget_ranges(lengths: Sequence[int], budget_tokens: int) -> Iterator[range]:
    """Consecutive ranges of indices whose token counts add up to at most `budget_tokens`, in order.

    A single length above the budget forms a range of its own, so that every index is covered exactly once.
    """
    start = 0
    total = 0
    for index, length in enumerate(lengths):
        if total and total + length > budget_tokens:
            yield range(start, index)
            start, total = index, 0
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))
