"""Lists the licence of every package that the project needs: `python -m deploy.supply_chain.licences`, or `make licences`.

Read from the packages as they are installed. Most say it by an SPDX expression, older ones by a classifier or in words; words that are
not known here end the command, as does a licence that is not allowed.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageMetadata as Metadata
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
ALLOWED: Final = frozenset(
    {
        *(
            "0BSD",
            "Apache-2.0",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSL-1.0",
            "CC0-1.0",
            "CNRI-Python",
            "ISC",
            "LLVM-exception",
        ),
        *("MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
        # Of these files, and used as they are: it asks for their source alone.
        "MPL-2.0",
    }
)
"""SPDX identifiers that go with Apache-2.0 when a product is shipped."""
# What is said in words. Packages that say "BSD License" and no more were looked up in their own licence files: all have three clauses.
_IN_WORDS: Final = MappingProxyType(
    {
        "3-clause bsd license": "BSD-3-Clause",
        "apache 2.0 license": "Apache-2.0",
        "apache software license": "Apache-2.0",
        "bsd license": "BSD-3-Clause",
        "isc license (iscl)": "ISC",
        "mit license": "MIT",
        "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    }
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_OPERATORS: Final = frozenset({"AND", "OR", "WITH"})


@dataclass(frozen=True)
class Licensed:
    """A package and its licence, as an SPDX expression; empty if that is not known."""

    name: str
    version: str
    licence: str

    @property
    def refused(self) -> list[str]:
        """What of the licence is not allowed: nothing, or its identifiers, or that it is not known."""
        named = [one for one in _IDENTIFIER.findall(self.licence) if one not in _OPERATORS]
        return [one for one in named if one not in ALLOWED] if named else ["not known"]


def licence_of(metadata: Metadata) -> str:
    """A package's licence as an SPDX expression; empty if what it says is not known."""
    words = _field(metadata, "License")
    expression = _field(metadata, "License-Expression") or (words if _is_expression(words) else "")
    if expression:
        return expression
    classifiers = [
        one.rsplit(" :: ", 1)[-1] for one in metadata.get_all("Classifier") or [] if one.startswith("License :: ")
    ]
    # Some put the whole text of their licence here.
    said = [one for one in classifiers if one != "OSI Approved"] or [words]
    found = [_IN_WORDS.get(one.lower(), "") for one in said]
    return " AND ".join(dict.fromkeys(found)) if all(found) else ""


def _field(metadata: Metadata, name: str) -> str:
    return metadata[name].strip() if name in metadata else ""


def _is_expression(text: str) -> bool:
    """Whether text is an expression of allowed identifiers, rather than words."""
    return all(one in ALLOWED or one in _OPERATORS for one in text.replace("(", " ").replace(")", " ").split())


def required(lock: str) -> list[str]:
    """Names of the packages that a lock names for this system and Python version."""
    lines = [line.rstrip("\\ ") for line in lock.splitlines() if re.match("[A-Za-z0-9]", line)]
    requirements = [Requirement(line) for line in lines]
    return [one.name for one in requirements if one.marker is None or one.marker.evaluate()]


def licences(names: Iterable[str]) -> list[Licensed]:
    """Licences of installed packages, by name; one that is not installed has none that is known."""
    found = []
    for name in sorted(set(names), key=str.lower):
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            found.append(Licensed(name, "not installed", ""))
            continue
        found.append(Licensed(name, metadata["Version"], licence_of(metadata)))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.supply_chain.licences", description="Lists licences.")
    parser.add_argument(
        "locks",
        nargs="*",
        default=[ROOT / "requirements.lock"],
        type=Path,
        help="lock files; default requirements.lock",
    )
    found = licences(
        name for path in parser.parse_args(argv).locks for name in required(path.read_text(encoding="utf-8"))
    )
    for one in found:
        print(f"{one.name}\t{one.version}\t{one.licence or '-'}")
    refused = [one for one in found if one.refused]
    for one in refused:
        print(f"error: {one.name} {one.version}: {', '.join(one.refused)}", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
