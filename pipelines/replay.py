"""A run's rejects processed again: the main job over the files that have them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import embed_corpus
from pipelines.configuration import options
from pipelines.configuration.config import Config
from transforms.adapters.rejected import read_rejects, reject_files
from transforms.adapters.workspace import Workspace
from transforms.logic.errors import ConfigurationError
from transforms.logic.replay import Again, patterns_again, place_of, same_bytes


@dataclass(frozen=True)
class Replayed:
    """The record of a replay, and at how many places the wanted rejects were and still are, by reason."""

    record: Mapping[str, Any]
    before: Mapping[str, int]
    remaining: Mapping[str, int]


def replay(
    uri: str,
    run_id: str,
    reasons: Sequence[str],
    changes: Mapping[str, Any],
    beam_options: PipelineOptions,
    say: Callable[[str], object] = lambda _: None,
) -> Replayed:
    """Runs the main job again over the files in which a run had rejects with these reasons, or with any if none is named.

    The configuration is the run's own, as its record has it, but for `changes`; documents that were not rejected are unchanged then. A
    replay never mirrors, as what is not in these files is not gone. A reject is cured if the replay rejected nothing at its place, nor
    the same bytes elsewhere in its file.

    Raises:
        ConfigurationError: there is no such run, or it has no such rejects.
    """
    (uris,) = reject_files(uri, run_id).values()
    wanted = {(place_of(row), row["reason"]): same_bytes(row) for row in _rows(uris, reasons)}
    if not wanted:
        of_reasons = f" with {', '.join(reasons)}" if reasons else ""
        raise ConfigurationError(f"--run {run_id} has no rejects{of_reasons}; see corpus-embed rejects ls")
    config, again = _configured(uri, run_id, changes, uris, {source for (source, _), _ in wanted})
    what = f"everything that the run read, as {again.whole}" if again.whole else f"{len(again.patterns):,} files"
    say(f"reading {what}\n")
    record = embed_corpus.run(config, beam_options, say)
    (uris,) = reject_files(config.storage.workspace, record["run_id"]).values()
    places = {place_of(row) for row in _rows(uris)}
    contents = {same_bytes(row) for row in _rows(uris)} - {None}
    return Replayed(
        record,
        Counter(reason for _, reason in wanted),
        Counter(reason for (place, reason), bytes_ in wanted.items() if place in places or bytes_ in contents),
    )


def _rows(uris: Sequence[str], reasons: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    for batch in read_rejects(uris, reasons):
        yield from batch.select(["source", "locator", "reason", "hash", "length_bytes"]).to_pylist()


def _configured(
    uri: str, run_id: str, changes: Mapping[str, Any], uris: Sequence[str], sources: set[str]
) -> tuple[Config, Again]:
    recorded = Workspace(uri, "", "").read_record(run_id)["configuration"]
    values = {name: value for section in recorded.values() for name, value in section.items()}
    if "mirror" in values:
        values["mirror"] = False
    reasons = {row["reason"] for row in _rows(uris) if row["source"] in sources}
    again = patterns_again(values["input"], values["limit"], sources, reasons)
    return options.to_config({**values, "workspace": uri, "input": again.patterns, **changes}), again
