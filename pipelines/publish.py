"""Publish: a full load into a fresh collection, verified, and then the alias that readers know means it; and the way back.

Readers see the old collection or the new one, never none and never half of one: the alias moves in one request, after the new collection
was verified, and a collection that an alias means is never dropped. Whoever dies on the way leaves a state (`transforms.logic.publication`)
from which the same command goes on.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import embed_corpus
from pipelines.command_line.arguments import add_on_busy
from pipelines.configuration.access import access_of, add_access_arguments
from pipelines.configuration.config import Config
from pipelines.drop import drop
from pipelines.preflight.labelling import labels_of
from pipelines.preflight.run_plan import run_id
from pipelines.preflight.sources import plan_sources
from pipelines.preflight.spaces import embedding_space
from pipelines.verify import verify_collection
from pipelines.watching.summary import summarise
from transforms.adapters.lease import OnBusy, leased
from transforms.adapters.milvus import Target, release, served
from transforms.adapters.milvus.aliases import Alias, no_such_alias
from transforms.adapters.models import describe_model
from transforms.adapters.publications import Publications
from transforms.adapters.report import find_report
from transforms.adapters.storage import check_writable
from transforms.adapters.workspace import Workspace, collection_key
from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError, CorruptDataError
from transforms.logic.identity import fingerprint
from transforms.logic.publication import Generation, Publication
from transforms.logic.record import EXIT_COMPLETE, EXIT_DELETES, EXIT_REJECTS

_GOOD = (EXIT_COMPLETE, EXIT_REJECTS)
# Of the options of storage: where things are and how they get there.
_NOT_DECISIVE = ("workspace", "milvus", "collection", "writers", "write_path")
Say = Callable[[str], object]


@dataclass(frozen=True)
class Published:
    """How a publication ended.

    Attributes:
        exit_code: of the run, or that of deletes over the limit.
        record: of the run that filled the generation, now or before.
        served: what the alias means now; None if it means nothing yet.
        filled: the generation that was filled, or None because nothing changed.
    """

    exit_code: int
    record: dict[str, Any]
    served: str | None
    filled: str | None


def publish(config: Config, beam_options: PipelineOptions, say: Say = lambda _: None) -> Published:
    """Loads the whole input into a fresh collection and lets the alias `--publish` mean it, if the run is good.

    Vectors that the dataset has are not made again. If the input, as listed, and the configuration are those of what is served, and that
    is found sound, nothing is loaded.

    Raises:
        ConfigurationError: a value is wrong; the alias is the name of a collection.
        TransientError: a service failed, or another process publishes this alias; running again resumes.
        CorruptDataError: the workspace does not hold what was written.
    """
    alias = str(config.run.publish)
    if config.run.verify == "none":
        raise ConfigurationError(
            "--verify none: an alias comes to mean a collection that was verified, and no other; choose quick or full, or leave it out"
        )
    check_writable(config.storage.workspace)
    steps = _Steps(config.storage.workspace, config.storage.milvus, alias, config.access.value, say)
    with leased(steps.states.lease, f"publish {alias}", config.run.on_busy, say):
        wanted = _fingerprint(config)
        state, now = steps.look()
        if state.served is not None and state.served.collection == now and state.served.fingerprint == wanted:
            found = verify_collection(config.storage.workspace, steps.target(now), "quick", on_busy=config.run.on_busy)
            if not found.findings:
                say(f"nothing changed since {now} was filled; {alias} goes on to mean it\n")
                # Who moved the alias may have died before this.
                steps.drop(state, config.run.keep_generations)
                record = steps.record(state.served)
                return Published(int(record["exit_code"]), record, now, None)
            say("".join(f"FOUND in {now}: {finding}\n" for finding in found.findings))
        state = steps.clear(state, wanted)
        state, building = steps.begin(state, wanted, lambda name: run_id(_generation_config(config, name)))
        say(f"filling {building.collection}\n")
        record = embed_corpus.run(_generation_config(config, building.collection), beam_options, say)
        if record["exit_code"] not in _GOOD:
            say(f"{alias} {_still(now)}: the run is not good\n")
            return Published(int(record["exit_code"]), record, now, building.collection)
        before = steps.record(state.served) if state.served is not None else None
        lost = _lost_share(before, record)
        if lost > config.run.max_delete_fraction:
            say(
                f"{alias} {_still(now)}: {building.collection} has {lost:.2%} fewer documents, above --max-delete-fraction "
                f"{config.run.max_delete_fraction:g}; if that is meant, run again with a higher one\n"
            )
            return Published(EXIT_DELETES, record, now, building.collection)
        state = steps.switch(state.serve(building.collection), building.collection)
        say(f"{alias} means {building.collection}{f', before that {now}' if now else ''}\n")
        steps.drop(state, config.run.keep_generations)
        return Published(int(record["exit_code"]), record, building.collection, building.collection)


def rollback(
    workspace: str,
    milvus: str,
    alias: str,
    to: str | None = None,
    reached: Access | None = None,
    on_busy: OnBusy = "refuse",
    say: Say = lambda _: None,
) -> str:
    """Lets an alias mean the generation that it meant before, or `to`, after a quick verification, and gives its name.

    Nothing is dropped, so that a second rollback undoes the first.

    Raises:
        ConfigurationError: there is no such generation any more.
        CorruptDataError: it is not what its ledger says.
    """
    steps = _Steps(workspace, milvus, alias, reached or Access(), say)
    with leased(steps.states.lease, f"rollback {alias}", on_busy, say):
        state, now = steps.look()
        if now is None:
            raise no_such_alias(steps.target(alias))
        chosen = to or state.previous(now).collection
        switched = state.serve(chosen, unfinished=False)
        found = verify_collection(workspace, steps.target(chosen), "quick", on_busy=on_busy, say=say)
        if found.findings:
            raise CorruptDataError(
                f"{chosen} is not what its ledger says, and {alias} still means {now}:\n"
                + "\n".join(f"  {finding}" for finding in found.findings)
            )
        steps.switch(switched, chosen)
        return chosen


class _Steps:
    """The steps of a publication, each of which may be the last of its process."""

    def __init__(self, workspace: str, milvus: str, alias: str, reached: Access, say: Say) -> None:
        self.states = Publications(workspace.rstrip("/"), collection_key(milvus, alias))
        self._workspace = workspace.rstrip("/")
        self._target = Target(milvus, alias, reached)
        self._say = say

    def target(self, collection: str) -> Target:
        """One of the collections, as runs name it."""
        return replace(self._target, collection=collection)

    def record(self, generation: Generation) -> dict[str, Any]:
        """The record of the run that filled a generation."""
        return Workspace(self._workspace, "", "").read_record(generation.run_id)

    def look(self) -> tuple[Publication, str | None]:
        """The state, brought up to what the alias means, and that."""
        state = self.states.latest()
        with self._alias() as alias:
            now = alias.served()
        seen = state.seen(now)
        if seen != state:
            self.states.commit(seen)
        elif now is not None and state.find(now) is None:
            self._say(
                f"{self._target.collection} means {now}, which was not published from this workspace; it is left as it is\n"
            )
        return seen, now

    def clear(self, state: Publication, wanted: str) -> Publication:
        """Drops what a dead run of other input or configuration left unfinished; one of the same is resumed."""
        if state.building is None or state.building.fingerprint == wanted:
            return state
        return self._drop(state, state.building)

    def begin(self, state: Publication, wanted: str, run_id_of: Callable[[str], str]) -> tuple[Publication, Generation]:
        """The generation to be filled: the one that a dead run began, else a new one, written down before its collection exists."""
        if state.building is not None:
            again = replace(state.building, run_id=run_id_of(state.building.collection))
            # Another run than the one that died, with other limits perhaps, may bring it to its end.
            return (state if again == state.building else self.states.commit(state.begin(again))), again
        with self._alias() as alias:
            name = state.next_name(self._target.collection, alias.collections())
        building = Generation(name, wanted, run_id_of(name))
        return self.states.commit(state.begin(building)), building

    def switch(self, after: Publication, collection: str) -> Publication:
        """Lets the alias mean a collection, then writes that down."""
        with self._alias() as alias:
            alias.serve(collection)
        return self.states.commit(after)

    def drop(self, state: Publication, keep: int) -> None:
        """Drops generations that are no longer kept."""
        for one in state.not_kept(keep):
            state = self._drop(state, one)

    def _drop(self, state: Publication, generation: Generation) -> Publication:
        drop(self._workspace, self.target(generation.collection))
        self._say(f"dropped {generation.collection}\n")
        return self.states.commit(state.drop(generation.collection))

    @contextmanager
    def _alias(self) -> Iterator[Alias]:
        opened = Alias(served(self._target))
        try:
            yield opened
        finally:
            opened.close()
            # A run opens it itself.
            release(self._target.uri)


def _generation_config(config: Config, collection: str) -> Config:
    """The run that fills a generation: a plain one into a collection of that name."""
    storage = config.storage.model_copy(update={"collection": collection})
    return config.model_copy(update={"storage": storage, "run": config.run.model_copy(update={"publish": None})})


def _fingerprint(config: Config) -> str:
    """Of all that decides the rows of a full load."""
    model = describe_model(config.encoding.model, config.encoding.revision)
    labels = labels_of(config)
    sections = ("source", "selection", "language", "chunking", "encoding", "representation")
    splits = [
        (split.uri, split.start, split.stop, split.size_bytes, split.etag) for split in plan_sources(config).splits
    ]
    return fingerprint(
        {
            **{name: getattr(config, name).model_dump(mode="json") for name in sections},
            "storage": config.storage.model_dump(mode="json", exclude=set(_NOT_DECISIVE)),
            "labels": None if labels is None else labels.digest(""),
            "embedding_space": embedding_space(config, model),
            "splits": splits,
        }
    )


def _still(served: str | None) -> str:
    return f"still means {served}" if served else "means nothing yet"


def _lost_share(before: dict[str, Any] | None, after: dict[str, Any]) -> float:
    """Which share of the documents that were served is not there any more, by number."""
    if before is None:
        return 0.0
    held, now = (
        sum(record["documents"][name] for name in ("embedded", "reused", "unchanged")) for record in (before, after)
    )
    return max(0, held - now) / max(1, held)


def execute_run(config: Config, beam_options: PipelineOptions) -> int:
    """What `run --publish` does: publishes, prints a summary and gives the exit code."""
    done = publish(config, beam_options, sys.stdout.write)
    if done.filled is not None:
        searched = config.run.publish if done.filled == done.served else done.filled
        storage = config.storage.model_copy(update={"collection": searched})
        shown = config.model_copy(update={"storage": storage})
        sys.stdout.write(summarise(done.record, shown, find_report(storage.workspace, done.record["run_id"])))
    return done.exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `rollback`."""
    parser.add_argument("alias", help="the alias")
    parser.add_argument("--workspace", required=True, metavar="URI", help="the workspace that it was published from")
    parser.add_argument("--milvus", required=True, help="address of the Milvus, as the runs named it")
    parser.add_argument("--to", metavar="COLLECTION", help="the generation to mean; default the one before")
    add_access_arguments(parser)
    add_on_busy(parser, "while somebody publishes")


def execute(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Rolls back and says what the alias means now."""
    values = parser.parse_args(list(argv))
    say = sys.stdout.write
    chosen = rollback(values.workspace, values.milvus, values.alias, values.to, access_of(values), values.on_busy, say)
    say(f"{values.alias} means {chosen}\n")
    return 0
