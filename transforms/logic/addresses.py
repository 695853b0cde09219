"""Addresses of servers, and what must not stand in one: a user, a password, a query; nor clear text where others may listen."""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from transforms.logic.errors import ConfigurationError

_CLEAR_TEXT = frozenset({"http", "tcp"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Or, as keys of AWS have slashes: a colon that begins no port, and an @ wherever it comes.
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,2}(?:[^/?#]*@|[^/?#@\[]*:(?![0-9]{1,5}(?:[/?#]|$))\S*@)")


def holds_user(text: str) -> bool:
    """Whether a URI names a user, and perhaps a password, before its host: `scheme://user:password@host`."""
    return _USER.match(text) is not None


def may_hold_secret(text: str) -> bool:
    """Whether what should have been an address has a sign that stands beside secrets, so that no message may repeat it."""
    return not {"@", "?", "#"}.isdisjoint(text)


def check_no_user(text: str, what: str) -> None:
    """Refuses a URI with a user or password by `ConfigurationError`, which does not repeat it."""
    if holds_user(text):
        raise ConfigurationError(
            f"{what} holds a user or a password before its host (it is not shown); leave that out: Milvus's token is named by "
            "--milvus-token, and object stores take the credentials of their environment"
        )


def check_address(address: str, flag: str, *, allow_clear_text: bool = False) -> None:
    """Refuses an address of a server that holds a secret, or by which one would travel unencrypted to another machine.

    What has no scheme, such as the path of a Milvus Lite, and `unix:` are left alone.

    Args:
        address: as the user gave it.
        flag: that gave it.
        allow_clear_text: whether the user said that clear text is meant.

    Raises:
        ConfigurationError: naming the flag; the address only where it can hold no secret.
    """
    check_no_user(address, flag)
    if not _SCHEME.match(address):
        if "@" in address.split("/", maxsplit=1)[0]:
            raise ConfigurationError(
                f"{flag} holds an @ (it is not shown); name a path ending in .db or an https:// address"
            )
        return
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        # The error would repeat what stands in place of a port.
        raise ConfigurationError(
            f"{flag} is no address: its host or its port cannot be read; write it as https://HOST:PORT"
        ) from None
    if may_hold_secret(address):
        raise ConfigurationError(
            f"{flag} holds an @ or a query (it is not shown, as it may be a secret); write it as https://HOST:PORT"
        )
    if parts.scheme in _CLEAR_TEXT and not allow_clear_text and not is_loopback(host):
        raise ConfigurationError(
            f"{flag} {address!r}: rows and token would travel in clear text to another machine; use https://, or add "
            "--allow-clear-text-milvus where the network itself is trusted"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name or number: no name is looked up, as the answer may be anything.

    `localhost` and names below it are by RFC 6761, 6.3; numbers are read in their usual form alone (`127.1` is a name).
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        found = ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback
