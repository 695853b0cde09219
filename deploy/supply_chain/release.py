"""Whether this tree may be released: `python -m deploy.supply_chain.release v0.2.0`, or `make release-check TAG=v0.2.0`.

The version stands in pyproject.toml alone; the tag and the newest section of the changelog have to name it, the latter with a date.
"""

import argparse
import re
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("pipelines", "transforms")
KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Headings of Keep a Changelog 1.1.0."""
_SHIPPED: Final = frozenset({".py", ".html", ".css", ".js", ".svg", ".toml"})
_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-(?:alpha|beta|rc)\.\d+)?")
_SECTION: Final = re.compile(r"## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d|Unreleased))?")
_DAY: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


def project_version() -> str:
    """The version that pyproject.toml names."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def sections(changelog: str) -> list[tuple[str, str]]:
    """Version and date, or `Unreleased`, of each section of a changelog, as they stand."""
    return [
        (found["version"], found["date"] or "")
        for line in changelog.splitlines()
        if (found := _SECTION.fullmatch(line)) is not None
    ]


def changelog_faults(changelog: str, version: str) -> list[str]:
    """In what a changelog is not one of Keep a Changelog whose newest section is of a version; empty if it is."""
    lines = changelog.splitlines()
    found = sections(changelog)
    faults = [
        f"line {number}: not a section as '## [1.2.3] - 2026-03-01'"
        for number, line in enumerate(lines, 1)
        if line.startswith("## ") and not _SECTION.fullmatch(line)
    ]
    faults += [
        f"line {number}: '{line}' is none of {', '.join(KINDS)}"
        for number, line in enumerate(lines, 1)
        if line.startswith("### ") and line.removeprefix("### ") not in KINDS
    ]
    if not lines or lines[0] != "# Changelog":
        faults.append("line 1: not '# Changelog'")
    if not found:
        return [*faults, "there is no section"]
    if found[0][0] != version:
        faults.append(f"the newest section is of {found[0][0]}, pyproject.toml says {version}")
    for name, date in found:
        if not _VERSION.fullmatch(name):
            faults.append(f"{name}: not a version of Semantic Versioning")
        if date != "Unreleased" and not _DAY.fullmatch(date):
            faults.append(f"{name}: {date!r} is no date")
    faults += [f"{name}: only the newest may be unreleased" for name, date in found[1:] if date == "Unreleased"]
    numbers = [tuple(map(int, name.partition("-")[0].split("."))) for name, _ in found if _VERSION.fullmatch(name)]
    if numbers != sorted(numbers, reverse=True) or len(set(found)) != len(found):
        faults.append("sections are not in order, the newest first")
    return faults


def tag_faults(tag: str, version: str, changelog: str) -> list[str]:
    """Why a tag may not be released; empty if it may."""
    faults = changelog_faults(changelog, version)
    if tag != f"v{version}":
        faults.append(f"the tag is {tag}, that of pyproject.toml's version would be v{version}")
    faults += [f"{name} has no date yet" for name, date in sections(changelog)[:1] if date == "Unreleased"]
    return faults


def wheel_faults(wheel: Path, version: str) -> list[str]:
    """In what a wheel does not hold exactly the modules, markers, styles and scripts of the two packages, and what describes them."""
    described = f"corpus_embed-{version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in _SHIPPED or path.name == "py.typed"
    }
    inside = {name for name in names if not name.startswith(f"{described}/")}
    faults = [f"{name} is not in the wheel" for name in sorted(wanted - inside)]
    faults += [f"{name} is in the wheel and should not be" for name in sorted(inside - wanted)]
    needed = {f"{described}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    return faults + [f"{name} is not in the wheel" for name in sorted(needed - names)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.supply_chain.release", description="Checks a release.")
    parser.add_argument("tag", help="as v0.2.0")
    parser.add_argument("--wheel", type=Path, help="that was built of it")
    arguments = parser.parse_args(argv)
    version = project_version()
    faults = tag_faults(arguments.tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if arguments.wheel is not None:
        faults += wheel_faults(arguments.wheel, version)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
