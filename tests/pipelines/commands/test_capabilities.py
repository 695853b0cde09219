"""The table of capabilities, printed."""

from pathlib import Path

import pytest

from pipelines import cli
from tests.milvus_server import milvus_server
from transforms.adapters.milvus import capability_table


def test_without_a_milvus_all_versions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["capabilities"]) == 0
    assert capsys.readouterr().out == capability_table()


def test_a_server_is_asked_for_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with milvus_server("v2.5.4") as server:
        assert cli.main(["capabilities", "--milvus", server.uri]) == 0
    assert capsys.readouterr().out == capability_table("v2.5.4")


def test_milvus_lite_is_asked_and_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert cli.main(["capabilities", "--milvus", str(tmp_path / "milvus.db")]) == 0
        assert capsys.readouterr().out.startswith("| Milvus | Milvus Lite 3.")


def test_a_milvus_that_is_not_there_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["capabilities", "--milvus", "milvus.sqlite"]) == 2
    assert "neither a path ending in .db" in capsys.readouterr().err
