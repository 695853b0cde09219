"""A Dockerfile as data: stages of instructions, with arguments put in. There is no Docker here; this follows its reference."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_COMMENT = re.compile(r"^\s*#")


@dataclass
class Stage:
    """From `FROM` to the next one."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)
    arguments: dict[str, str | None] = field(default_factory=dict)

    def of(self, kind: str) -> list[str]:
        """Arguments of instructions of one kind, in order."""
        return [value for name, value in self.instructions if name == kind]

    @property
    def environment(self) -> dict[str, str]:
        """What `ENV` sets."""
        pairs = [pair.partition("=") for value in self.of("ENV") for pair in shlex.split(value)]
        return {name: value for name, _, value in pairs}

    @property
    def commands(self) -> list[list[str]]:
        """Simple commands of every `RUN`, in order, as words."""
        parts = [part for value in self.of("RUN") for part in re.split(r"\s&&\s", value)]
        return [shlex.split(part) for part in parts]

    def copies(self) -> Iterator[tuple[str | None, list[str], str]]:
        """(stage that is copied from, sources, destination) of every `COPY`."""
        for value in self.of("COPY"):
            words = shlex.split(value)
            flags = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
            *sources, destination = [word for word in words if not word.startswith("--")]
            yield flags.get("from"), sources, destination

    @property
    def entrypoint(self) -> list[str]:
        """What the image starts; only the exec form, which no shell reads."""
        found: Any = json.loads(self.of("ENTRYPOINT")[-1])
        return [str(word) for word in found]


def read(path: Path, arguments: Mapping[str, str]) -> list[Stage]:
    """The stages, built with these `--build-arg`."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not _COMMENT.match(line)]
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        kind, _, value = line.strip().partition(" ")
        if kind == "ARG":
            name, given, default = value.partition("=")
            stand_in = arguments.get(name, default)
            known[name] = stand_in
            if stages:
                stages[-1].arguments[name] = default if given else None
        elif kind == "FROM":
            base, _, name = _expand(value, known).partition(" AS ")
            stages.append(Stage(base, name))
        else:
            # A variable of the shell is not an argument of the build.
            stages[-1].instructions.append((kind, _expand(value, known) if kind != "RUN" else value))
    return stages


def _expand(value: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], found[0]), value)
