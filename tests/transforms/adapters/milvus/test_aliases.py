"""Aliases: moved at once, under readers, and never left without a collection."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pymilvus import MilvusClient

from tests.transforms.adapters.milvus.four import DIRECTIONS, SPACE, row
from transforms.adapters.milvus import Collection, Target
from transforms.adapters.milvus.aliases import Alias, no_such_alias, no_such_collection
from transforms.logic.errors import ConfigurationError, CorpusEmbedError

ROWS = 20
_SWITCHES = 20


def fill(target: Target, source: str) -> None:
    """A collection of rows that all say where they are from."""
    collection = Collection(target)
    collection.create(SPACE)
    collection.upsert("lang_de", [row(number, source=source) for number in range(ROWS)])
    # Counted at strong consistency: readers see them from now on.
    assert collection.counts() == {"lang_de": ROWS}
    collection.close()


@contextmanager
def reader(target: Target) -> Iterator[Counter[str]]:
    """Reads by the alias until the block ends; counts what a read saw: one source, or what is wrong with it."""
    seen: Counter[str] = Counter()
    done, started = threading.Event(), threading.Event()

    def read() -> None:
        client = MilvusClient(uri=target.uri)
        while not done.is_set():
            try:
                hits = client.search(
                    target.collection,
                    [DIRECTIONS["de"]],
                    anns_field="dense",
                    limit=ROWS,
                    output_fields=["source"],
                    search_params={"metric_type": "COSINE"},
                )[0]
                sources = {hit["entity"]["source"] for hit in hits}
                seen["empty" if not hits else "mixed" if len(sources) > 1 or len(hits) < ROWS else sources.pop()] += 1
            except Exception as error:  # noqa: BLE001  whatever a reader sees counts
                seen[f"failed: {error!r}"] += 1
            started.set()
        client.close()

    thread = threading.Thread(target=read)
    thread.start()
    assert started.wait(60)
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def switch_under_a_reader(target: Target, switches: int) -> Counter[str]:
    """Moves an alias to and fro between two collections; gives what a reader saw meanwhile."""
    pair = [replace(target, collection=f"{target.collection}_{number}") for number in (1, 2)]
    for one in pair:
        fill(one, one.collection)
    alias = Alias(target)
    alias.serve(pair[0].collection)
    with reader(target) as seen:
        for number in range(switches):
            # At least one read for each state.
            before = seen.total()
            alias.serve(pair[(number + 1) % 2].collection)
            while seen.total() == before:
                pass
    assert alias.served() == pair[switches % 2].collection
    alias.close()
    return seen


def test_readers_see_one_collection_or_the_other_while_the_alias_moves(target: Target) -> None:
    seen = switch_under_a_reader(target, _SWITCHES)
    assert set(seen) == {f"{target.collection}_1", f"{target.collection}_2"}
    assert seen.total() > _SWITCHES


@pytest.fixture
def alias(target: Target) -> Iterator[Alias]:
    """Nothing is served yet; there is a collection `<name>_1`."""
    fill(replace(target, collection=f"{target.collection}_1"), "one")
    opened = Alias(target)
    yield opened
    opened.close()


def test_an_alias_is_made_moved_and_asked(target: Target, alias: Alias) -> None:
    first, second = f"{target.collection}_1", f"{target.collection}_2"
    fill(replace(target, collection=second), "two")
    assert alias.served() is None
    for collection in (first, first, second):
        alias.serve(collection)
        assert alias.served() == alias.meant() == collection
        assert alias.aliases_of(collection) == [target.collection]
    assert alias.aliases_of(first) == []
    assert {first, second} <= set(alias.collections())
    # What reads and writes by a collection's name reads by the alias too.
    by_alias = Collection(target)
    assert by_alias.exists()
    assert by_alias.space() == SPACE
    assert by_alias.counts() == {"lang_de": ROWS}
    by_alias.close()


def test_what_is_served_is_not_dropped(target: Target, alias: Alias) -> None:
    first = f"{target.collection}_1"
    alias.serve(first)
    with pytest.raises(ConfigurationError, match=f"collection '{first}' is served as {target.collection} and stays"):
        alias.drop(first)
    assert alias.served() == first
    fill(replace(target, collection=f"{target.collection}_2"), "two")
    alias.serve(f"{target.collection}_2")
    for _ in range(2):
        alias.drop(first)
        assert first not in alias.collections()


def test_a_collection_is_no_alias(target: Target, alias: Alias) -> None:
    of_collection = Alias(replace(target, collection=f"{target.collection}_1"))
    assert of_collection.meant() == f"{target.collection}_1"
    with pytest.raises(ConfigurationError, match="is a collection, not an alias"):
        of_collection.served()
    of_collection.close()


def test_who_names_what_is_not_there_hears_what_is(target: Target, alias: Alias) -> None:
    first = f"{target.collection}_1"
    alias.serve(first)
    assert target.collection in alias.aliases()
    mistyped = replace(target, collection=f"{first}0")
    assert str(no_such_collection(mistyped)).startswith(f"there is no collection '{first}0' at {target.uri!r}; ")
    assert first in str(no_such_collection(mistyped))
    assert target.collection in str(no_such_alias(replace(target, collection=f"{target.collection}s")))


def test_who_may_not_list_hears_that_much_less(target: Target, alias: Alias, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(opened: Alias) -> list[str]:
        raise CorpusEmbedError("permission denied")

    monkeypatch.setattr(Alias, "collections", refuse)
    said = str(no_such_collection(replace(target, collection="nowhere")))
    assert said == f"there is no collection 'nowhere' at {target.uri!r}"
