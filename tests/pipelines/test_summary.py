"""What a person reads at the end of a run."""

from pipelines import options
from pipelines.summary import summarise
from tests.pipelines.jobs import Job, document, story


def test_summary_tells_every_figure_of_the_record(job: Job) -> None:
    job.write("a.jsonl", [document("d0", story("d0", 4)), document("d1", lang="de"), document("e", "")])
    record = job.run()
    lines = summarise(record, options.to_config(job.options())).splitlines()
    assert lines[0].startswith(f"run {record['run_id']}: complete with rejects under the limit (exit code 3), ")
    assert "  documents           3 read: 2 embedded, 0 reused, 0 unchanged, 1 rejected" in lines
    assert "  chunks              3   of 55 tokens" in lines
    assert any(line.startswith("  vectors             3 encoded in ") and line.endswith("; 0 reused") for line in lines)
    assert "  rows                3 held: 3 written, 0 unchanged, 0 deleted" in lines
    assert "  de                 1        1       11           11.0" in lines
    assert "  en                 1        2       44           22.0" in lines
    assert "  lang_en                        2" in lines
    assert any(line.startswith("rejects: empty_text 1; 33.33% of all (limit 50.00%), kept in ") for line in lines)
    assert not any("BALANCE" in line for line in lines)


def test_summary_of_a_clean_run_names_no_rejects(job: Job) -> None:
    job.write("a.jsonl", [document("d0")])
    assert "rejects" not in summarise(job.run(), options.to_config(job.options())).split("\n\n", 1)[1].replace(
        "0 rejected", ""
    )
