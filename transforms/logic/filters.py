"""Which rows may answer a search: conditions on fields, made of values, and the expression that says them to Milvus.

No value ever becomes a piece of an expression by being pasted. Where the server has filter templates, values travel beside the expression;
elsewhere `quoted` writes them as literals that read back as what they were. Servers do not read keys of metadata as they read literals
(2.3.5 and later compare a key as it stands, and look for brackets in it), so keys with quotes, brackets or backslashes are refused.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from transforms.logic.errors import ConfigurationError
from transforms.logic.rows import LABEL_FIELDS, STORED_FIELDS
from transforms.logic.selection import window_of

Scalar = str | int | float | bool
Operator = Literal["==", "in", "<", "<=", ">", ">="]
Dialect = Literal["templates", "literals"]
"""How a Milvus takes values: beside the expression, or in it."""

METADATA = "metadata"
INTEGER_FIELDS = frozenset({"ordinal", "start", "end", "tokens"})
FLOAT_FIELDS = frozenset({"language_score", "chunk_language_score", "unknown_fraction", "label_score"})
_FIELDS = (*STORED_FIELDS, *LABEL_FIELDS)
_INT64 = 1 << 63
_CONDITION = re.compile(r"\s*([^=<>]+?)\s*(==|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_DATES = ("0", ":")
"""What every text that begins with a digit lies between."""
_KEY = re.compile(r"""[^"'\\\[\]\x00-\x1f\x7f]+""")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True)
class Condition:
    """A field compared with a value.

    Attributes:
        field: the name of a field of the collection, or `metadata.KEY`; a dot reaches into nested metadata, and a tuple of names stands
            for keys that have dots of their own.
        operator: `in` compares with each of several values; a row that lacks the key of metadata, or has another type there, never
            matches.
        value: text, a number or a truth value; for `in` a tuple of them.

    Raises:
        ConfigurationError: an unknown field, or a value that the field cannot have.
    """

    field: str | tuple[str, ...]
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    def __post_init__(self) -> None:
        name, *keys = self.path
        if self.operator not in get_args(Operator):
            raise ConfigurationError(
                f"{self.operator!r} is no operator of a condition; choose of {' '.join(get_args(Operator))}"
            )
        if (name == METADATA) != bool(keys) or (name != METADATA and name not in _FIELDS):
            raise ConfigurationError(
                f"{'.'.join(self.path)!r} is no field to search by; choose metadata.KEY, or one of {', '.join(_FIELDS)}"
            )
        if (self.operator == "in") != isinstance(self.value, tuple):
            raise ConfigurationError(f"{self._shown}: several values go with in, one value with the other operators")
        for key in keys:
            if not _KEY.fullmatch(key):
                raise ConfigurationError(
                    f"{self._shown}: a key of metadata that is searched by has no quotes, brackets, backslashes and control characters, "
                    f"and is not empty, unlike {key!r}"
                )
        for part in (*keys, *self.values):
            _check_storable(part, self._shown)
        if name != METADATA:
            self._check_type(name)

    @property
    def path(self) -> tuple[str, ...]:
        """The field, and keys within it."""
        return tuple(self.field.split(".")) if isinstance(self.field, str) else self.field

    @property
    def values(self) -> tuple[Scalar, ...]:
        """The value, or each of several."""
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def _shown(self) -> str:
        return f"{'.'.join(self.path)} {self.operator} {self.value!r}"

    def _check_type(self, name: str) -> None:
        allowed, what = _type_of(name)
        for value in self.values:
            if isinstance(value, bool) or not isinstance(value, allowed):
                raise ConfigurationError(f"{self._shown}: {name} holds {what}, not {value!r}")
        if name in FLOAT_FIELDS and self.operator in {"==", "in"}:
            raise ConfigurationError(f"{self._shown}: {name} is rounded to 32 bits; compare it by >= and <")


@dataclass(frozen=True)
class Expression:
    """What Milvus is told: a text, and the values of its `{name}` places."""

    text: str
    parameters: Mapping[str, Scalar | list[Scalar]]


