"""Aliases: the name that readers know, and the collection that it means."""

from collections.abc import Callable

from transforms.adapters.crashpoints import durable
from transforms.adapters.milvus.calls import ONE_ATTEMPT, call
from transforms.adapters.milvus.collection import Collection
from transforms.adapters.milvus.servers import Target, served
from transforms.logic.errors import ConfigurationError, CorpusEmbedError
from transforms.logic.suggestions import what_there_is


class Alias(Collection):
    """One alias of one server, named by the target; with it the collections that it may mean."""

    def served(self) -> str | None:
        """The collection that the alias means; None if there is no such alias.

        Raises:
            ConfigurationError: a collection has this name.
        """
        if not self.exists():
            return None
        found = self.meant()
        if found == self._name:
            message = (
                f"{self._name!r} is a collection, not an alias; choose another alias, or drop or rename the collection"
            )
            raise ConfigurationError(message)
        return found

    def serve(self, collection: str) -> None:
        """Lets the alias mean a collection, from one request of a reader to the next; again it changes nothing."""
        before = self.served()
        if before == collection:
            return
        change = self._client.create_alias if before is None else self._client.alter_alias
        try:
            with durable("alias"):
                call("alter_alias", lambda: change(collection, self._name, **ONE_ATTEMPT))
        except CorpusEmbedError:
            # A request whose answer was lost is refused when it is made again.
            if self.served() != collection:
                raise

    def collections(self) -> list[str]:
        """Names of the server's collections, ordered."""
        return sorted(call("list_collections", lambda: self._client.list_collections(**ONE_ATTEMPT)))

    def drop(self, collection: str) -> None:
        """Removes a collection, if it is there.

        Raises:
            ConfigurationError: an alias means it.
        """
        if collection not in self.collections():
            return
        aliases = self.aliases_of(collection)
        if aliases:
            message = f"collection {collection!r} is served as {', '.join(aliases)} and stays; let the alias mean another one first"
            raise ConfigurationError(message)
        with durable("drop"):
            call(
                "drop_collection",
                lambda: self._client.drop_collection(collection, **ONE_ATTEMPT),
            )

    def aliases(self) -> list[str]:
        """Every alias of the server's collections, ordered."""
        return sorted({alias for collection in self.collections() for alias in self.aliases_of(collection)})

    def aliases_of(self, collection: str) -> list[str]:
        """Every alias that means a collection, ordered."""
        found = call("list_aliases", lambda: self._client.list_aliases(collection, **ONE_ATTEMPT))
        return sorted(str(alias) for alias in found["aliases"])


def no_such_collection(target: Target) -> ConfigurationError:
    """What to raise for a collection, or an alias, that is not there: says what is there, as far as the user may look."""
    return _missing(target, "collection", lambda opened: [*opened.collections(), *opened.aliases()])


def no_such_alias(target: Target) -> ConfigurationError:
    """The same for an alias."""
    return _missing(target, "alias", Alias.aliases)


def _missing(target: Target, what: str, names: Callable[[Alias], list[str]]) -> ConfigurationError:
    opened = Alias(served(target))
    try:
        known = what_there_is(target.collection, names(opened), _PLURAL[what])
    except CorpusEmbedError:
        # Who may not list them is told no less for it.
        known = ""
    finally:
        opened.close()
    return ConfigurationError(f"there is no {what} {target.collection!r} at {target.uri!r}{known}")


_PLURAL = {"collection": "collections", "alias": "aliases"}
