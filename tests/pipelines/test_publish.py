"""Publish and rollback: what an alias means, what is loaded for it, and what stays."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.configuration import options
from pipelines.publish import Published, publish, rollback
from pipelines.search import search
from tests import fakes
from tests.fakes import ENCODED
from tests.pipelines.jobs import Job, document, make_model, story
from transforms.adapters.lease import leased
from transforms.adapters.milvus import Target, release, served
from transforms.adapters.milvus.aliases import Alias
from transforms.adapters.publications import Publications
from transforms.adapters.workspace import Workspace, collection_key
from transforms.logic.errors import ConfigurationError, CorruptDataError

ALIAS = "docs"


def edition(number: int, documents: int = 8) -> list[dict[str, Any]]:
    """The same documents, one of which is edited every time."""
    rows = [document(f"d{n}", story(f"d{n}", 4), lang=("en", "de")[n % 2]) for n in range(documents - 1)]
    return [*rows, document("edited", story(f"edition {number} ", 4))]


def publishing(job: Job, **changes: Any) -> dict[str, Any]:
    return job.options(collection=None, publish=ALIAS, **changes)


def published(job: Job, said: list[str] | None = None, **changes: Any) -> Published:
    config = options.to_config(publishing(job, **changes))
    beam_options = options.to_pipeline_options(["--runner=FnApiRunner"])
    return publish(config, beam_options, (lambda _: None) if said is None else said.append)


def names(job: Job) -> tuple[str | None, list[str]]:
    """What the alias means, and all collections."""
    with job.client() as client:
        collections = sorted(client.list_collections())
        meant = client.describe_alias(ALIAS)["collection_name"] if client.list_aliases()["aliases"] else None
    return meant, collections


def texts(job: Job, collection: str) -> set[str]:
    return {row["text"] for row in job.rows(collection).values()}


def _back(job: Job, **more: Any) -> str:
    return rollback(str(job.workspace), str(job.milvus), ALIAS, **more)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A job that has published a first generation, and a copy of its home."""
    home = tmp_path_factory.mktemp("publish")
    job = Job(home / "job", make_model(home / "model"))
    job.write("a.jsonl", edition(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.preflight.run_plan.open_encoder", fakes.open_fake_encoder)
        done = published(job)
    assert (done.exit_code, done.served, done.filled) == (0, "docs_0001", "docs_0001")
    shutil.copytree(job.home, home / "kept")
    return job, home / "kept"


@pytest.fixture
def first(kept: tuple[Job, Path], fake_encoder: None) -> Job:
    """One generation is published; nothing was encoded since."""
    job, copy = kept
    shutil.rmtree(job.home)
    shutil.copytree(copy, job.home)
    return job


def test_a_new_edition_goes_to_a_collection_of_its_own_and_the_alias_moves(first: Job) -> None:
    before = texts(first, "docs_0001")
    first.write("a.jsonl", edition(2))
    done = published(first)
    assert (done.exit_code, done.served) == (0, "docs_0002")
    # A full load, of which only what is new was encoded.
    assert (done.record["rows"]["written"], len(ENCODED)) == (16, 2)
    assert names(first) == ("docs_0002", ["docs_0001", "docs_0002"])
    assert texts(first, "docs_0001") == before
    assert texts(first, "docs_0002") ^ before == {
        text for n in (1, 2) for text in texts(first, f"docs_000{n}") if "edition" in text
    }


def test_when_nothing_changed_nothing_is_loaded(first: Job) -> None:
    said: list[str] = []
    done = published(first, said)
    assert (done.exit_code, done.served, done.filled, ENCODED) == (0, "docs_0001", None, [])
    assert said == ["nothing changed since docs_0001 was filled; docs goes on to mean it\n"]
    assert names(first) == ("docs_0001", ["docs_0001"])
    # Another configuration is a change.
    assert published(first, max_tokens=40).served == "docs_0002"


def test_a_served_collection_that_is_not_sound_is_replaced_though_nothing_changed(first: Job) -> None:
    with first.client() as client:
        client.delete("docs_0001", filter='document_id == "d1"')
    said: list[str] = []
    done = published(first, said)
    assert (done.exit_code, done.served, ENCODED) == (0, "docs_0002", [])
    assert said[0].startswith("FOUND in docs_0001: partition lang_de: count: 4 rows counted, 6 in the ledger")
    assert len(texts(first, "docs_0002")) == 16


def test_only_as_many_generations_stay_as_are_kept(first: Job, capsys: pytest.CaptureFixture[str]) -> None:
    first.write("a.jsonl", edition(2))
    published(first)
    first.write("a.jsonl", edition(3))
    published(first, keep_generations=0)
    assert names(first) == ("docs_0003", ["docs_0003"])
    for number in (1, 2):
        key = collection_key(str(first.milvus), f"docs_000{number}")
        ledger = Workspace(str(first.workspace), "", key).latest_ledger()
        assert (ledger.number, ledger.rows, ledger.parts) == (2, 0, ())
    # What they held may be collected now.
    assert cli.main(["workspace", "gc", str(first.workspace), "--keep-ledgers", "1", "--json"]) == 0
    garbage = json.loads(capsys.readouterr().out)["garbage"]
    parts = {one["path"].split("/")[1].split("-")[0] for one in garbage if one["kind"] == "ledger part"}
    assert parts == {"docs_0001", "docs_0002"}
    assert not [one for one in garbage if one["kind"] in {"publication", "other"}]


# --- the alias does not move ---


def test_a_run_that_is_not_good_moves_nothing_and_what_it_left_is_dropped_before_the_next(first: Job) -> None:
    first.write("a.jsonl", [*edition(2), *(document(f"bad{n}", fakes.POISON) for n in range(20))])
    said: list[str] = []
    done = published(first, said, max_reject_fraction=0.1)
    assert (done.exit_code, done.served, done.filled) == (4, "docs_0001", "docs_0002")
    assert said[-1] == "docs still means docs_0001: the run is not good\n"
    assert names(first) == ("docs_0001", ["docs_0001", "docs_0002"])
    first.write("a.jsonl", edition(3))
    assert published(first, said).served == "docs_0003"
    assert [one for one in said if one][-3:] == [
        "dropped docs_0002\n",
        "filling docs_0003\n",
        "docs means docs_0003, before that docs_0001\n",
    ]
    assert names(first) == ("docs_0003", ["docs_0001", "docs_0003"])


def test_a_source_that_lost_too_much_is_not_published(first: Job) -> None:
    first.write("a.jsonl", edition(1)[:5])
    said: list[str] = []
    done = published(first, said)
    assert (done.exit_code, done.served) == (7, "docs_0001")
    assert "docs_0002 has 37.50% fewer documents, above --max-delete-fraction 0.1" in said[-1]
    # A higher limit takes it as it is: nothing is loaded again.
    again = published(first, max_delete_fraction=0.4)
    assert (again.exit_code, again.served, again.record["rows"]["written"]) == (0, "docs_0002", 0)


def _of_somebody_else(job: Job, name: str) -> None:
    with job.client() as client:
        client.create_collection(name, dimension=4)


def test_a_collection_of_the_aliass_name_stays(job: Job) -> None:
    job.write("a.jsonl", edition(1))
    _of_somebody_else(job, ALIAS)
    with pytest.raises(ConfigurationError, match="'docs' is a collection, not an alias"):
        published(job)
    assert names(job)[1] == [ALIAS]


def test_an_alias_that_somebody_else_moved_is_taken_over_and_what_is_his_stays(first: Job) -> None:
    _of_somebody_else(first, "docs_0007")
    with first.client() as client:
        client.alter_alias("docs_0007", ALIAS)
    said: list[str] = []
    assert published(first, said, keep_generations=0).served == "docs_0008"
    assert said[0].startswith("docs means docs_0007, which was not published from this workspace")
    assert names(first) == ("docs_0008", ["docs_0007", "docs_0008"])


def test_two_at_once_are_kept_apart(first: Job) -> None:
    states = Publications(str(first.workspace), collection_key(str(first.milvus), ALIAS))
    with leased(states.lease, "somebody"):
        assert cli.main(["run", *first.flags(collection=None, publish=ALIAS)]) == 6
        assert cli.main(["rollback", ALIAS, *_places(first)]) == 6


# --- rollback ---


def test_an_alias_that_was_moved_behind_our_back_is_found_and_goes_back(
    first: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    first.write("a.jsonl", edition(2))
    assert published(first).served == "docs_0002"
    verify = ["verify", *_places(first), "--collection", ALIAS, "--quick"]
    assert cli.main(verify) == 0
    assert "quick verification of docs, which means docs_0002: ledger 1, 16 rows" in capsys.readouterr().out
    _of_somebody_else(first, "theirs")
    for meant in ("docs_0001", "theirs"):
        with first.client() as client:
            client.alter_alias(meant, ALIAS)
        assert cli.main([*verify, "--json"]) == 5
        told = json.loads(capsys.readouterr().out)
        (finding,) = told["findings"]
        assert (told["collection"], finding["kind"]) == (meant, "alias")
        assert finding["detail"] == (
            f"it means {meant}, what was published last is docs_0002; corpus-embed rollback docs --to docs_0002 goes back to it"
        )
        assert cli.main(["rollback", ALIAS, *_places(first), "--to", "docs_0002"]) == 0
        capsys.readouterr()
        assert cli.main(verify) == 0
        capsys.readouterr()


def test_what_is_there_no_more_is_found_and_filled_again(first: Job, capsys: pytest.CaptureFixture[str]) -> None:
    verify = ["verify", *_places(first), "--quick", "--collection"]
    with first.client() as client:
        client.drop_alias(ALIAS)
    assert cli.main([*verify, ALIAS]) == 5
    assert "FOUND: gone: the alias is not there; what was published last is docs_0001\n" in capsys.readouterr().out
    with first.client() as client:
        client.drop_collection("docs_0001")
    assert cli.main([*verify, "docs_0001"]) == 5
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "FOUND: gone: the collection is not there, and with it all rows of the ledger",
        "the collection is not what its ledger says; run again what filled it: no vector is encoded again; then verify again",
    ]
    assert published(first).served == "docs_0002"
    assert ENCODED == []
    assert cli.main([*verify, ALIAS]) == 0


def test_a_rollback_goes_to_the_one_before_and_back_again(first: Job) -> None:
    first.write("a.jsonl", edition(2))
    published(first)
    assert _back(first) == "docs_0001"
    assert names(first) == ("docs_0001", ["docs_0001", "docs_0002"])
    assert _back(first) == "docs_0002"
    assert _back(first, to="docs_0001") == "docs_0001"
    with first.client() as client:
        client.delete("docs_0002", filter='document_id == "d1"')
    with pytest.raises(CorruptDataError, match=r"(?s)docs_0002 is not what its ledger says.*4 rows counted, 6"):
        _back(first)
    assert names(first)[0] == "docs_0001"


def test_a_rollback_to_what_is_not_there_is_refused(first: Job) -> None:
    with pytest.raises(ConfigurationError, match="no generation before 'docs_0001' is kept"):
        _back(first)
    with pytest.raises(
        ConfigurationError, match="'docs_0009' is no generation that this alias meant; there is docs_0001"
    ):
        _back(first, to="docs_0009")
    with pytest.raises(ConfigurationError, match=r"there is no alias 'pages' at .*; there is docs$"):
        rollback(str(first.workspace), str(first.milvus), "pages")


# --- the commands ---


def _places(job: Job) -> list[str]:
    return ["--workspace", str(job.workspace), "--milvus", str(job.milvus)]


def test_the_commands_say_what_the_alias_means(first: Job, capsys: pytest.CaptureFixture[str]) -> None:
    first.write("a.jsonl", edition(2))
    assert cli.main(["run", *first.flags(collection=None, publish=ALIAS), "--runner=FnApiRunner"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("filling docs_0002\ndocs means docs_0002, before that docs_0001\nrun run-")
    assert f"corpus-embed search 'your question' --milvus {first.milvus} --collection docs\n" in said
    assert cli.main(["rollback", ALIAS, *_places(first)]) == 0
    assert capsys.readouterr().out == "docs means docs_0001\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"publish": None}, "--collection is required, or --publish"),
        ({"collection": "c"}, "leave out --collection"),
        ({"mirror": True}, "leave out --mirror"),
        ({"publish": "no name"}, "--publish: needs text matching"),
        ({"keep_generations": -1}, "--keep-generations: needs integer, 0 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(job: Job, changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options.to_config(job.options(**{"collection": None, "publish": ALIAS, **changes}))
    assert said in str(caught.value)


def test_a_run_on_an_alias_is_refused_and_a_search_of_it_is_not(first: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'docs' is an alias of 'docs_0001'; name that collection"):
        first.run(collection=ALIAS)
    monkeypatch.setattr(
        "pipelines.queries.open_encoder",
        lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
    )
    hits = search("rivers", Target(str(first.milvus), ALIAS), top=3)
    assert len(hits) == 3


def test_what_an_alias_means_is_never_dropped(first: Job) -> None:
    alias = Alias(served(Target(str(first.milvus), ALIAS)))
    with pytest.raises(ConfigurationError, match="collection 'docs_0001' is served as docs and stays"):
        alias.drop("docs_0001")
    alias.drop("docs_9999")
    alias.close()
    release(str(first.milvus))
    assert names(first) == ("docs_0001", ["docs_0001"])


def test_a_collection_is_dropped_when_its_name_is_typed_twice_and_no_alias_means_it(
    first: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    first.write("a.jsonl", edition(2))
    published(first)
    for collection, yes, said in (
        ("docs_0001", [], "'docs_0001' would be dropped with all its rows; if that is meant: --yes docs_0001"),
        ("docs_0001", ["--yes", "docs_0002"], "would be dropped"),
        ("docs_0002", ["--yes", "docs_0002"], "is served as docs and stays"),
        (ALIAS, ["--yes", ALIAS], "'docs' is an alias of 'docs_0002'; nothing was dropped"),
    ):
        assert cli.main(["drop", collection, *_places(first), *yes]) == 2
        assert said in capsys.readouterr().err
    assert names(first) == ("docs_0002", ["docs_0001", "docs_0002"])
    _of_somebody_else(first, "theirs")
    assert cli.main(["drop", "theirs", *_places(first), "--yes", "theirs"]) == 2
    # Again it changes nothing.
    for _ in range(2):
        assert cli.main(["drop", "docs_0001", *_places(first), "--yes", "docs_0001"]) == 0
    assert names(first) == ("docs_0002", ["docs_0002", "theirs"])
    key = collection_key(str(first.milvus), "docs_0001")
    assert Workspace(str(first.workspace), "", key).latest_ledger().rows == 0
    with pytest.raises(ConfigurationError, match="there is no collection 'docs_0001'"):
        _back(first)


def test_what_nobody_verifies_is_not_published(job: Job) -> None:
    job.write("a.jsonl", edition(1))
    with pytest.raises(
        ConfigurationError, match="--verify none: an alias comes to mean a collection that was verified"
    ):
        published(job, verify="none")
    assert (ENCODED, names(job)) == ([], (None, []))