def expression(conditions: Sequence[Condition], dialect: Dialect) -> Expression:
    """Rows for which all conditions hold; without any the text is empty."""
    writer = _Writer(dialect)
    return Expression(" and ".join(writer.condition(one) for one in conditions), writer.parameters)


def quoted(text: str) -> str:
    """A literal that Milvus reads as this text, whatever is in it.

    The four escapes are those that servers (Go's `strconv.Unquote`) and Milvus Lite share; both take every other character as it is.
    """
    return f'"{text.translate(_ESCAPES)}"'


def between_dates(date_from: str | None, date_to: str | None) -> list[Condition]:
    """Rows of documents dated from one date up to, and without, another; dates are compared as text, which orders ISO 8601.

    Rows without a date, or with one that does not begin with a digit, are not among them. Time zones are not looked at.

    Raises:
        ConfigurationError: a text that is no date, or no time between the two.
    """
    try:
        window = window_of(date_from, date_to)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if window is None:
        return []
    start, stop = (date_from or _DATES[0]).strip(), (date_to or _DATES[1]).strip()
    return [Condition("date", ">=", start), Condition("date", "<", stop)]


def parse_condition(text: str) -> Condition:
    """Reads `FIELD=VALUE` or a comparison with < <= > >=; a list of JSON in place of the value means any of its members.

    The value is read as JSON (`2026`, `true`, `"2026"`, `["a", "b"]`) where it is that, and as plain text otherwise; fields of text take
    it as text in any case.

    Raises:
        ConfigurationError: anything else.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"--where {text!r} is no condition; write FIELD=VALUE, with < <= > >= in place of = if needed, "
            'as in metadata.year>=2020 or \'metadata.topic=["a", "b"]\''
        )
    field, operator, written = found.groups()
    value = _read_value(written, is_text=_type_of(field)[0] is str if field in _FIELDS else False)
    if isinstance(value, tuple) and operator in {"=", "=="}:
        return Condition(field, "in", value)
    return Condition(field, cast("Operator", "==" if operator == "=" else operator), value)


class _Writer:
    """Writes conditions, and gathers the values that travel beside them."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.parameters: dict[str, Scalar | list[Scalar]] = {}

    def condition(self, one: Condition) -> str:
        name, *keys = one.path
        place = name + "".join(f'["{key}"]' for key in keys)
        values = [_rounded(name, value) for value in one.values]
        if one.operator != "in":
            return f"{place} {one.operator} {self._value(values[0])}"
        if keys:
            # Lists over JSON differ: Milvus Lite fails at rows that hold a list, and refuses values of several types.
            return f"({' or '.join(f'{place} == {self._value(value)}' for value in values)})"
        return f"{place} in {self._list(values)}"

    def _value(self, value: Scalar) -> str:
        return self._place(value) if self._dialect == "templates" else self._literal(value)

    def _list(self, values: list[Scalar]) -> str:
        if self._dialect == "templates":
            return self._place(values)
        return f"[{', '.join(self._literal(value) for value in values)}]"

    def _place(self, value: Scalar | list[Scalar]) -> str:
        name = f"v{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}}}"

    def _literal(self, value: Scalar) -> str:
        return quoted(value) if isinstance(value, str) else json.dumps(value)


def _check_storable(value: Scalar, shown: str) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"{shown}: a lone surrogate stands in no text of a collection") from error
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{shown}: {value} is no number to compare with")
    elif isinstance(value, int) and not -_INT64 < value < _INT64:
        raise ConfigurationError(f"{shown}: {value} does not fit 64 bits")


def _type_of(name: str) -> tuple[type | tuple[type, ...], str]:
    if name in INTEGER_FIELDS:
        return int, "integers"
    return ((int, float), "numbers") if name in FLOAT_FIELDS else (str, "text")


def _rounded(name: str, value: Scalar) -> Scalar:
    # As the field holds it, so that a row with exactly this number is on the same side for every server.
    return float(np.float32(value)) if name in FLOAT_FIELDS else value


def _read_value(written: str, *, is_text: bool) -> Scalar | tuple[Scalar, ...]:
    try:
        value = json.loads(written)
    except ValueError:
        return written
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        return tuple(value)
    return written if isinstance(value, list | dict | None) or (is_text and not isinstance(value, str)) else value
