"""Web pages: bytes to text by the encoding they declare, and the text of a page without what stands around it.

The text is that of the whole page but its navigation, header, footer and asides, by element and role. The main-content heuristics of
the same library are not used: they drop every unordered list and ruby base, and their time is quadratic in the depth of nesting.
"""

import codecs
from dataclasses import dataclass

import regex
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from transforms.logic.decoding import UTF8, Decoded, Policy, UndecodableError, decode, marked_encoding

_META_BYTES = 4096
_META = regex.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", regex.IGNORECASE)
_XML = regex.compile(rb"\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)", regex.IGNORECASE)
# Where Python's codec of a name knows less than browsers do: the codec, and the name of the WHATWG Encoding Standard.
_WIDER = {
    "shift_jis": ("cp932", "shift_jis"),
    "gbk": ("gb18030", "gbk"),
    "euc_kr": ("cp949", "euc-kr"),
    "big5": ("big5hkscs", "big5"),
    "iso8859-11": ("cp874", "windows-874"),
    "iso2022_jp": ("iso2022_jp", "iso-2022-jp"),
}
_ESCAPED = frozenset({"iso2022_jp"})
_ESCAPE = b"\x1b"
_ASIDE = (
    "nav",
    "aside",
    "footer",
    "body > header",
    "template",
    "rt",
    "rp",
    "[role=navigation]",
    "[role=banner]",
    "[role=contentinfo]",
    "[role=complementary]",
    "[role=search]",
    "[hidden]",
    "[aria-hidden=true]",
)


@dataclass(frozen=True)
class WebPage:
    """What a page holds; title and language are empty where it has none. `language` is the attribute as written, such as `pt-BR`."""

    text: str
    title: str
    language: str


def decode_declared(raw: bytes, policy: Policy, declared: str | None = None, *, markup: bool = True) -> Decoded:
    """The text of a page: by its byte order mark, as UTF-8, by what it is declared to be, and by a guess, whichever comes first.

    A character that the end of the bytes cuts off is left out: crawlers cut long pages anywhere.

    Args:
        raw: the page.
        policy: `strict` forbids the guess.
        declared: charset of the HTTP header; it stands before the page's own declaration.
        markup: whether the page may declare its encoding itself.

    Raises:
        UndecodableError: none of them explains the bytes.
    """
    own = (_META.search(raw, 0, _META_BYTES) or _XML.search(raw, 0, _META_BYTES)) if markup else None
    names = [declared or "", own[1].decode("ascii", "replace") if own else ""]
    codecs_declared = [found for name in names if (found := _codec(name)) is not None]
    if marked_encoding(raw) is None:
        # Such text is ASCII by its bytes, so it would pass for UTF-8.
        for codec, name in codecs_declared:
            if codec in _ESCAPED and _ESCAPE in raw and (text := _decoded(raw, codec)) is not None:
                return Decoded(text, name)
    try:
        return decode(raw, "strict")
    except UndecodableError:
        if marked_encoding(raw) is not None:
            raise
    for codec, name in [(UTF8, UTF8), *codecs_declared]:
        text = _decoded(raw, codec)
        if text is not None:
            return Decoded(text, name)
    return decode(raw, policy)


def _codec(name: str) -> tuple[str, str] | None:
    """Python's codec for a declared charset, and its name; None for one that no browser knows or that bytes in ASCII cannot declare."""
    known = map_encoding_to_html5(name.strip().lower(), fallback_utf8=False) if name else None
    if known is None or known.startswith("utf"):
        return None
    codec, plain = _WIDER.get(known, (known, known))
    return codec, regex.sub("^cp(?=125)", "windows-", plain).replace("iso8859-", "iso-8859-").replace("euc_", "euc-")


def _decoded(raw: bytes, codec: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)("strict").decode(raw)
    except UnicodeDecodeError:
        return None


def page_of(html: str) -> WebPage:
    """The text of a page, blocks on lines of their own, with title and language."""
    tree = HTMLTree.parse(html)
    root = tree.document.query_selector("html") if tree.document is not None else None
    language = ((root.getattr("lang") or root.getattr("xml:lang")) if root is not None else "") or ""
    text = extract_plain_text(tree, preserve_formatting=True, alt_texts=False, skip_elements=_ASIDE)
    return WebPage(text, " ".join((tree.title or "").split()), language.strip())
