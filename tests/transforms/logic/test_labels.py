"""Labels of every origin fold to one scheme, and a user's wrong code is refused with the nearest."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.logic.errors import ConfigurationError
from transforms.logic.labels import COMMON, UNDETERMINED, Label, check_code, fold, read_label


@pytest.mark.parametrize(
    ("language", "labels"),
    [
        ("de", "de DE de-AT de_DE deu ger deu_Latn de-Latn-1996"),
        ("he", "he iw heb heb_Hebr"),
        ("id", "id in ind ind_Latn"),
        ("ms", "ms msa zsm zlm may zsm_Latn"),
        ("jv", "jv jw jav"),
        ("yi", "yi ji ydd yid"),
        ("zh", "zh zho chi cmn yue wuu zh-Hant zh_Hans_CN zh-yue zh-TW cmn_Hani"),
        ("no", "no nb nn nob nno nor nb-NO"),
        ("sh", "sh hr bs sr hbs hrv bos srp sr_Latn sr-Cyrl sr-ME"),
        ("ar", "ar arb arz ary apc ara arb_Arab arz_Arab"),
        ("fil", "fil tl tgl"),
        ("ro", "ro mo ron rum"),
        ("fa", "fa pes prs fas per"),
        ("uz", "uz uzn uzb uzn_Cyrl"),
        ("et", "et ekk est"),
        ("lv", "lv lvs lav"),
        ("mn", "mn khk mon"),
        ("qu", "qu quy quz que"),
        ("bho", "bho bh bih"),
        ("ku", "ku kmr kur"),
        ("ckb", "ckb ckb_Arab"),
        ("dv", "dv div"),
        (UNDETERMINED, "und un xxx xx-Thai xx zzb mul mis zxx"),
        (UNDETERMINED, "e e1 english german none null 日本 éé de;drop in-progress no-language -"),
    ],
)
def test_labels_are_folded(language: str, labels: str) -> None:
    assert {label: fold(label) for label in labels.split()} == dict.fromkeys(labels.split(), language)


@pytest.mark.parametrize("label", ["", " ", "de ", " de", "de\n", "\x00"])
def test_white_space_is_no_label(label: str) -> None:
    assert fold(label) == UNDETERMINED


def test_a_script_is_kept_where_a_label_names_one() -> None:
    assert read_label("zh-hant-TW") == Label("zh", "Hant")
    assert read_label("hin_Latn") == Label("hi", "Latn")
    assert read_label("zh-TW") == Label("zh")


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.text(max_size=8) | st.from_regex(r"[a-zA-Z]{2,3}([-_][A-Za-z]{4})?", fullmatch=True))
def test_any_label_folds_once_and_for_all(label: str) -> None:
    language = fold(label)
    assert fold(language) == language
    assert re.fullmatch(r"[a-z]{2,3}", language)


def test_common_languages_are_folded_and_documented_in_number() -> None:
    assert [fold(code) for code in COMMON] == list(COMMON)
    assert list(COMMON) == sorted(set(COMMON))
    assert 60 <= len(COMMON) <= 80
    assert {"de", "en", "zh", "ar", "hi", "th", "sw", "am", "no", "sh"} <= set(COMMON)


@pytest.mark.parametrize(
    ("code", "language"), [("iw", "he"), ("de-AT", "de"), ("und", "und"), ("UND", "und"), ("qaa", "qaa")]
)
def test_a_users_code_is_folded(code: str, language: str) -> None:
    assert check_code("--languages", code) == language


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("german", "did you mean de (German)?"),
        ("English", "did you mean en (English)?"),
        ("Thaii", "did you mean th (Thai)?"),
        ("xx", "--languages: 'xx' is no language code"),
        ("qqqqqq", "(BCP-47 or ISO 639-3, as in de, th or ckb)"),
        ("", "''"),
    ],
)
def test_a_wrong_code_is_refused_with_the_nearest(code: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_code("--languages", code)
    assert said in str(caught.value)
