"""Texts that try to be more than values: ends of literals, escapes, operators, templates, controls and far planes, in any mixture."""

import random

_PARTS = (
    '"', "'", "\\", '\\"', "\\\\", "\\u0022", "\\\\u0022", "\\x22", "\\042", "\\n", "\n", "\r", "\t", "\0", "\x1b", "\x7f", "\u2028",
    " or ", " and ", " not ", '" or id != "', "' or '' == '", "\\u0022 or id != \\u0022", '"] or text in ["', "%", "_", "like", "{v0}", "{",
    "}", "[", "]", "(", ")", "$meta", "null", "true", "1", "-1", "==", "&&", "||", "//", "/*", "--", ";", "~0", "~1", "/", ".", " ",
    "\u00a0", "ä", "a\u0308", "น้ำ", "🎉", "\U0010ffff", "\ufeff", "\u202e", "id", "text", "a", "0",
)  # fmt: skip


def hostile_values(count: int, seed: int) -> list[str]:
    """So many texts of up to eight such parts; each part stands alone once."""
    chance = random.Random(seed)
    made = [*_PARTS, *("".join(chance.choices(_PARTS, k=chance.randint(2, 8))) for _ in range(count))]
    return made[:count]


_GO_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"'}


def read_literal(literal: str) -> str:
    """What a server reads: Go's `strconv.Unquote`, whose escapes of characters by number must not occur."""
    assert literal[0] == literal[-1] == '"'
    body, text, place = literal[1:-1], "", 0
    while place < len(body):
        assert body[place] not in '"\n', "the literal ends before its end"
        if body[place] != "\\":
            text, place = text + body[place], place + 1
        else:
            text, place = text + _GO_ESCAPES[body[place + 1]], place + 2
    return text
