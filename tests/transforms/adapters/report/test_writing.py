"""The report as a file."""

import re
from importlib.resources import files
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


def _lightness(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    long = colour if len(colour) == 7 else "#" + "".join(2 * one for one in colour[1:])
    parts = [int(long[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(share * one for share, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_mark_stands_out_from_its_ground() -> None:
    """WCAG 2.2, 1.4.11 asks for 3 to 1 of what a graphic cannot be understood without: light, dark and on paper."""
    css = files("transforms.adapters.report").joinpath("report.css").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})\b", block))
        for name in [f"c{kind}" for kind in "01234567x"]:
            for ground in ("page", "card"):
                dark, light = sorted((_lightness(colours[name]), _lightness(colours[ground])))
                found.append((light + 0.05) / (dark + 0.05))
    assert len(found) == 3 * 9 * 2
    assert min(found) >= 3
