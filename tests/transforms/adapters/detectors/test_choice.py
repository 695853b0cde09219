"""What `--detector` names is read, checked and opened; what is wrong is refused in words."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.transforms.adapters.detectors.texts import decided
from transforms.adapters.detectors import Cld2Detector, Detector, read_choice
from transforms.adapters.detectors.agree import SURE, AgreeingDetector
from transforms.adapters.detectors.base import ConstantDetector, FallbackDetector, join_labels
from transforms.adapters.detectors.fasttext import FasttextDetector, bundled_model, open_model
from transforms.logic.errors import ConfigurationError
from transforms.logic.languages import NO_GUESS, Guess

GERMAN = "Der Fluss fließt langsam durch die alte Stadt und mündet weit im Norden in das Meer."
FRENCH = "Le fleuve coule lentement à travers la vieille ville et se jette dans la mer du Nord."


class TableDetector:
    """Answers by a table, and remembers what it was asked."""

    judges_text = True

    def __init__(self, answers: dict[str, Guess]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        self.asked.extend(texts)
        return [self._answers.get(text, NO_GUESS) for text in texts]


@pytest.mark.parametrize(
    ("specification", "column", "kind"),
    [
        ("cld2", None, Cld2Detector),
        ("lid176", None, FasttextDetector),
        (f"fasttext:{bundled_model()}", None, FasttextDetector),
        ("agree", None, AgreeingDetector),
        (f"agree:{bundled_model()}", None, AgreeingDetector),
        ("const:de", None, ConstantDetector),
        ("column:lang", "lang", ConstantDetector),
        ("column:metadata.lang, cld2", "metadata.lang", Cld2Detector),
        ("column:lang,cld2,lid176", "lang", FallbackDetector),
        ("cld2,const:de", None, FallbackDetector),
    ],
)
def test_a_choice_opens_what_it_names(specification: str, column: str | None, kind: type) -> None:
    choice = read_choice(specification, 0.5)
    assert choice.column == column
    opened: Detector = pickle.loads(pickle.dumps(choice.detector))()
    assert type(opened) is kind
    assert opened.identify([]) == []
    assert opened.judges_text is not (kind is ConstantDetector)


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ("", "'' is unknown; allowed are cld2, lid176, fasttext:PATH, column:NAME, const:CODE, agree or agree:PATH"),
        ("cld3", "'cld3' is unknown"),
        ("cld2:x", "'cld2:x' is unknown"),
        ("lid176:x", "'lid176:x' is unknown"),
        ("column:lang,,cld2", "'' is unknown"),
        ("column:", "'column:' lacks the name of a column"),
        ("column", "'column' must come first"),
        ("cld2,column:lang", "'column:lang' must come first"),
        ("column:a,column:b", "'column:b' must come first"),
        ("const", "'const' lacks a language code"),
        ("const:german", "--detector const:german: 'german' is no language code"),
        ("const:german", "did you mean de (German)?"),
        ("const:de,cld2", "'const:de' always has an answer, so nothing may follow it"),
        ("fasttext", "'fasttext' lacks the path of a model"),
        ("agree:", "'agree:' lacks the path of a model"),
        ("fasttext:/no/such/model.bin", "'/no/such/model.bin' cannot be read"),
        ("agree:/no/such/model.bin", "'/no/such/model.bin' cannot be read"),
        ("fasttext:nowhere://x/model.bin", "cannot open 'nowhere://x/model.bin'"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_is_allowed(specification: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_choice(specification, 0.5)
    assert said in str(caught.value)


def test_a_choice_knows_how_many_languages_it_may_name(tmp_path: Path) -> None:
    cld2 = read_choice("cld2", 0.5).label_count
    assert cld2 is not None
    assert read_choice("lid176", 0.5).label_count == 176
    assert read_choice("cld2,lid176", 0.5).label_count == cld2 + 176
    assert read_choice("agree", 0.5).label_count == cld2 + 176
    assert read_choice("const:de", 0.5).label_count == 1
    assert read_choice("column:lang", 0.5).label_count is None
    assert read_choice("column:lang,cld2", 0.5).label_count is None


def test_a_constant_is_vetoed_by_script_alone() -> None:
    detector = read_choice("const:iw", 0.5).detector()
    assert decided(detector, ["שלום עולם", "Guten Tag", "123"]) == ["he", "und", "und"]
    assert decided(read_choice("const:hi-Latn", 0.5).detector(), ["main theek hoon"]) == ["hi"]


def test_a_column_alone_guesses_nothing() -> None:
    assert decided(read_choice("column:lang", 0.5).detector(), [GERMAN, "ยินดีต้อนรับสู่ประเทศไทย"]) == ["und", "th"]


def test_the_fallback_is_asked_where_the_first_has_no_answer() -> None:
    texts = ["sure", "none", "weak", "veto", "both none"]
    first = TableDetector({"sure": Guess("de", 0.9), "weak": Guess("de", 0.69), "veto": Guess("ru", 0.9)})
    then = TableDetector({"none": Guess("fr", 0.8), "weak": Guess("nl", 0.8), "veto": Guess("es", 0.8)})
    found = FallbackDetector(first, then, 0.7).identify(texts)
    assert [guess.language for guess in found] == ["de", "fr", "nl", "es", "und"]
    assert first.asked == texts
    assert then.asked == texts[1:]


def test_the_fallback_is_left_in_peace_where_all_is_said() -> None:
    then = TableDetector({})
    assert FallbackDetector(TableDetector({"sure": Guess("de", 0.9)}), then).identify(["sure"]) == [Guess("de", 0.9)]
    assert then.asked == []


def test_a_later_detector_without_an_answer_does_not_take_the_first_guess_away() -> None:
    weak = Guess("de", 0.3)
    assert FallbackDetector(TableDetector({"weak": weak}), TableDetector({})).identify(["weak"]) == [weak]


def test_agreeing_gives_the_same_answer_or_none() -> None:
    model = open_model(bundled_model())
    known, (german, french) = model.languages(), model.identify([GERMAN, FRENCH])
    assert {"de", "fr"} <= known
    assert "chr" not in known
    cld2 = TableDetector({GERMAN: Guess("de", 0.5, 0.1), FRENCH: Guess("it", 1.0)})
    found = AgreeingDetector(cld2, model).identify([GERMAN, FRENCH])
    assert found == [Guess("de", german.score, 0.1), NO_GUESS]
    assert french.language == "fr"


def test_agreement_is_not_asked_of_a_model_that_does_not_know_the_language() -> None:
    model = open_model(bundled_model())
    for score, language in ((SURE, "sn"), (SURE - 0.01, "und")):
        cld2 = TableDetector({GERMAN: Guess("sn", score)})
        (found,) = AgreeingDetector(cld2, model).identify([GERMAN])
        assert "sn" not in model.languages()
        assert found.language == language


def test_labels_that_fold_alike_are_joined_under_the_largest() -> None:
    assert join_labels([("hr", 0.25), ("de", 0.5), ("sr", 0.375), ("un", 0.9), ("xx-Thai", 0.9)]) == [
        ("sr", 0.625),
        ("de", 0.5),
    ]
    assert join_labels([("de", 0.7), ("deu_Latn", 0.6)]) == [("de", 1.0)]
    assert join_labels([]) == []
