"""Token-budget batches: packing, not padding."""

from collections.abc import Iterator, Sequence


def token_budget_ranges(lengths: Sequence[int], budget_tokens: int, *, padded: bool = False) -> Iterator[range]:
    """Consecutive ranges of indices that each cost at most `budget_tokens`, in order.

    A range costs its token counts together or, where it is padded, as often its greatest. A single length above the budget forms a
    range of its own, so that every index is covered exactly once.
    """
    start = 0
    total = longest = 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        grown = longest * (index + 1 - start) if padded else total + length
        if total and grown > budget_tokens:
            yield range(start, index)
            start, total, longest = index, 0, length
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))


def tokens_of_pass(lengths: Sequence[int], *, padded: bool = False) -> int:
    """What a batch of texts costs: its tokens, or those that it is padded to."""
    return max(lengths, default=0) * len(lengths) if padded else sum(lengths)
