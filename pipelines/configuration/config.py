"""The configuration of a run: frozen, checked once, without I/O."""

from pydantic import model_validator

from pipelines.configuration.access import MilvusAccess
from pipelines.configuration.machines import Workers
from pipelines.configuration.sections import (
    Chunking,
    Encoding,
    Labelling,
    Language,
    Loading,
    Representation,
    Run,
    Section,
    Selection,
    Source,
    Storage,
)
from transforms.logic.errors import ConfigurationError


class Config(Section):
    """All parts."""

    source: Source
    selection: Selection
    language: Language
    chunking: Chunking
    encoding: Encoding
    representation: Representation
    storage: Storage
    access: MilvusAccess = MilvusAccess()
    # Records of older runs have none.
    loading: Loading = Loading()
    labelling: Labelling
    workers: Workers = Workers()
    run: Run

    @model_validator(mode="after")
    def _columns_are_of_whole_vectors(self) -> "Config":
        if self.storage.write_path == "columns" and "multi" in (self.storage.milvus_outputs or self.encoding.outputs):
            message = (
                "--write-path columns does not write vectors of tokens; leave it out, "
                "or keep multi in the dataset alone by --milvus-outputs"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _milvus_is_reached_safely(self) -> "Config":
        try:
            access = self.access.value
            access.check(self.storage.milvus)
            if self.loading.import_endpoint is not None:
                access.check(self.loading.import_endpoint, "--import-endpoint")
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _a_gpu_is_used(self) -> "Config":
        if self.workers.gpu is not None and self.encoding.device == "cpu":
            raise ValueError("--gpu asks for workers that --device cpu does not use; leave out one of them")
        return self

    @model_validator(mode="after")
    def _one_place_is_named(self) -> "Config":
        if self.run.publish is None:
            if not self.storage.collection:
                raise ValueError("--collection is required, or --publish")
            return self
        if self.storage.collection:
            raise ValueError("--publish names its collections itself; leave out --collection")
        if self.run.mirror:
            raise ValueError("--publish fills a fresh collection, which holds what the input has; leave out --mirror")
        return self

    @model_validator(mode="after")
    def _what_is_mirrored_is_whole(self) -> "Config":
        chosen = self.selection
        narrowing = {
            "--date-from": chosen.date_from,
            "--date-to": chosen.date_to,
            "--sample": chosen.sample < 1,
            "--limit": chosen.limit,
            "--keep-languages": chosen.keep_languages,
            "--exclude": self.source.exclude,
        }
        given = [flag for flag, value in narrowing.items() if value]
        if self.run.mirror and given:
            message = (
                f"--mirror deletes what the input no longer has, and {', '.join(given)} leaves out what it has; "
                "leave out the one or the other"
            )
            raise ValueError(message)
        return self
