"""Addresses, Milvus Lite's one process, and the token."""

import pickle
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

from tests.transforms.adapters.milvus.four import DIRECTIONS, SPACE, found, row
from transforms.adapters.milvus import Collection, Target, is_lite_path, release, served
from transforms.logic.access import Access
from transforms.logic.errors import ConfigurationError


@pytest.mark.parametrize("uri", ["milvus", "milvus.sqlite", "gs://bucket/milvus.db", "localhost:19530", "", "db"])
def test_an_address_of_no_known_kind_is_named(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--milvus .* neither a path ending in \.db") as caught:
        served(Target(uri, "corpus"))
    assert repr(uri) in str(caught.value)


def test_addresses_of_servers_are_left_alone() -> None:
    for uri in ("http://127.0.0.1:19530", "https://example.org", "tcp://127.0.0.1:1", "unix:/run/milvus.sock"):
        assert not is_lite_path(uri)
        assert served(Target(uri, "corpus", Access("env:TOKEN"))) == Target(uri, "corpus", Access("env:TOKEN"))
        release(uri)


# --- Milvus Lite's one process ---


def test_a_database_has_one_server_in_a_process(uri: str, target: Target) -> None:
    assert served(Target(uri, "other", Access("env:TOKEN"))) == Target(target.uri, "other", Access("env:TOKEN"))
    assert target.uri.startswith("http://127.0.0.1:")


def test_a_released_database_opens_again_with_its_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "milvus.db")
    for round_number in range(3):
        opened = Collection(served(Target(path, "corpus")))
        if not opened.exists():
            opened.create(SPACE)
        else:
            opened.load()
            assert opened.space() == SPACE
            assert opened.counts() == {"lang_de": round_number}
            assert len(found(opened, DIRECTIONS["de"])) == round_number
        opened.upsert("lang_de", [row(round_number)])
        opened.close()
        release(path)
    release(path)


_HOLDER = """
import sys
from transforms.adapters.milvus import Target, release, served

served(Target(sys.argv[1], "corpus"))
print("open", flush=True)
sys.stdin.readline()
release(sys.argv[1])
"""


def test_a_database_that_another_process_has_open_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "milvus.db")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "open\n"
    try:
        with pytest.raises(ConfigurationError, match="another process has it open") as caught:
            served(Target(path, "corpus"))
        assert repr(path) in str(caught.value)
    finally:
        holder.communicate("go\n", timeout=60)
    assert holder.returncode == 0
    served(Target(path, "corpus"))
    release(path)


def test_a_database_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = str(tmp_path / "file" / "milvus.db")
    with pytest.raises(ConfigurationError) as caught:
        served(Target(path, "corpus"))
    assert repr(path) in str(caught.value)


# --- the token ---


def test_a_token_that_is_not_set_is_named(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORPUS_EMBED_TEST_TOKEN", raising=False)
    with pytest.raises(
        ConfigurationError, match=r"--milvus-token env:CORPUS_EMBED_TEST_TOKEN: .*'CORPUS_EMBED_TEST_TOKEN' is not set"
    ):
        Collection(replace(target, access=Access("env:CORPUS_EMBED_TEST_TOKEN")))


def test_a_token_is_read_where_it_is_used_and_nowhere_kept(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "user:hunter2"
    monkeypatch.setenv("CORPUS_EMBED_TEST_TOKEN", secret)
    named = replace(target, access=Access("env:CORPUS_EMBED_TEST_TOKEN"))
    seen: list[str] = []
    initialise = MilvusClient.__init__

    def remember(client: MilvusClient, *args: Any, **settings: Any) -> None:
        seen.append(settings["token"])
        initialise(client, *args, **settings)

    monkeypatch.setattr(MilvusClient, "__init__", remember)
    Collection(named).close()
    assert seen == [secret]
    assert secret not in repr(named)
    assert secret.encode() not in pickle.dumps(named)
    assert pickle.loads(pickle.dumps(named)) == named


def test_a_token_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "user:hunter2"
    monkeypatch.setenv("CORPUS_EMBED_TEST_TOKEN", secret)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConfigurationError) as caught:
        Collection(Target(address, "corpus", Access("env:CORPUS_EMBED_TEST_TOKEN")))
    assert secret not in str(caught.value)
