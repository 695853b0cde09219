"""Measures of rankings, by the reference implementation of the field: trec_eval.

It is called through pytrec_eval (Van Gysel and de Rijke 2018, doi:10.1145/3209978.3210065), kept up as pytrec-eval-terrier.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from transforms.logic.errors import ConfigurationError
from transforms.logic.evaluation import measure_names

Name = TypeVar("Name", bound=Hashable)


def check_installed() -> None:
    """Raises `ConfigurationError` if the extra is not installed."""
    try:
        import pytrec_eval  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError("evaluation needs an extra: pip install 'corpus-embed[evaluate]'") from error


def measure(
    grades: Mapping[Name, Mapping[str, int]], rankings: Mapping[Name, Sequence[str]], k: int
) -> dict[Name, dict[str, float]]:
    """Measures of the first k documents of each ranking, by name.

    `top_1` whether the first document answers; `recall_at_k` the share of the answers that are found; `ndcg_at_k` discounted gain by
    grade against the best order (Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418, gain as the grade says); `mrr` the reciprocal
    rank of the first answer, 0 without one among the first k.

    Args:
        grades: by name and document, 0 or more, at least one above 0 each.
        rankings: by name, distinct documents, best first; the same names.
        k: at least 1.

    Raises:
        ConfigurationError: the extra `evaluate` is not installed.
    """
    check_installed()
    import pytrec_eval  # noqa: PLC0415  an extra

    names = list(grades)
    asked = {str(number): dict(grades[name]) for number, name in enumerate(names)}
    # Equal scores would be ordered by id, so each rank has one of its own.
    runs = {
        str(number): {document: float(k - rank) for rank, document in enumerate(rankings[name][:k])}
        for number, name in enumerate(names)
    }
    evaluator = pytrec_eval.RelevanceEvaluator(asked, {"success.1", f"recall.{k}", f"ndcg_cut.{k}", "recip_rank"})
    measured = evaluator.evaluate(runs)
    shown = dict(zip(measure_names(k), ("success_1", f"recall_{k}", f"ndcg_cut_{k}", "recip_rank"), strict=True))
    # A ranking of nothing is left out of what comes back.
    return {
        name: {ours: float(measured.get(str(number), {}).get(theirs, 0.0)) for ours, theirs in shown.items()}
        for number, name in enumerate(names)
    }
