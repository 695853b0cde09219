"""A bulk import as `run` and `load` plan it: where its files go, and whether a collection may be filled by one."""

from pipelines.configuration.sections import Loading
from transforms.adapters.milvus import Target
from transforms.adapters.milvus.import_jobs import ImportCollection, check_can_import
from transforms.adapters.milvus.import_storage import ImportStorage, check_storage, import_storage
from transforms.adapters.milvus.imports import Journal
from transforms.adapters.workspace import Workspace
from transforms.bulk_import import Importing
from transforms.logic.errors import ConfigurationError


class CollectionImport:
    """What a collection and the journals of its imports allow."""

    def __init__(
        self, wanted: Loading, target: Target, collection: ImportCollection, workspace: Workspace, next_number: int
    ) -> None:
        """Takes the collection, which need not exist, and the number of the ledger to be committed.

        Raises:
            ConfigurationError: an import is wanted, and this is Milvus Lite.
        """
        self._is_wanted = wanted.write == "import"
        self._name = target.collection
        self._collection = collection
        self._collection_key = workspace.collection_key
        self._journal = Journal(workspace.imports, next_number)
        if self._is_wanted:
            check_can_import(collection.version, target)

    def forget(self) -> None:
        """Before a new collection is made: it holds nothing, whatever an older one of this name held, or was about to be given."""
        self._journal.forget()

    def check_none_is_left(self) -> None:
        """Refuses, by `ConfigurationError`, to do anything but go on with an import that was begun."""
        if self._journal.exists and not self._is_wanted:
            raise ConfigurationError(
                f"an import into collection {self._name!r} was begun and is not finished; --write import, with the other options as "
                "they were, goes on with it; or drop the collection and run again: no vector is encoded again"
            )

    def folder(self, held_rows: int) -> str | None:
        """Name of the folder for the files; None if no import is wanted, or the collection holds rows that none brought.

        Args:
            held_rows: of the collection, by Milvus or by its ledger.
        """
        if self._is_wanted and (self._journal.exists or not held_rows):
            return f"{self._collection_key}-{self._collection.identity()}"
        return None


def open_import_storage(wanted: Loading) -> ImportStorage | None:
    """Where import files go, which is written to once; None if no import is wanted.

    Raises:
        ConfigurationError: it cannot be written to, or its scheme is unknown.
    """
    if wanted.write != "import" or wanted.import_storage is None:
        return None
    storage = import_storage(wanted.import_storage, wanted.import_path)
    check_storage(storage)
    return storage


def importing_of(wanted: Loading, storage: ImportStorage | None, folder: str | None) -> Importing | None:
    """How files are imported from a folder of `CollectionImport.folder`; None if none are."""
    if storage is None or folder is None:
        return None
    return Importing(
        storage.below(folder), wanted.import_endpoint, wanted.import_file_bytes, wanted.import_patience_seconds
    )
