"""Which addresses may be reached in clear text, and which hold what they must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.addresses import check_address, check_no_user, holds_user, is_loopback
from transforms.logic.errors import ConfigurationError

HERE = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "milvus.localhost",
    "127.0.0.1",
    "127.255.255.254",
    "127.1.2.3",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
]
ELSEWHERE = [
    "milvus",
    "milvus.example.org",
    "10.0.0.1",
    "192.168.0.1",
    "128.0.0.1",
    "126.255.255.255",
    "0.0.0.0",
    "::",
    "::2",
    "fe80::1",
    "::ffff:10.0.0.1",
    # Other ways to write 127.0.0.1, which not everybody reads alike, and names that begin or end like it.
    "127.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "127.0.0.1.example.org",
    "localhost.example.org",
    "example-localhost",
    "xlocalhost",
    "",
]


def in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@pytest.mark.parametrize("host", HERE)
@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_clear_text_may_reach_this_machine(host: str, scheme: str) -> None:
    assert is_loopback(host)
    check_address(f"{scheme}://{in_address(host)}:19530", "--milvus")
    check_address(f"{scheme}://{in_address(host)}/database", "--milvus")


@pytest.mark.parametrize("host", ELSEWHERE)
@pytest.mark.parametrize("scheme", ["http", "tcp", "HTTP"])
def test_clear_text_reaches_no_other_unless_that_is_meant(host: str, scheme: str) -> None:
    assert not is_loopback(host)
    address = f"{scheme}://{in_address(host)}:19530"
    with pytest.raises(ConfigurationError, match=r"--milvus .*clear text.*https://.*--allow-clear-text-milvus"):
        check_address(address, "--milvus")
    check_address(address, "--milvus", allow_clear_text=True)
    check_address(f"https://{in_address(host)}:19530", "--milvus")


@pytest.mark.parametrize("address", ["milvus.db", "/data/a@b/milvus.db", "unix:/run/milvus.sock", "localhost:19530"])
def test_what_has_no_scheme_is_left_to_others(address: str) -> None:
    check_address(address, "--milvus")


WITH_SECRETS = [
    "http://root:hunter2@localhost:19530",
    "https://root:hunter2@milvus.example.org",
    "https://hunter2@milvus.example.org",
    "https://:hunter2@milvus.example.org",
    "tcp://root:hunter2@127.0.0.1",
    "http://localhost:hunter2@example.org",
    "http://127.0.0.1:80\\hunter2@example.org/",
    "https://milvus.example.org?token=hunter2",
    "https://milvus.example.org/db?token=hunter2",
    "https://milvus.example.org#hunter2",
    "http://127.0.0.1?@hunter2",
    "http://example.org#hunter2@127.0.0.1",
    "root:hunter2@milvus.example.org:19530",
    # Passwords and keys with a slash, or of digits, and addresses with a slash too few.
    "https://root:hunter2/x@milvus.example.org",
    "https://root:123/hunter2@milvus.example.org",
    "http:/root:hunter2@127.0.0.1",
    "https://milvus.example.org:hunter2",
]


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("address", WITH_SECRETS)
def test_an_address_holds_no_secret_and_none_is_repeated(address: str, allowed: bool) -> None:
    with pytest.raises(ConfigurationError, match="--milvus") as caught:
        check_address(address, "--milvus", allow_clear_text=allowed)
    assert "hunter2" not in str(caught.value)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--milvus is no address"):
        check_address("https://[::1", "--milvus")


@pytest.mark.parametrize(
    "text",
    [
        "https://host:port/ is what mail@a.b says",
        "https://gateway:9091/metrics/job@base64/bWU",
        "http://[::1]:9091/job@base64/bWU",
        "s3://bucket/a@b",
        "gs://bucket/a:b@c",
        "file:///a@b",
        "plain@text",
        "mail me: a@b.c",
        "",
        "https://h/p?u=a@b",
    ],
)
def test_an_at_sign_elsewhere_is_no_user(text: str) -> None:
    assert not holds_user(text)
    check_no_user(text, "--input")


@pytest.mark.parametrize("text", ["s3://AKIA:hunter2/de+f@bucket/docs/*", "s3:/a:hunter2@c"])
def test_a_key_with_slashes_is_found(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--input holds a user") as caught:
        check_no_user(text, "--input")
    assert "hunter2" not in str(caught.value)


@given(
    st.sampled_from(["s3", "gs", "https", "abfs"]),
    st.text(alphabet=st.characters(blacklist_characters="/?#", min_codepoint=33, max_codepoint=0x24F), min_size=1),
)
def test_every_user_is_found(scheme: str, user: str) -> None:
    address = f"{scheme}://{user}@bucket/key"
    assert holds_user(address)
    with pytest.raises(ConfigurationError, match="--input holds a user"):
        check_no_user(address, "--input")
