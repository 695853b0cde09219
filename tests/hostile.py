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
