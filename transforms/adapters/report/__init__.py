"""Reports written: the sample and the evaluations read, the page made and put beside the run record."""

from transforms.adapters.report.reading import MOST_SAMPLED, read_material, read_report_sample
from transforms.adapters.report.writing import FAILURES, REPORT, find_report, render_report, write_report

__all__ = [
    "FAILURES",
    "MOST_SAMPLED",
    "REPORT",
    "find_report",
    "read_material",
    "read_report_sample",
    "render_report",
    "write_report",
]
