"""No form of a secret is left in a text, and nothing else goes."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.logic.redaction import MASK, redact, redacted

TOKEN = 'root:correct horse/battery+staple\\n"é'
SECRETS = st.text(min_size=8, max_size=60).filter(lambda text: text.strip() == text and MASK not in text)
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "as JSON": json.dumps,
    "as JSON of any script": lambda text: json.dumps(text, ensure_ascii=False),
    "as Python writes it": repr,
    "as Python writes bytes": lambda text: repr(text.encode()),
    "percent-encoded": lambda text: quote(text, safe=""),
    "as gRPC's metadata": lambda text: str([("authorization", base64.b64encode(text.encode()))]),
    "as a header": lambda text: f"Authorization: Basic {base64.b64encode(text.encode()).decode()}\r\nHost: a",
    "as an URL-safe header": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_goes_in_every_form(form: str) -> None:
    text = f"before {FORMS[form](TOKEN)} after"
    found = redact(text, [TOKEN])
    for part in (
        "correct horse",
        "battery",
        base64.b64encode(TOKEN.encode()).decode().rstrip("="),
        quote("correct horse"),
    ):
        assert part not in found
    assert MASK in found
    assert found.startswith("before ")
    assert "a" in found


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_survives(secret: str, form: str, before: str, after: str) -> None:
    found = redact(before + FORMS[form](secret) + after, [secret])
    assert FORMS[form](secret) not in found
    assert secret not in found.replace(MASK, "\0")


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.=0123456789\n", max_size=200))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert redact(text, ["Correct Horse"]) == text


def test_the_password_goes_too_unless_it_is_a_word() -> None:
    assert redact("wrong password hunter2hunter2", ["root:hunter2hunter2"]) == f"wrong password {MASK}"
    assert redact("Milvus does not answer root:Milvus", ["root:Milvus"]) == f"Milvus does not answer {MASK}"


def test_a_secret_that_begins_another_leaves_no_rest() -> None:
    assert redact("abcdefgh12345678", ["abcdefgh", "abcdefgh12345678"]) == MASK


def test_a_short_secret_does_not_eat_the_text() -> None:
    assert redact("a cat", ["a"]) == "a cat"


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----"


def test_each_line_of_a_key_goes() -> None:
    assert redact("read BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj of it", [KEY]) == f"read {MASK} of it"
    assert redact("-----BEGIN CERTIFICATE-----", [KEY]) == "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see https://root:hunter2@example.org/x", f"see https://{MASK}@example.org/x"),
        ("s3://AKIA:ab/cd+e@bucket/x not found", f"s3://{MASK}@bucket/x not found"),
        ("blob?sv=2024&sig=ab%2Fc&se=1", f"blob?sv=2024&sig={MASK}&se=1"),
        ("x.gz?GoogleAccessId=me&Signature=abc", f"x.gz?GoogleAccessId={MASK}&Signature={MASK}"),
        ("https://h/x?access_token=abc", f"https://h/x?access_token={MASK}"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {MASK}"),
        ("{'Authorization': 'Basic cm9vdDpwdw=='}", f"{{'Authorization': 'Basic {MASK}'}}"),
        ('"authorization":"cm9vdDpwdw=="', f'"authorization":"{MASK}"'),
        ("('authorization', b'cm9vdDpwdw==')", f"('authorization', b'{MASK}')"),
        ("curl -H 'bearer 0123456789abcdef'", f"curl -H 'bearer {MASK}'"),
        ("?X-Amz-Signature=abc&X-Amz-Date=1", f"?X-Amz-Signature={MASK}&X-Amz-Date=1"),
        ("x-amz-security-token:FwoGZXIvYXdzE", f"x-amz-security-token:{MASK}"),
        ("X-Goog-Credential=me%40x%2F20260301&a=b", f"X-Goog-Credential={MASK}&a=b"),
        ("token ya29.a0AfH6SMC_x-1 given", f"token {MASK} given"),
        (f"key:\n{KEY}\nend", f"key:\n{MASK}\nend"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE and cut off", MASK),
    ],
)
def test_what_looks_like_a_secret_goes_unknown(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "tokens=12,562 of 65,217 tokens; --max-tokens 256",
        "mail a@b.example, see https://example.org/a@b",
        "gs://bucket/key@version s3://bucket/a:b@c",
        "http://127.0.0.1:9091/metrics/job@base64/eA http://[::1]:9/a@b",
        "https://h/x?tokens=5&signatures=2",
        "the bearer of this letter",
        "authorized by: me",
    ],
)
def test_what_only_resembles_one_stays(text: str) -> None:
    assert redact(text) == text


def test_a_text_is_redacted_once() -> None:
    text = "https://root:hunter2@h Authorization: Bearer abcdefgh x-amz-signature=abcdefgh"
    once = redact(text, ["abcdefgh"])
    assert redact(once, ["abcdefgh"]) == once == text.replace("abcdefgh", MASK).replace("root:hunter2", MASK)


def test_values_keep_their_shape_whatever_is_taken_out_of_them() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg"
    value = {
        "error": f"read {key}",
        "count": 3,
        "share": None,
        "list": [True, "a", ("https://u:secret-1@host/x",)],
        key: "b",
    }
    taken = redacted(value, redact)
    assert taken == {
        "error": f"read {MASK}",
        "count": 3,
        "share": None,
        "list": [True, "a", [f"https://{MASK}@host/x"]],
        MASK: "b",
    }
    # As one text it would end at the first line of the key.
    with pytest.raises(json.JSONDecodeError):
        json.loads(redact(json.dumps(value)))
