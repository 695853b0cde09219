"""What a person reads at the end of a run."""

from pathlib import Path

from pipelines.configuration import options
from pipelines.watching.summary import summarise
from tests.pipelines.jobs import Job, document, story
from transforms.adapters.report import find_report


def test_summary_tells_every_figure_of_the_record(job: Job) -> None:
    job.write("a.jsonl", [document("d0", story("d0", 4)), document("d1", lang="de"), document("e", "")])
    record = job.run()
    lines = summarise(record, options.to_config(job.options())).splitlines()
    assert lines[0].startswith(f"run {record['run_id']}: complete with rejects under the limit (exit code 3), ")
    assert "  documents           3 read: 2 embedded, 0 reused, 0 unchanged, 1 rejected" in lines
    # The model of these tests knows no word.
    assert "  chunks              3   of 55 tokens; 3 with too many unknown tokens" in lines
    assert any(line.startswith("  vectors             3 encoded in ") and line.endswith("; 0 reused") for line in lines)
    assert "  rows                3 held: 3 written, 0 rejected, 0 unchanged, 0 deleted" in lines
    table = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ") and line.split()}
    assert table["language"] == ["documents", "chunks", "tokens", "tokens/chunk", "tokens/character", "premium"]
    for language, figures in {"de": ["1", "1", "11", "11.0"], "en": ["1", "2", "44", "22.0"]}.items():
        counts = record["languages"][language]
        costs = [f"{counts['tokens_per_character']:.3f}", f"{counts['premium']:.2f}"]
        assert table[language] == [*figures, *costs]
    assert "  lang_en                        2" in lines
    (place,) = (index for index, line in enumerate(lines) if line.startswith("rejects: "))
    assert lines[place] == "rejects: empty_text 1; 33.33% of all (limit 50.00%); each with its place:"
    assert lines[place + 1] == f"  corpus-embed rejects show {job.workspace} --run {record['run_id']}"
    assert not any("BALANCE" in line for line in lines)


def test_summary_of_a_rerun_has_no_empty_table(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), document("d1", lang="de")])
    config = options.to_config(job.options())
    assert "  language   " in summarise(job.run(), config)
    again = summarise(job.run(), config)
    assert "  language   " not in again
    assert "\n\n  partition         rows in Milvus\n" in again


def test_summary_says_what_was_left_out_and_why(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), document("d1")])
    record = job.run()
    config = options.to_config(job.options())
    assert "left out" not in summarise(record, config)
    left_out = {"documents": {"date": 1200, "sample": 3}, "files": {}}
    assert "\n  left out    1,203 documents (date 1,200, sample 3)\n" in summarise(
        {**record, "left_out": left_out}, config
    )
    left_out["files"] = {"excluded": 2}
    assert "(date 1,200, sample 3), 2 files (excluded 2)\n" in summarise({**record, "left_out": left_out}, config)


def test_summary_says_of_chunks_what_there_is_of_them(job: Job) -> None:
    copies = [document(f"copy{number}", "The same footer stands on every page.") for number in range(70)]
    job.write("a.jsonl", [*copies, document("other", lang="xx-unknown")])
    record = job.run()
    assert (record["chunks"]["duplicates"], record["chunks"]["hot"]) == (69, 69)
    lines = summarise(record, options.to_config(job.options())).splitlines()
    said = " tokens; 69 repeat another, 69 of a hot content, 71 with too many unknown tokens"
    assert any(line.endswith(said) for line in lines)
    other = {"split": 71, "duplicates": 1200, "hot": 0, "unknown": 0, "truncated": 3}
    text = summarise({**record, "chunks": other}, options.to_config(job.options()))
    assert " tokens; 1,200 repeat another, 3 truncated\n" in text
    text = summarise({**record, "chunks": dict.fromkeys(other, 0)}, options.to_config(job.options()))
    assert " tokens\n" in text


def test_summary_of_languages_without_english_shows_no_premium(job: Job) -> None:
    job.write("a.jsonl", [document("d", lang="de")])
    record = job.run()
    row = next(
        line for line in summarise(record, options.to_config(job.options())).splitlines() if line.startswith("  de")
    )
    assert row.split()[-1] == "-"


def test_summary_of_a_clean_run_names_no_rejects(job: Job) -> None:
    job.write("a.jsonl", [document("d0")])
    assert "rejects" not in summarise(job.run(), options.to_config(job.options())).split("\n\n", 1)[1].replace(
        "0 rejected", ""
    )


def test_summary_of_too_many_rejects_names_the_five_commonest_reasons(job: Job) -> None:
    job.write("a.jsonl", [document("d0"), document("e", "")])
    record = job.run(max_reject_fraction=0.1)
    config = options.to_config(job.options(max_reject_fraction=0.1))
    lines = summarise(record, config).splitlines()
    place = lines.index("TOO MANY REJECTS: 50.00%, allowed by --max-reject-fraction 10.00%; the commonest:")
    assert lines[place + 1] == "          1 empty_text (record)"
    assert lines[place + 2] == ""
    rejects = {
        "chunk.bad_vector": 7,
        "file.unreadable_file": 3,
        "record.bad_encoding": 1200,
        "record.empty_text": 7,
        "record.missing_id": 4,
        "record.too_large": 2,
        "record.wrong_type": 1,
    }
    lines = summarise({**record, "rejects": rejects}, config).splitlines()
    assert lines[place + 1 : place + 7] == [
        "      1,200 bad_encoding (record)",
        "          7 bad_vector (chunk)",
        "          7 empty_text (record)",
        "          4 missing_id (record)",
        "          3 unreadable_file (file)",
        "",
    ]
    assert "TOO MANY" not in summarise({**record, "exit_code": 3}, config)


def test_an_empty_collection_is_not_to_be_searched(job: Job) -> None:
    job.write("a.jsonl", [document("e", "")])
    text = summarise(job.run(), options.to_config(job.options()))
    assert " 0 held: " in text
    assert "search" not in text


def test_summary_says_what_mirroring_came_to(job: Job) -> None:
    job.write("a.jsonl", [document("d0")])
    record = job.run()
    config = options.to_config(job.options(max_delete_fraction=0.25))
    assert "gone from the source" not in summarise(record, config)
    found = {"held": 4000, "gone": 1200, "unread": 3, "deleted": 0}
    said = {
        "deleted": "1,200 of 4,000 documents gone from the source: deleted",
        "over the limit": "gone from the source: NOT DELETED: above --max-delete-fraction 0.25; if that is meant",
        "source not whole": "gone from the source: not deleted: 3 files or records that could not be read may hold them",
    }
    for outcome, sentence in said.items():
        assert sentence in summarise({**record, "mirror": {**found, "outcome": outcome}}, config)


def test_the_report_is_named_if_there_is_one(job: Job) -> None:
    job.write("a.jsonl", [document("d0")])
    record, config = job.run(), options.to_config(job.options())
    uri = str(job.workspace)
    report = find_report(uri, record["run_id"])
    assert report == f"{uri}/runs/{record['run_id']}/report.html"
    assert Path(report).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert f"\nreport: {report}\n\nsearch it:\n" in summarise(record, config, report)
    Path(report).unlink()
    assert find_report(uri, record["run_id"]) is None
    assert "report:" not in summarise(record, config)
