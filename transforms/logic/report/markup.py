"""HTML as a tree, which can only be written escaped: whatever a corpus, a file name or a server says stays text.

Names of elements and attributes are this project's own; values of attributes and texts may be anyone's. No attribute that a browser
would run or fetch is ever given a value from outside: none is called `href`, `src`, `style` or `on…` but with a constant.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias
from xml.etree import ElementTree as ET

import regex

Node: TypeAlias = ET.Element | str | None
Attributes: TypeAlias = Mapping[str, str | int | float | None]

_LANGUAGE = regex.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
# HTML has no way to write these; half a surrogate pair is no text at all.
_UNWRITABLE = regex.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_DECIMALS = 2


def tag(name: str, attributes: Attributes | None = None, *children: Node) -> ET.Element:
    """An element; attributes and children that are None are left out, numbers in attributes keep two decimals."""
    given = {key: _value(value) for key, value in (attributes or {}).items() if value is not None}
    return append(ET.Element(name, given), children)


def append(parent: ET.Element, children: Iterable[Node]) -> ET.Element:
    """The same element with more children."""
    for child in children:
        if isinstance(child, ET.Element):
            parent.append(child)
        elif child is not None:
            text = clean(child)
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + text
            else:
                parent.text = (parent.text or "") + text
    return parent


def language_attribute(language: str | None) -> str | None:
    """What `lang` may say; None for a label that is no BCP-47 tag."""
    return language if language is not None and _LANGUAGE.fullmatch(language) else None


def clean(text: str) -> str:
    """Text without the characters that HTML cannot hold."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def write(root: ET.Element) -> str:
    """The document as text."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return clean(value)
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")
