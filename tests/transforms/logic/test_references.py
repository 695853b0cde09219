"""References are told from secrets, and what is none is never repeated."""

import pytest

from transforms.logic.errors import ConfigurationError
from transforms.logic.references import Reference, parse_reference

FLAG = "--milvus-token"


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("env:MILVUS_TOKEN", "env", "MILVUS_TOKEN"),
        ("env:_a1", "env", "_a1"),
        ("file:/run/secrets/milvus token", "file", "/run/secrets/milvus token"),
        ("secret:projects/my-project/secrets/milvus_token/versions/7", "secret", None),
        ("secret:projects/example.com:my-project/secrets/a/versions/latest", "secret", None),
        ("secret:projects/1234567890/secrets/A-b_c/versions/12", "secret", None),
    ],
)
def test_a_reference_is_read_and_written_alike(text: str, kind: str, name: str | None) -> None:
    found = parse_reference(text, FLAG)
    assert found == Reference(found.kind, name or text.removeprefix("secret:"))
    assert found.kind == kind
    assert str(found) == text


SECRETS = [
    "root:Milvus",
    "hunter2hunter2",
    "",
    "env:",
    "env:root:hunter2hunter2",
    "env:A B",
    "env:1A",
    "ENV:MILVUS_TOKEN",
    "file:relative/hunter2hunter2",
    "file:/a\nhunter2hunter2",
    "secret:hunter2hunter2",
    "secret:projects/p/secrets/s",
    "secret:projects/p/secrets/s/versions/",
    "secret:projects/p/secrets/s/versions/1/../2",
    "secret:projects/../../x/secrets/s/versions/1",
    "secret:projects/p/secrets/s/versions/1:access?hunter2hunter2",
    "secret:https://example.org/projects/p/secrets/s/versions/1",
    " env:MILVUS_TOKEN",
    "env:MILVUS_TOKEN ",
    "env:MILVUS_TOKEN\n",
]


@pytest.mark.parametrize("text", SECRETS)
def test_anything_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"--milvus-token takes a reference.*env:NAME, file:/PATH or secret:"
    ) as caught:
        parse_reference(text, FLAG)
    assert "hunter2" not in str(caught.value)
