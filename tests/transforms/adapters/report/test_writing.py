"""The report as a file."""

from pathlib import Path

from tests.reports import material, record
from transforms.adapters.report import render_report, write_report


def test_the_report_lies_beside_the_record(tmp_path: Path) -> None:
    target = write_report(str(tmp_path), record())
    assert target == f"{tmp_path}/runs/run-1/report.html"
    page = Path(target).read_text(encoding="utf-8")
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "Content-Security-Policy" in page
    assert "A map takes at least three chunks" in page


def test_a_page_is_small_whatever_the_corpus() -> None:
    made = record()
    made["languages"] = {f"x{number:02}": made["languages"]["de"] for number in range(100)}
    made["partitions"] = {f"lang_x{number:02}": {"expected": 1, "milvus": 1} for number in range(100)}
    assert len(render_report(material(record=made)).encode()) < 1_000_000
