"""The section of evaluations: how well questions in one language find answers in another.

Whatever an evaluation holds is shown: every list of rows becomes a table, and rows of pairs of languages a matrix.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import regex

from transforms.logic.report.end_sections import text_of
from transforms.logic.report.markup import Node, tag
from transforms.logic.report.parts import Column, Section, folded, language_name, note, table

Row = Mapping[str, Any]
_MOST_ROWS = 200
_MOST_COLUMNS = 12
_UNFOLDED_ROWS = 12
_MOST_LANGUAGES = 24
_MOST_MATRICES = 3
_SHADES = 10
_WRITTEN = {"top 1": "top-1", "mrr": "MRR"}
_FIELD = regex.compile(r"[a-z][a-z0-9_]*")
_MEASURES = ("top_1", "recall_at_10", "ndcg_at_10")


def evaluation(found: Sequence[Row], ledger: Any = None) -> Section | None:
    """What evaluations of the collection came to; None without any.

    Args:
        found: results of `evaluate`.
        ledger: that the run of the report wrote; an evaluation of another one was of other rows, and says so.
    """
    if not found:
        return None
    content: list[ET.Element] = []
    for one in found:
        content.append(tag("h3", {}, text_of(one.get("name", "evaluation"))))
        said = [f"{_words(key)}: {_plain(one[key])}" for key in ("mode", "pairs") if one.get(key) is not None]
        if said:
            content.append(note("; ".join(said)))
        if one.get("ledger") is not None and one["ledger"] != ledger:
            content.append(
                note(
                    f"It asked the rows of ledger {text_of(one['ledger'])}; this run left those of ledger {text_of(ledger)}."
                )
            )
        for key, value in one.items():
            if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
                content += _matrices(value)
                content += _summary(key, value)
                content += _rows(_heading(str(key)), value)
    return Section("evaluation", "Evaluation", content)


def _summary(key: str, rows: Sequence[Row]) -> Iterator[ET.Element]:
    """Of lists too long to stand open the rows that answer what people ask: what compression costs, which languages prefer their own."""
    if len(rows) <= _UNFOLDED_ROWS:
        return
    if key == "differences":
        together = [row for row in rows if row.get("query_language") is None]
        yield from _rows("What compression changes, all pairs of languages together (95 % interval)", together)
    if key == "language_bias":
        served = rows[-1].get("representation")
        own = sorted((row for row in rows if row.get("representation") == served), key=lambda row: -_queries(row))
        caption = f"Language bias, {text_of(served)}: 0 is blind to languages, 1 finds its own alone"
        cut = "" if len(own) <= _MOST_LANGUAGES else f"; the {_MOST_LANGUAGES} languages with most queries"
        rows = [{name: value for name, value in row.items() if name != "representation"} for row in own]
        yield _table(caption + cut, rows[:_MOST_LANGUAGES])


def _matrices(rows: Sequence[Row]) -> Iterator[ET.Element]:
    """A matrix of each representation, if the rows are of pairs of languages; the one that the collection holds comes last in a file."""
    measure = next((one for one in _MEASURES if all(isinstance(row.get(one), int | float) for row in rows)), None)
    named = all(isinstance(row.get(key), str) for row in rows for key in ("query_language", "answer_language"))
    if measure is None or not named:
        return
    representations = list(dict.fromkeys(str(row.get("representation", "")) for row in rows))
    for representation in reversed(representations[-_MOST_MATRICES:]):
        own = [row for row in rows if str(row.get("representation", "")) == representation]
        matrix = _matrix(own, measure, representation)
        yield (
            matrix
            if representation == representations[-1]
            else folded(f"The same for {representation}", matrix, is_printed=False)
        )


def _matrix(rows: Sequence[Row], measure: str, representation: str) -> ET.Element:
    values = {(row["query_language"], row["answer_language"]): float(row[measure]) for row in rows}
    asked, cut_asked = _most_asked(rows, "query_language")
    answered, cut_answered = _most_asked(rows, "answer_language")
    columns = [Column("asked in, answered in", is_number=False), *(Column(language) for language in answered)]
    cells: list[list[Node]] = [
        [language_name(language), *(_cell(values.get((language, other))) for other in answered)] for language in asked
    ]
    of_what = f", {representation}" if representation else ""
    cut = f"; the {_MOST_LANGUAGES} languages with most queries" if cut_asked or cut_answered else ""
    return table(f"{_heading(measure)} of questions in one language, answers in another{of_what}{cut}", columns, cells)


def _most_asked(rows: Sequence[Row], side: str) -> tuple[list[str], bool]:
    """The languages of a side that most queries are of, by name, and whether others are left out."""
    queries: Counter[str] = Counter()
    for row in rows:
        queries[row[side]] += _queries(row)
    order = sorted(queries, key=lambda language: (-queries[language], language))
    return sorted(order[:_MOST_LANGUAGES]), len(order) > _MOST_LANGUAGES


def _queries(row: Row) -> int:
    given = row.get("queries")
    return given if isinstance(given, int) else 0


def _cell(value: float | None) -> Node:
    """The figure on a ground that is the darker the better it is; none where a language was not asked."""
    if value is None:
        return "–"
    shade = min(_SHADES - 1, max(0, int(value * _SHADES)))
    return tag("span", {"class": f"shade h{shade}"}, f"{value:.2f}")


def _rows(caption: str, rows: Sequence[Row]) -> Iterator[ET.Element]:
    if not any(value is not None for row in rows for value in row.values()):
        return
    shown = _table(caption, rows[:_MOST_ROWS])
    if len(rows) <= _UNFOLDED_ROWS:
        yield shown
        return
    more = len(rows) - _MOST_ROWS
    rest = note(f"{more:,} more rows are in the evaluation's own file.") if more > 0 else None
    yield folded(f"{caption}: {len(rows):,} rows", shown, rest, is_printed=False)


def _table(caption: str, rows: Sequence[Row]) -> ET.Element:
    given = dict.fromkeys(str(name) for row in rows for name, value in row.items() if value is not None)
    names = list(given)[:_MOST_COLUMNS]
    columns = [Column(_heading(name), is_number=_is_number(rows, name)) for name in names]
    return table(caption, columns, [[_value(name, row.get(name)) for name in names] for row in rows])


def _value(name: str, value: Any) -> Node:
    return language_name(value) if name.endswith("_language") and isinstance(value, str) else _plain(value)


def _is_number(rows: Sequence[Row], name: str) -> bool:
    given = [row.get(name) for row in rows]
    return all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in given)


def _words(name: str) -> str:
    """A name of a field as people write it."""
    said = name.replace("_at_", "@").replace("_", " ")
    return _WRITTEN.get(said, said).replace("ndcg@", "nDCG@")


def _heading(name: str) -> str:
    said = _words(name)
    return said[:1].upper() + said[1:] if _FIELD.fullmatch(name) and not said.startswith("nDCG") else said


def _plain(value: Any) -> str:
    """A value; a difference with its interval, and other objects, without the braces."""
    if not isinstance(value, Mapping):
        return text_of(value)
    if set(value) == {"difference", "low", "high"} and isinstance(value["difference"], int | float):
        bounds = [value[name] for name in ("low", "high")]
        # Of one group of questions there is no interval.
        known = all(isinstance(one, int | float) for one in bounds)
        return f"{value['difference']:+.3f}" + (f" ({bounds[0]:+.3f} to {bounds[1]:+.3f})" if known else "")
    return ", ".join(f"{_words(str(key))} {text_of(one)}" for key, one in value.items() if one not in ([], {}, 0))
