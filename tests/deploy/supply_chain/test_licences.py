"""Licences: each is known and allowed, and what is not is said."""

from email.message import Message
from importlib.metadata import PackageMetadata
from pathlib import Path
from typing import cast

import pytest

from deploy.supply_chain.licences import Licensed, licence_of, licences, main, required
from tests.conftest import ROOT

RUNTIME = licences(required((ROOT / "requirements.lock").read_text(encoding="utf-8")))


def metadata(**said: str | list[str]) -> PackageMetadata:
    message = Message()
    for name, values in said.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return cast("PackageMetadata", message)


@pytest.mark.parametrize("package", RUNTIME, ids=lambda package: package.name)
def test_every_package_that_the_project_needs_has_a_licence_that_is_allowed(package: Licensed) -> None:
    assert package.refused == []


def test_every_package_of_the_lock_is_among_them() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in ("apache-beam", "torch", "pymilvus", "sentence-transformers", "pyarrow"):
        assert f"\n{name}==" in lock
        assert name in {package.name for package in RUNTIME}


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ({"License_Expression": "Apache-2.0 AND MIT"}, "Apache-2.0 AND MIT"),
        ({"License_Expression": "MIT", "Classifier": "License :: OSI Approved :: BSD License"}, "MIT"),
        ({"License": "BSD-2-Clause", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD-2-Clause"),
        ({"Classifier": ["License :: OSI Approved", "License :: OSI Approved :: MIT License"]}, "MIT"),
        (
            {"Classifier": [f"License :: OSI Approved :: {one}" for one in ("MIT License", "BSD License")]},
            "MIT AND BSD-3-Clause",
        ),
        ({"License": "Apache 2.0 License"}, "Apache-2.0"),
        ({"License": "GNU General Public License"}, ""),
        ({"License": "Permission is hereby granted\nto everyone"}, ""),
        ({"Classifier": "License :: Other/Proprietary License"}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_read_wherever_a_package_says_it(said: dict[str, str | list[str]], licence: str) -> None:
    assert licence_of(metadata(**said)) == licence


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", []),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", []),
        ("Apache-2.0 WITH LLVM-exception", []),
        ("GPL-3.0-or-later", ["GPL-3.0-or-later"]),
        ("MIT AND (GPL-2.0-only OR LicenseRef-Ours)", ["GPL-2.0-only", "LicenseRef-Ours"]),
        ("", ["not known"]),
    ],
)
def test_what_is_not_allowed_is_named(licence: str, refused: list[str]) -> None:
    assert Licensed("package", "1", licence).refused == refused


def test_the_command_fails_for_a_package_that_cannot_be_vouched_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text(
        "# A lock\nnumpy==2.0 \\\n    --hash=sha256:00\nno-such-package==1 ; python_version < '4'\nnot-here==1 ; python_version < '3'\n"
    )
    assert main([str(lock)]) == 1
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == ["no-such-package", "numpy"]
    assert captured.err == "error: no-such-package not installed: not known\n"
