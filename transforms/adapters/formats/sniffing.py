"""Formats told by name and by content: names are believed until the first bytes say otherwise."""

import codecs
import re

import orjson

from transforms.logic.decoding import UTF8, marked_encoding, wide_encoding

HEAD_BYTES = 64 << 10
"""Bytes at the beginning of a file that tell what it is."""

AUTO = "auto"
"""Format of a file whose name tells nothing: its content does when it is read."""

_FORMATS = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "csv": "csv",
    "tsv": "tsv",
    "txt": "text",
    "text": "text",
    "md": "markdown",
    "markdown": "markdown",
    "html": "html",
    "htm": "html",
    "pdf": "pdf",
    "wet": "wet",
    "warc": "warc",
    "parquet": "parquet",
}
_COMPRESSIONS = {"gz": "gzip", "zst": "zstd", "bz2": "bz2", "xz": "xz"}
_PACKED_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_SKIPPABLE_FRAME = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_MAGIC = {b"PAR1": "parquet", b"%PDF": "pdf"}
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
}
_TAR_MAGIC_AT = 257
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
_OBJECT_IN_ARRAY = re.compile(rb"\[\s*(?:\{|\Z)")
_CONVERSION = re.compile(rb"^WARC-Type:[ \t]*conversion[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CAPTURE = re.compile(rb"^WARC-Type:[ \t]*(?:response|resource|revisit)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
# Any name may lie about these, as their content cannot be taken for anything else.
_CERTAIN = frozenset({"parquet", "pdf", "wet", "warc"})


def told_by_name(uri: str) -> tuple[str, str]:
    """Format and compression that a file's name tells: `auto` for an unknown ending, no compression as empty text."""
    name, dot, ending = uri.rsplit("/", 1)[-1].lower().rpartition(".")
    compression = _COMPRESSIONS.get(ending, "")
    while dot and ending in _COMPRESSIONS:
        name, dot, ending = name.rpartition(".")
    return _FORMATS.get(ending, AUTO) if dot else AUTO, compression


def compression_of(head: bytes) -> str:
    """Compression that the first bytes tell; empty for none."""
    for magic, compression in _PACKED_MAGIC.items():
        if head.startswith(magic):
            # `BZh` might begin a text; a bz2 stream goes on with its level and the first block.
            if compression == "bz2" and not (head[3:4].isdigit() and head[4:10] in {b"1AY&SY", b"\x17rE8P\x90"}):
                continue
            return compression
    return "zstd" if _SKIPPABLE_FRAME.match(head) else ""


def archive_of(head: bytes) -> str:
    """What kind of archive of several files this is, in words; empty for none."""
    for magic, archive in _ARCHIVES.items():
        if head.startswith(magic):
            return archive
    return "a tar archive" if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" else ""


def encoding_of(head: bytes) -> tuple[str, int]:
    """The Unicode encoding of an unpacked file, and the bytes of its mark; UTF-8 unless mark or zero bytes name another."""
    return marked_encoding(head) or (wide_encoding(head) or UTF8, 0)


def is_plain_text(head: bytes) -> bool:
    """Whether this is the beginning of UTF-8 text without control characters."""
    try:
        text = codecs.getincrementaldecoder(UTF8)().decode(head)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None


def told_by_content(named: str, head: bytes) -> str:
    """The format of an unpacked file: the one that its name told, unless its first bytes contradict; `auto` if neither tells.

    Text formats cannot contradict each other: a file named .txt or .md is what it is named, even if it begins with a brace.
    """
    encoding, mark_bytes = encoding_of(head)
    head = head[mark_bytes:]
    if encoding != UTF8:
        head = head.decode(encoding, "replace").encode()
    found = _by_content(named, head)
    if found in _CERTAIN or (named in _CERTAIN and found != AUTO):
        return found
    if found == "html":
        # Markdown may begin with HTML of its own.
        return named if named == "markdown" else found
    if found == "jsonl" and named in {"csv", "tsv"}:
        return found
    return found if named in {"jsonl", "json", AUTO} and found in {"jsonl", "json"} else named


def _by_content(named: str, head: bytes) -> str:
    for magic, format_name in _MAGIC.items():
        if head.startswith(magic):
            return format_name
    if head.startswith(b"WARC/"):
        if _CAPTURE.search(head):
            return "warc"
        return "wet" if _CONVERSION.search(head) or named == "wet" else "warc"
    if _HTML.match(head):
        return "html"
    stripped = head.lstrip()
    if stripped[:1] in {b"{", b"["}:
        return _json_or_lines(named, stripped)
    return AUTO


def _json_or_lines(named: str, head: bytes) -> str:
    """Whether a file that begins with a brace or bracket holds a value a line; what cannot be told stays as named."""
    line, newline, rest = head.partition(b"\n")
    if head.startswith(b"["):
        # An array is no record, so a line that is one cannot be meant as a line.
        return "json" if _OBJECT_IN_ARRAY.match(head) or not _is_json(line) else named
    if line.strip() == b"{":
        return "json"
    if newline and _is_json(line):
        return "jsonl" if named != "json" or rest.lstrip()[:1] in {b"{", b""} else named
    # A long line of which the head is the beginning, or a broken one.
    return named if named in {"jsonl", "csv", "tsv"} else "json"


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
