import numpy as np
import pytest
import regex

from transforms.logic import graphemes, scripts
from transforms.logic.code_points import CODE_POINTS, runs_of

EVERYTHING = "".join(map(chr, range(CODE_POINTS)))
ASKED = [scripts._LETTERS, scripts._BLANKED, *(pattern for _, pattern in graphemes._KINDS)]


@pytest.mark.parametrize("pattern", ASKED)
def test_whatever_is_asked_is_found_as_among_all_code_points(pattern: str) -> None:
    found = np.concatenate(list(runs_of(pattern)))
    expected = np.concatenate([np.arange(*match.span()) for match in regex.finditer(pattern, EVERYTHING)])

    assert found.tolist() == expected.tolist()
