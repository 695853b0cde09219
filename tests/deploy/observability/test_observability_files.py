"""The dashboard, the alert rules and their page name nothing that the code does not give."""

import json
import re
from typing import Any

import pytest
import yaml

from pipelines import cli
from pipelines.watching import logs
from tests.conftest import ROOT
from tests.pushgateway import parse
from tests.transforms.logic.test_record import CLEAN, CONTEXT
from transforms.logic.exposition import exposition, metric_names
from transforms.logic.record import (
    EXIT_COMPLETE,
    EXIT_DELETES,
    EXIT_OVER_LIMIT,
    EXIT_REJECTS,
    EXIT_UNBALANCED,
    build_record,
)

FOLDER = ROOT / "deploy" / "observability"
OF_THE_PUSHGATEWAY = {"push_time_seconds", "push_failure_time_seconds"}
GROUPED_BY = {"job", "collection"}
"""Labels that come from the URL."""
FUNCTIONS = set("time and sum by topk max_over_time quantile_over_time label_values offset unless".split())  # noqa: SIM905
SEVERITIES = {"critical", "warning", "info"}
RECORD = build_record(CONTEXT, {**CLEAN, "rejects.record.empty_text": 1}, {"lang_de": 12, "lang_en": 8}, 12.0)
SERIES = list(parse(exposition(RECORD, "manuals")))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return found


EXPRESSIONS = [
    *(rule["expr"] for rule in rules()),
    *(target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]),
    *(variable["definition"] for variable in dashboard()["templating"]["list"] if "definition" in variable),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    known = {*metric_names(RECORD), *OF_THE_PUSHGATEWAY}
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", expression)
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", bare) for label in labels.split(",")}
    labels_of_series = {label for _, labels in SERIES for label in re.findall(r'(\w+)="', labels)} | GROUPED_BY
    assert grouped <= labels_of_series
    names = set(re.findall(r"\b[a-zA-Z_][a-zA-Z0-9_]*", re.sub(r"by \([^)]*\)", "by", bare)))
    assert names - FUNCTIONS - known - GROUPED_BY == set()
    assert names & known
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label in GROUPED_BY:
                continue
            values = [re.findall(rf'{label}="([^"]*)"', labels) for one, labels in SERIES if one == name]
            assert all(values), f"{name} has no label {label}"
            wanted = value.split("|") if operator == "=~" else [value]
            assert {one for one, *_ in values} >= set(wanted)


def test_rules_say_what_happened_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 6
    for rule in rules():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in SEVERITIES
        assert set(rule["annotations"]) == {"summary", "description"}
        labels = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert labels == {"collection"}


def test_good_exit_codes_alarm_nobody_and_all_others_somebody() -> None:
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    excluded = {int(code) for code in re.findall(r"exit_code != (\d)", expressions["CorpusEmbedRunFailed"])}
    assert excluded == {EXIT_COMPLETE, EXIT_REJECTS}
    # 5 has an alert of its own, by the same record.
    assert "corpus_embed_run_differences > 0" in expressions["CorpusEmbedRunNotBalanced"]
    shown = dashboard()["panels"][0]["fieldConfig"]["defaults"]["mappings"][0]["options"]
    recorded = {EXIT_COMPLETE, EXIT_REJECTS, EXIT_OVER_LIMIT, EXIT_UNBALANCED, EXIT_DELETES}
    assert {int(code) for code in shown} == recorded


def test_the_dashboard_is_one_that_grafana_can_take() -> None:
    found = dashboard()
    panels = found["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert {variable["name"] for variable in found["templating"]["list"]} == {"datasource", "collection"}


def test_the_page_lists_every_metric_with_its_labels() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(corpus_embed_\w+)` \| (.*?) ?\| ", text, re.MULTILINE))
    assert list(listed) == metric_names(RECORD)
    for name, labels in listed.items():
        samples = [found for one, found in SERIES if one == name]
        assert samples
        assert {tuple(re.findall(r'(\w+)="', found)) for found in samples} == {tuple(re.findall(r"`(\w+)`", labels))}


def test_the_page_names_every_event_and_flag() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z ]+)` \| [A-Z]", text, re.MULTILINE))
    reported = {
        event
        for folder in ("pipelines", "transforms")
        for path in (ROOT / folder).rglob("*.py")
        for event in re.findall(
            r'\b(?:report|report_run|_tell_end)\(\s*\w+,\s*[^"]*?"([a-z ]+)"', path.read_text(encoding="utf-8")
        )
    }
    assert listed == reported
    assert f"`--log-level {'|'.join(logs.LEVELS)}`" in text
    assert "runs" in cli.COMMANDS


def test_nothing_here_holds_a_secret_or_an_address_of_ours() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?i)password\s*[:=]|token\s*[:=]|://[^/\s]*@", text)
        assert set(re.findall(r"https?://([^/\s)\"]+)", text)) <= {"127.0.0.1:9091"}
