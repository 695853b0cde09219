"""States of an alias are committed one after another, by one process each, and read back as they were."""

from dataclasses import replace
from pathlib import Path

import pytest

from transforms.adapters.publications import Publications
from transforms.adapters.workspace import collection_key
from transforms.logic.errors import CorruptDataError, TransientError
from transforms.logic.publication import Generation, Publication


@pytest.fixture
def states(tmp_path: Path) -> Publications:
    return Publications(str(tmp_path), collection_key("http://localhost:19530", "docs"))


def test_the_last_committed_state_is_the_current_one(states: Publications) -> None:
    assert states.latest() == Publication()
    begun = states.commit(Publication().begin(Generation("docs_0001", "f", "run-1")))
    assert states.latest() == begun
    served = states.commit(begun.serve("docs_0001"))
    assert states.latest() == served
    assert served.number == 2
    # Another alias, or the same at another server, has states of its own.
    assert Publications(states.uri, collection_key("http://other:19530", "docs")).latest() == Publication()


def test_of_two_processes_one_commits(states: Publications) -> None:
    begun = states.commit(Publication().begin(Generation("docs_0001", "f", "run-1")))
    # Who is asked again for what it did changes nothing.
    assert states.commit(begun) == begun
    with pytest.raises(TransientError, match=r"another process wrote .*00000001\.json"):
        states.commit(Publication().begin(Generation("docs_0001", "g", "run-2")))
    assert states.latest() == begun


@pytest.mark.parametrize(("old", "new"), [('"docs_0001"', '"docs_0002"'), ('"format": 1', '"format": 2'), ("{", "[")])
def test_a_state_that_is_not_as_it_was_committed_is_named(
    states: Publications, tmp_path: Path, old: str, new: str
) -> None:
    states.commit(replace(Publication().begin(Generation("docs_0001", "f", "run-1")), last=1))
    (path,) = tmp_path.glob("publications/*/*.json")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CorruptDataError, match=path.name):
        states.latest()
