"""HTML: one page to one document."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.adapters.formats.reading_files import ids, metadata, read, reading_of, reasons, texts, written
from transforms.adapters.formats.html import MAX_PAGE_BYTES
from transforms.adapters.formats.markup import decode_declared, page_of
from transforms.logic.decoding import UndecodableError
from transforms.logic.records import Columns

ROOT = Path(__file__).parents[4]

GERMAN = "Über Vulkane: heiße Lava strömt, Asche fällt, Gebäude müssen geräumt werden."
JAPANESE = "火山は地下のマグマが地表に噴き出してできる地形である。" * 3
RUSSIAN = "Вулкан образуется там, где расплавленная порода поднимается к поверхности."


def page(body: str, head: str = "", attributes: str = "") -> str:
    return f"<!DOCTYPE html><html{attributes}><head>{head}</head><body>{body}</body></html>"


def test_a_page_is_a_document_with_title_name_and_language(tmp_path: Path) -> None:
    content = page("<p>Lava &amp; ash</p>", "<title>\n Vulkane &lt;3 </title>", ' lang="de-AT"')
    path = written(tmp_path / "a.html", content.encode())
    found = read(path, reading_of(Columns(language="lang")))
    assert (found.rejects, found.records_read) == ([], 1)
    assert (ids(found), texts(found)) == ([str(path)], ["Lava & ash"])
    assert found.documents[0]["declared_language"] == "de-AT"
    assert metadata(found) == [{"name": "a.html", "title": "Vulkane <3"}]


def test_what_stands_around_the_text_is_left_out_and_no_part_of_it_is_lost() -> None:
    body = """
    <header><h1>Banner</h1></header><nav><a href="/">Home</a></nav><div role="navigation">Menu</div>
    <main><article><header><h1>Title</h1></header><p>First <b>bo</b>ld.</p><ul><li>one</li><li>two</li></ul>
    <ol><li>step</li></ol><dl><dt>term</dt><dd>meaning</dd></dl><table><tr><td>cell</td><td>next</td></tr></table>
    <blockquote>Quoted</blockquote><pre>def f():
    return 1</pre><p>日本の<ruby>火<rp>(</rp><rt>ひ</rt><rp>)</rp></ruby>山</p><form><p>In a form</p></form></article></main>
    <aside>Related</aside><p hidden>Unseen</p><template>Pattern</template><!-- comment --><footer>Imprint</footer>
    """
    text = page_of(page(body, "<style>p{color:red}</style><script>var code</script>")).text
    for kept in (
        "Title",
        "First bold.",
        "one",
        "two",
        "step",
        "term",
        "meaning",
        "cell",
        "next",
        "Quoted",
        "def f():\n    return 1",
        "日本の火山",
        "In a form",
    ):
        assert kept in text
    left_out = ("Banner", "Home", "Menu", "Related", "Unseen", "Pattern", "comment", "Imprint", "color", "code", "ひ")
    assert [word for word in left_out if word in text] == []


def test_blocks_stand_on_lines_of_their_own() -> None:
    assert page_of("<h1>Head</h1><p>one</p><p>two<br>three</p>").text.split("\n") == [
        "Head",
        "",
        "one",
        "",
        "two",
        "three",
    ]


@pytest.mark.parametrize(
    ("text", "codec", "declared", "recorded"),
    [
        (GERMAN, "utf-8", "iso-8859-1", "utf-8"),
        (GERMAN, "cp1252", "iso-8859-1", "windows-1252"),
        (GERMAN, "cp1252", "LATIN1", "windows-1252"),
        (RUSSIAN, "cp1251", "windows-1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r", "koi8-r"),
        (JAPANESE, "cp932", "x-sjis", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp", "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", "iso-2022-jp"),
        ("中文网页的编码" * 9, "gb18030", "gb2312", "gbk"),
        ("한국어 웹 페이지" * 9, "cp949", "ks_c_5601-1987", "euc-kr"),
        ("ภูเขาไฟคือช่องเปิด", "cp874", "tis-620", "windows-874"),
        ("Łódź ma źródła", "iso8859-2", "iso-8859-2", "iso-8859-2"),
    ],
)
def test_the_declared_encoding_is_used_and_recorded(text: str, codec: str, declared: str, recorded: str) -> None:
    for head in (f'<meta charset="{declared}">', f'<meta http-equiv=x content="text/html; charset={declared}">'):
        found = decode_declared(page(text, head).encode(codec), "strict")
        assert (page_of(found.text).text, found.encoding) == (text, recorded)
    by_header = decode_declared(text.encode(codec), "strict", declared, markup=False)
    assert (by_header.text, by_header.encoding) == (text, recorded)


def test_the_header_stands_before_the_page_and_a_mark_before_both() -> None:
    content = page(RUSSIAN, '<meta charset="koi8-r">')
    assert decode_declared(content.encode("cp1251"), "strict", "windows-1251").text == content
    for codec in ("utf-8-sig", "utf-16"):
        assert decode_declared(content.encode(codec), "strict", "windows-1251").text == content


def test_an_undeclared_encoding_is_guessed_or_refused_by_policy(tmp_path: Path) -> None:
    path = written(tmp_path / "a.html", page(f"<p>{RUSSIAN * 3}</p>").encode("cp1251"))
    found = read(path)
    assert texts(found) == [RUSSIAN * 3]
    assert metadata(found)[0]["encoding"] == "windows-1251"
    assert reasons(read(path, reading_of(decoding="strict"))) == [("bad_encoding", "byte 0")]


@pytest.mark.parametrize("declared", ["nonsense", "utf-7", "x-user-defined", "utf-16"])
def test_a_declaration_that_nobody_knows_or_that_cannot_be_true_is_passed_over(declared: str) -> None:
    content = page(GERMAN, f'<meta charset="{declared}">')
    assert decode_declared(content.encode(), "strict").encoding == "utf-8"
    with pytest.raises(UndecodableError):
        decode_declared(content.encode("cp1252"), "strict")


@pytest.mark.parametrize(("codec", "cut"), [("utf-8", 1), ("utf-8", 2), ("cp932", 1)])
def test_a_character_cut_off_at_the_end_costs_itself(codec: str, cut: int) -> None:
    raw = ("<p>" + JAPANESE[:-1]).encode(codec)
    found = decode_declared(raw[:-cut], "strict", "shift_jis")
    assert found.text == "<p>" + JAPANESE[:-2]


def test_a_page_without_text_is_empty_and_one_too_large_is_not_read(tmp_path: Path) -> None:
    assert reasons(read(written(tmp_path / "a.html", page("<nav>x</nav>").encode()))) == [("empty_text", "byte 0")]
    large = written(tmp_path / "b.html", b"<html>" + b"x" * MAX_PAGE_BYTES)
    assert reasons(read(large)) == [("too_large", "byte 0")]
    small = reading_of(max_record_bytes=20)
    assert reasons(read(written(tmp_path / "c.html", b"<html>" + b"x" * 15), small)) == [("too_large", "byte 0")]


@pytest.mark.parametrize("element", ["<div>", "<ul><li>", "<table><tr><td>", "<b>", "<nav>", "<a><b><i><p>"])
def test_elements_nested_without_end_cost_neither_time_nor_the_process(element: str) -> None:
    program = (
        "import sys\nfrom transforms.adapters.formats.markup import page_of\n"
        "print(len(page_of(sys.argv[1] * 20_000 + 'end').text))"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, element], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 20


PIECES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            ["<p>", "</p>", "<", "&", "&#xD800;", "&#0;", "<!--", "<![CDATA[", "<svg>", "<table>", "</", "\0"]
        ),
    ),
    max_size=30,
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(pieces=PIECES)
def test_anything_is_a_page(pieces: list[str]) -> None:
    found = page_of("".join(pieces))
    assert isinstance(found.text, str)
    found.text.encode()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(words=st.lists(st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=8), min_size=1))
def test_no_word_of_a_paragraph_is_lost(words: list[str]) -> None:
    assert page_of(f"<p>{' '.join(words)}</p>").text.split() == words
