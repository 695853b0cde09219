"""The configuration of a run: frozen, checked once, without I/O. Units are in the names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transforms.logic.chunking import MIN_TOKENS_LIMIT


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        return tuple(part.strip() for item in value for part in str(item).split(",") if part.strip())
    return value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Section(BaseModel):
    """A part of the configuration; field names are unique over all parts, as they are the names of flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Section):
    """What is read."""

    input: Patterns = Field(
        min_length=1, description="glob patterns of JSON Lines (.jsonl, .jsonl.gz) and Parquet files"
    )
    id_column: str = Field("id", description="column with the document id, unique over the corpus")
    text_column: str = Field("text", description="column with the text")
    language_column: str | None = Field(None, description="column whose language is trusted instead of detecting it")
    date_column: str = Field("date", description="column with the document's date")
    metadata_columns: Names | None = Field(
        None, description="columns kept as metadata; by default all that have no other role"
    )
    max_document_bytes: int = Field(10_000_000, ge=1, description="a larger text is rejected")


class Language(Section):
    """How documents are spread over partitions."""

    partition_by: Literal["language", "none"] = Field(
        "language", description="a Milvus partition for each language, or none"
    )
    languages: Names = Field((), description="languages with their own partition, others share lang_other; default all")


class Chunking(Section):
    """How documents are cut."""

    max_tokens: int = Field(
        256, ge=MIN_TOKENS_LIMIT, description="most tokens of a chunk, without prompt and special tokens"
    )
    overlap: int = Field(
        0, ge=0, description="tokens that a chunk may share with the one before, at most a quarter of --max-tokens"
    )

    @model_validator(mode="after")
    def _overlap_is_small(self) -> "Chunking":
        if self.overlap > self.max_tokens // 4:
            most = self.max_tokens // 4
            message = (
                f"--overlap {self.overlap} is above a quarter of --max-tokens {self.max_tokens}; choose at most {most}"
            )
            raise ValueError(message)
        return self


class Encoding(Section):
    """What decides a vector."""

    model: str = Field(description="directory of a sentence-transformers checkpoint, or a hub name with --revision")
    revision: str | None = Field(None, description="commit of the hub model, 40 hexadecimal digits")
    dtype: Literal["bfloat16", "float32"] = Field("bfloat16", description="number type of the model's computation")
    document_prompt: str | None = Field(
        None, description="put before every chunk; default the model's own document prompt"
    )
    query_prompt: str | None = Field(None, description="put before every query; default the model's own query prompt")


class Representation(Section):
    """What Milvus holds."""

    dimensions: int | None = Field(None, ge=1, description="leading dimensions kept and renormalised; default all")
    vector_type: Literal["float32"] = Field("float32", description="number type of the stored vectors")


class Storage(Section):
    """Where results go."""

    workspace: str = Field(
        min_length=1, description="URI of everything that is kept: dataset, ledger, rejects, run records"
    )
    milvus: str = Field(min_length=1, description="address of a Milvus server, or a path ending in .db for Milvus Lite")
    collection: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$", description="Milvus collection, created if it does not exist"
    )
    milvus_token_env: str | None = Field(None, description="environment variable that holds the Milvus token")


class Run(Section):
    """When a run is good."""

    max_reject_fraction: float = Field(
        0.01, ge=0, le=1, description="share of rejects above which the run fails with exit code 4"
    )
    logical_date: str | None = Field(
        None, pattern=r"^[0-9A-Za-z_.:+-]{1,64}$", description="name of the interval a scheduled run stands for"
    )


class Config(Section):
    """All parts."""

    source: Source
    language: Language
    chunking: Chunking
    encoding: Encoding
    representation: Representation
    storage: Storage
    run: Run
