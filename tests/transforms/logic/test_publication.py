"""States of an alias, against a model that does the same with plain lists."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transforms.logic.errors import ConfigurationError
from transforms.logic.publication import Generation, Publication


def names(state: Publication) -> list[str]:
    return [one.collection for one in state.generations]


class Publishing(RuleBasedStateMachine):
    """An operator who publishes, rolls back and dies between a switch and its state."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Publication()
        self.alias: str | None = None
        self.collections: set[str] = set()
        self.ever: set[str] = set()

    @rule(fingerprint=st.sampled_from("ab"))
    def build(self, fingerprint: str) -> None:
        self.look()
        if self.state.building is not None:
            self.collections.discard(self.state.building.collection)
            self.state = self.state.drop(self.state.building.collection)
        name = self.state.next_name("docs", self.collections)
        assert name not in self.ever
        self.ever.add(name)
        self.state = self.state.begin(Generation(name, fingerprint, "run"))
        self.collections.add(name)

    @precondition(lambda self: self.state.building is not None)
    @rule(dies=st.booleans())
    def publish(self, dies: bool) -> None:
        assert self.state.building is not None
        self.alias = self.state.building.collection
        if not dies:
            self.state = self.state.serve(self.alias)

    @precondition(lambda self: len(self.state.generations) > 1)
    @rule(dies=st.booleans())
    def roll_back(self, dies: bool) -> None:
        self.look()
        self.alias = self.state.previous(str(self.alias)).collection
        if not dies:
            self.state = self.state.serve(self.alias, unfinished=False)

    @rule()
    def look(self) -> None:
        before = self.state
        self.state = self.state.seen(self.alias)
        if before != self.state:
            assert self.state.number == before.number + 1
        if self.alias is not None:
            assert self.state.served is not None
            assert self.state.served.collection == self.alias
        assert self.state.seen(self.alias) == self.state

    @rule(keep=st.integers(0, 3))
    def clean(self, keep: int) -> None:
        self.look()
        for one in self.state.not_kept(keep):
            assert one.collection != self.alias
            self.collections.discard(one.collection)
            self.state = self.state.drop(one.collection)
        assert len(self.state.generations) <= keep + 1

    @invariant()
    def what_is_served_is_there_and_the_state_reads_back(self) -> None:
        assert self.alias is None or self.alias in self.collections
        assert set(names(self.state)) <= self.collections
        assert Publication.from_values(self.state.to_values()) == self.state


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(deadline=None, derandomize=True, max_examples=60, stateful_step_count=30)

A, B, C = (Generation(f"docs_{number:04d}", "f", f"run-{number}") for number in (1, 2, 3))


def test_the_one_before_is_the_one_that_was_served_before() -> None:
    state = Publication(3, (C, B, A), None, 3)
    assert state.previous(C.collection) == B
    back = state.serve(B.collection)
    assert back.generations == (B, C, A)
    # A generation that was rolled back from is the first to go.
    later = back.begin(Generation("docs_0004", "g", "run")).serve("docs_0004")
    assert [one.collection for one in later.not_kept(1)] == [A.collection, C.collection]
    assert later.previous("docs_0004") == B
    with pytest.raises(ConfigurationError, match="no generation before 'docs_0001' is kept"):
        Publication(1, (A,), None, 1).previous(A.collection)


def test_numbers_are_above_all_that_are_taken() -> None:
    state = Publication(0, (), None, 7)
    assert state.next_name("docs", []) == "docs_0008"
    assert state.next_name("docs", ["docs_0041", "docs_9", "docs_0041x", "other_0099", "xdocs_0100"]) == "docs_0042"
    assert state.next_name("a.b", ["aXb_0100"]) == "a.b_0008"
    with pytest.raises(ConfigurationError, match="too long"):
        state.next_name("d" * 251, [])


def test_what_is_served_is_not_dropped_and_what_is_unknown_is_not_served() -> None:
    state = Publication(3, (B, A), C, 3)
    with pytest.raises(ConfigurationError, match="is served and stays"):
        state.drop(B.collection)
    with pytest.raises(
        ConfigurationError, match="'docs_0009' is no generation that this alias meant; there is docs_0002, docs_0001"
    ):
        state.serve("docs_0009")
    with pytest.raises(ConfigurationError, match="'docs_0003' is no generation"):
        state.serve(C.collection, unfinished=False)
    assert state.drop(C.collection).building is None
    # Somebody else moved the alias: nothing is known of that.
    assert state.seen("elsewhere") == state.seen(None) == state
    assert state.seen(C.collection) == replace(state, number=4, generations=(C, B, A), building=None)
