"""The page's server: what it answers, what it refuses, and what no browser may do with it."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipelines.explore.answers import MAX_NEIGHBOURS, MAX_QUERY_CHARACTERS, MAX_TOP, Explorer
from pipelines.explore.service import HEADERS, MAX_BODY_BYTES, PAGE, application
from tests import fakes
from tests.pipelines.explore.scene import HOSTILE
from tests.pipelines.jobs import COLLECTION, Job, story
from transforms.adapters.milvus import Target
from transforms.logic.errors import CorpusEmbedError, TransientError
from transforms.logic.normalise import normalise_text

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def explorer(hostile_job: Job) -> Iterator[Explorer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "pipelines.queries.open_encoder",
            lambda model, prompt, computation, _: fakes.open_fake_encoder(model, prompt, computation),
        )
        found = Explorer(
            Target(str(hostile_job.milvus), COLLECTION), workspace=str(hostile_job.workspace), compare=["half"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def client(explorer: Explorer) -> Iterator[TestClient]:
    with TestClient(application(explorer, {"127.0.0.1", "localhost"}), ADDRESS) as client:
        yield client


def _hits(client: TestClient, query: str = "rivers", **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/search", json={"query": query, "top": 50, **more})
    assert answer.status_code == 200, answer.text
    hits: list[dict[str, Any]] = answer.json()["rankings"][0]["hits"]
    return hits


def _error(client: TestClient, status: int, **question: Any) -> str:
    answer = client.post("/api/search", json=question)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


# --- The page and its headers ---


def test_the_page_and_its_parts_are_served_and_nothing_else(client: TestClient) -> None:
    assert client.get("/").content == client.get("/index.html").content
    for name, kind in PAGE.items():
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == kind
    for path in ("/answers.py", "/../answers.py", "/%2e%2e/answers.py", "/page/index.html", "/api", "/api/search/x"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_the_page_asks_for_nothing_from_elsewhere_and_holds_no_inline_code(client: TestClient) -> None:
    page = client.get("/").text
    for sign in ("http:", "https:", "//", "<style", "style=", "onclick", "javascript:", "data:"):
        assert sign not in page.lower(), sign
    assert page.count("<script") == page.count("src=") == 1
    for name in ("explore.js", "view.js"):
        code = client.get(f"/{name}").text
        for sign in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "http"):
            assert sign not in code, (name, sign)


def test_headers_stand_on_every_answer(client: TestClient) -> None:
    answers = [
        *(client.get(f"/{name}") for name in ("", *PAGE, "nothing", "api/collection")),
        client.get("/", headers={"Host": "evil.example"}),
        client.post("/api/search", json={"query": ""}),
        client.put("/api/search"),
    ]
    assert {answer.status_code for answer in answers} == {200, 400, 404, 405}
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers
    rules = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules


# --- Who may ask ---


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1"])
def test_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/collection", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b", "x@127.0.0.1", "*"]
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/collection", "/explore.js"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.text) == (400, "Invalid host header")


def test_what_a_page_of_another_origin_can_send_without_leave_is_refused(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post("/api/search", content=b'{"query": "rivers"}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()) == (415, {"error": "send application/json"})
    leave = client.options(
        "/api/search", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert leave.status_code == 405
    assert not [name for name in leave.headers if name.startswith("access-control")]


def test_only_what_is_needed_is_a_method(client: TestClient) -> None:
    assert client.get("/api/search").status_code == 405
    for path in ("/", "/api/collection", "/api/document"):
        assert client.post(path, json={}).status_code == 405


# --- Bounds ---


def test_a_question_at_every_bound_is_answered(client: TestClient) -> None:
    assert len(_hits(client, "ä" * MAX_QUERY_CHARACTERS)) == MAX_TOP
    where = [{"field": ["metadata", "note"], "operator": "in", "value": ["x" * 1000] * 50}]
    assert _hits(client, where=where, languages=["en"] * 200) == []


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, "query: Field required"),
        ({"query": "x" * (MAX_QUERY_CHARACTERS + 1)}, "query: String should have at most 2000 characters"),
        ({"query": "x", "top": MAX_TOP + 1}, "top: Input should be less than or equal to 50"),
        ({"query": "x", "top": True}, "top: Input should be a valid integer"),
        ({"query": "x", "languages": ["de"] * 201}, "languages: Tuple should have at most 200 items"),
        ({"query": "x", "collection": "another"}, "collection: Extra inputs are not permitted"),
        ({"query": "x", "where": [{"field": "id", "operator": "==", "value": 1}]}, "where.0.field: Input should be"),
        ({"query": "x", "where": [{"field": ["id"], "operator": "like", "value": "%"}]}, "where.0.operator: Input should"),
        ({"query": "x", "where": [{"field": ["text"], "operator": "==", "value": 1}]}, "text == 1: text holds text, not 1"),
        ({"query": "x", "where": [{"field": ["$meta"], "operator": "==", "value": 1}]}, "'$meta' is no field to search by"),
        ({"query": "x", "date_from": "soon"}, "--date-from 'soon' is no date"),
        ({"query": "x", "languages": ["yo"]}, "--languages yo: the collection holds none of it"),
        ({"query": "x", "labels": ["no"]}, "the collection has no such label"),
        ({"query": " \u200b"}, "holds nothing to search for"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_words(client: TestClient, question: dict[str, Any], said: str) -> None:
    assert said in _error(client, 400, **question)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"query": NaN}', b"[" * 60_000, b'"\xff"'])
def test_what_is_no_question_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_long_body_is_not_read_to_its_end(client: TestClient) -> None:
    sent = []

    def parts() -> Iterator[bytes]:
        for number in range(100):
            sent.append(number)
            yield b" " * (MAX_BODY_BYTES // 4)

    answer = client.post("/api/search", content=parts(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (413, {"error": "a question has at most 65,536 bytes"})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"id": "x"}, "the collection holds no chunk 'x'"),
        ({"id": "0" * 32}, "the collection holds no chunk"),
        ({"id": '" or id != "'}, "the collection holds no chunk"),
        ({"ranking": "3"}, "there is no ranking 3; choose 0 to 2"),
        ({"ranking": "-1"}, "ranking='-1' is no number of at most three digits"),
        ({"before": str(MAX_NEIGHBOURS + 1)}, "21 chunks before and 3 after: choose 0 to 20 of each"),
        ({"after": "٣"}, "after='٣' is no number of at most three digits"),
        ({"after": ""}, "after='' is no number"),
    ],
)
def test_a_document_that_cannot_be_shown_is_said_in_words(client: TestClient, asked: dict[str, str], said: str) -> None:
    answer = client.get("/api/document", params={"ranking": "0", "id": "0" * 32, "before": "3", "after": "3", **asked})
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_failure_of_milvus_is_said_with_its_own_status_and_without_secrets(
    client: TestClient, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_do-not-show")
    for error, status in (
        (TransientError("busy hf_do-not-show"), 503),
        (CorpusEmbedError("broken hf_do-not-show"), 500),
    ):

        def fail(*_: object, error: CorpusEmbedError = error) -> None:
            raise error

        monkeypatch.setattr(explorer, "search", fail)
        said = _error(client, status, query="x")
        assert said == f"{str(error).split()[0]} [secret]"


# --- Texts ---


def test_hostile_texts_come_back_as_they_are(client: TestClient) -> None:
    found = set()
    for number, given in enumerate(HOSTILE):
        one = normalise_text(given)
        text = f"{one} {one}"
        for hit in _hits(client, where=[{"field": ["metadata", "note"], "operator": "==", "value": one}]):
            assert (hit["document_id"], hit["metadata"]["note"]) == (f"<i>{number} {one}", one)
            assert hit["text"] == text[hit["start"] : hit["end"]]
            found.add(number)
            document = client.get(
                "/api/document", params={"ranking": 0, "id": hit["id"], "before": 9, "after": 9}
            ).json()
            assert [passage["text"] for passage in document["passages"] if passage["id"] == hit["id"]] == [hit["text"]]
    assert found == set(range(len(HOSTILE)))
    answer = client.post("/api/search", json={"query": HOSTILE[0], "top": 50})
    assert answer.headers["content-type"] == "application/json"


def test_conditions_are_values_and_never_pieces_of_an_expression(client: TestClient) -> None:
    for field in (["document_id"], ["source"], ["language"], ["metadata", "note"]):
        for value in ('" or id != "', "' or '' == '", "\\", "{v0}"):
            assert _hits(client, where=[{"field": field, "operator": "==", "value": value}]) == []
    since = [{"field": ["metadata", "year"], "operator": ">=", "value": 2021}]
    assert {hit["document_id"] for hit in _hits(client, where=since)} == {"long"}


# --- A chunk in its document ---


def test_a_chunk_is_shown_in_its_document_without_doubling_the_overlap(client: TestClient) -> None:
    text = story("long", 24)
    hits = _hits(client, where=[{"field": ["document_id"], "operator": "==", "value": "long"}])
    by_ordinal = {hit["ordinal"]: hit for hit in hits}
    last = max(by_ordinal)
    assert last > 8
    assert any(by_ordinal[number + 1]["start"] < by_ordinal[number]["end"] for number in range(last))

    def shown(ordinal: int, before: int, after: int, ranking: int = 0) -> dict[str, Any]:
        asked = {"ranking": ranking, "id": by_ordinal[ordinal]["id"], "before": before, "after": after}
        answer = client.get("/api/document", params=asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    whole = shown(4, 20, 20)
    assert (whole["document_id"], whole["language"], whole["metadata"]) == ("long", "de", {"year": 2021})
    assert (whole["starts"], whole["ends"]) == (True, True)
    places = [place for one in whole["passages"] for place in range(one["start"], one["end"])]
    assert places == sorted(set(places))
    assert {text[place] for place in set(range(len(text))) - set(places)} <= {" "}
    for one in whole["passages"]:
        assert one["text"] == text[one["start"] : one["end"]]
    assert [one["text"] for one in whole["passages"] if one["id"] == whole["id"]] == [by_ordinal[4]["text"]]

    middle = shown(4, 1, 2)
    assert [one["ordinal"] for one in middle["passages"]] == [3, 4, 5, 6]
    assert (middle["starts"], middle["ends"]) == (False, False)
    assert (shown(0, 0, 0)["starts"], shown(last, 0, 0)["ends"]) == (True, True)
    assert shown(4, 1, 1, ranking=2)["passages"] == shown(4, 1, 1)["passages"]
