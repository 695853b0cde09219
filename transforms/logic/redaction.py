"""Secrets taken out of text: those that are known, in every form they may take on their way, and what is one by its looks."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

MASK = "[secret]"
_SHORTEST = 6
"""No password of Milvus is shorter; one that is would take every other word out of a text."""
_SHORTEST_PART = 8
"""The default password of Milvus is `Milvus`: a part of a secret so short is a word."""
_UNMASKED = rf"(?!{re.escape(MASK)})"
_QUOTE = "(?:b?['\"])?"
_BY_LOOKS = (
    # Headers, as a dictionary, as sent, or as a command line shows them.
    (
        re.compile(
            rf"(?i)(authorization['\"]?\s*[:=,]\s*{_QUOTE}(?:(?:bearer|basic)\s+)?){_UNMASKED}(?!(?:bearer|basic)\s)[^\s'\",;)\]}}]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9+/=._~-]{16,}"), rf"\1{MASK}"),
    # Bounded, so that a long word is not looked through from each of its letters.
    # A password may hold slashes, as keys of AWS do; a port is none.
    (
        re.compile(
            rf"([A-Za-z][A-Za-z0-9+.-]{{0,30}}://){_UNMASKED}"
            r"(?:[^\s/?#'\"@]+|[^\s/?#'\"@:\[]*:(?![0-9]{1,5}(?:[\s/?#'\"]|$))[^\s'\"@]{1,200})@"
        ),
        rf"\1{MASK}@",
    ),
    # Signed URLs (older ones of AWS and Google, those of Azure) and keys in queries.
    (
        re.compile(
            rf"(?i)([?&](?:sig|signature|awsaccesskeyid|googleaccessid|(?:access_|auth_|id_)?token|api_?key|password|secret)=){_UNMASKED}"
            r"[^\s&'\",;)\]}]+"
        ),
        rf"\1{MASK}",
    ),
    # Signed URLs (AWS Signature Version 4, Google Cloud Storage), and the headers of temporary credentials.
    (
        re.compile(
            rf"(?i)(x-(?:amz|goog)-(?:signature|credential|security-token)['\"]?\s*(?:%3d|[:=])\s*{_QUOTE}){_UNMASKED}"
            r"[^\s&'\",;)\]}]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\bya29\.[A-Za-z0-9_-]+"), MASK),
    (re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), MASK),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with `MASK` in place of each secret.

    A secret is masked as it is, and as Base64, percent-encoded, quoted or escaped; of `user:password` the password too, and of one of
    several lines each line, where they are long enough not to be words. Beyond that what is a secret by its looks is: values of
    authorization headers, users and passwords in URIs, signatures and tokens in their queries, Google's access tokens, private keys.
    """
    known = _pattern(frozenset(secrets))
    if known is not None:
        text = known.sub(MASK, text)
    for pattern, replacement in _BY_LOOKS:
        text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for part in _parts(secret) for form in _forms(part)}
    # The longest first, so that no rest of a secret is left behind.
    return re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form))))) if forms else None


def _parts(secret: str) -> Iterator[str]:
    yield secret
    parts = {secret.partition(":")[2], *(line.strip() for line in secret.splitlines())}
    # The first and last line of a key in PEM are no secret.
    yield from sorted(part for part in parts if len(part) >= _SHORTEST_PART and not part.startswith("-----"))


def _forms(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogateescape")
    yield part
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield repr(part)[1:-1]
    yield repr(data)[2:-1]
    yield quote(data, safe="")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Without padding it stands in both.
        yield encode(data).decode().rstrip("=")


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """A plain value with every text in it redacted, names too. Its text as JSON would not do: what is taken out may span quotes."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): redacted(one, redact) for name, one in value.items()}
    return [redacted(one, redact) for one in value] if isinstance(value, list | tuple) else value
