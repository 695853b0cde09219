"""Text of others on a terminal, where some characters are orders: to move the cursor, to change colours, to write over other text."""


def visible(text: str) -> str:
    r"""A text whose control and format characters are written as in Python, `\x1b` for instance; line ends and tabs stay."""
    return "".join(one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in text)
