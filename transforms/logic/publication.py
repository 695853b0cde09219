"""What an alias serves, served before, and is about to serve: states that follow one another, each committed before the next step.

A *generation* is a collection filled by one full load, named after the alias and a number that is never given twice. It is built beside
the one that is served, the alias moves, and what is no longer kept is dropped. A state that lies before the step that it led to, because
that step's process died, is brought up by asking the alias itself (`seen`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import regex

from transforms.logic.errors import ConfigurationError

FORMAT = 1
_MAX_NAME = 255


@dataclass(frozen=True)
class Generation:
    """A collection that an alias serves, served or may serve.

    Attributes:
        collection: its name.
        fingerprint: of all that decides its rows: configuration, embedding space, and the files of the source as listed.
        run_id: of the run that fills it.
    """

    collection: str
    fingerprint: str
    run_id: str


@dataclass(frozen=True)
class Publication:
    """The state of an alias.

    Attributes:
        number: how many states there were before.
        generations: those that were served and are not dropped, the one served last first.
        building: the one that a run fills, or was filling when it died.
        last: the greatest number that a generation was given; 0 before the first.
    """

    number: int = 0
    generations: tuple[Generation, ...] = ()
    building: Generation | None = None
    last: int = 0

    @property
    def served(self) -> Generation | None:
        """The one that the alias serves by this state."""
        return self.generations[0] if self.generations else None

    def find(self, collection: str) -> Generation | None:
        """A generation by the name of its collection, one being built too."""
        known = (*self.generations, *([self.building] if self.building else []))
        return next((one for one in known if one.collection == collection), None)

    def next_name(self, alias: str, taken: Iterable[str]) -> str:
        """The next generation's collection: its number is above all that there were and above those of collections so named.

        Raises:
            ConfigurationError: Milvus would not take the name.
        """
        pattern = regex.compile(regex.escape(alias) + r"_(\d{4,})")
        found = [pattern.fullmatch(name) for name in taken]
        name = f"{alias}_{1 + max([self.last, *(int(one[1]) for one in found if one)]):04d}"
        if len(name) > _MAX_NAME:
            raise ConfigurationError(
                f"--publish {alias!r} is too long: a collection's name has {_MAX_NAME} characters at most"
            )
        return name

    def begin(self, generation: Generation) -> "Publication":
        """A generation with a name of `next_name` is being built."""
        return self._next(building=generation, last=int(generation.collection.rsplit("_", 1)[-1]))

    def serve(self, collection: str, *, unfinished: bool = True) -> "Publication":
        """The alias means this generation now; with `unfinished` it may be the one being built.

        Raises:
            ConfigurationError: there is no such generation.
        """
        found = self.find(collection)
        if found is None or (found == self.building and not unfinished):
            names = ", ".join(one.collection for one in self.generations) or "none"
            raise ConfigurationError(f"{collection!r} is no generation that this alias meant; there is {names}")
        others = tuple(one for one in self.generations if one != found)
        return self._next(generations=(found, *others), building=None if self.building == found else self.building)

    def drop(self, collection: str) -> "Publication":
        """A collection that is not served is gone."""
        if self.served is not None and self.served.collection == collection:
            raise ConfigurationError(f"{collection!r} is served and stays")
        building = self.building
        return self._next(
            generations=tuple(one for one in self.generations if one.collection != collection),
            building=None if building is not None and building.collection == collection else building,
        )

    def seen(self, served: str | None) -> "Publication":
        """This state after the alias was asked what it means: a step that was done and not written down counts as done.

        An alias that means none of the generations was moved by somebody else; that changes nothing here.
        """
        behind = (
            served is not None and self.find(served) is not None and served != getattr(self.served, "collection", None)
        )
        return self.serve(str(served)) if behind else self

    def previous(self, served: str) -> Generation:
        """The one that was served before; `ConfigurationError` if none is kept."""
        for one in self.generations:
            if one.collection != served:
                return one
        raise ConfigurationError(
            f"no generation before {served!r} is kept, so that there is nothing to roll back to; see --keep-generations"
        )

    def not_kept(self, keep: int) -> tuple[Generation, ...]:
        """Generations beyond the one served and `keep` before it, the oldest first."""
        return tuple(reversed(self.generations[1 + keep :]))

    def to_values(self) -> dict[str, Any]:
        """Plain values, with the format."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Publication":
        """Reads `to_values`; anything else raises `KeyError` or `TypeError`."""
        building = values["building"]
        return cls(
            int(values["number"]),
            tuple(Generation(**one) for one in values["generations"]),
            None if building is None else Generation(**building),
            int(values["last"]),
        )

    def _next(self, **changes: Any) -> "Publication":
        return replace(self, number=self.number + 1, **changes)
