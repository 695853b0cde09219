"""The parts of a run's configuration, each frozen and checked alone. Units are in the names."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transforms.logic.chunking import MIN_TOKENS_LIMIT
from transforms.logic.import_files import MAX_FILE_BYTES
from transforms.logic.outputs import OUTPUTS, Output
from transforms.logic.selection import PathTemplate, window_of


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        return tuple(part.strip() for item in value for part in str(item).split(",") if part.strip())
    return value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _in_order(value: tuple[Output, ...]) -> tuple[Output, ...]:
    return tuple(output for output in OUTPUTS if output in value)


def _as_text(value: Any) -> Any:
    # TOML has dates of its own.
    return value.isoformat() if isinstance(value, date) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
OutputNames = Annotated[
    tuple[Output, ...], Field(min_length=1), BeforeValidator(_split_commas), AfterValidator(_in_order)
]
Date = Annotated[str, BeforeValidator(_as_text)]


class Section(BaseModel):
    """A part of the configuration; field names are unique over all parts, as they are the names of flags."""

    # What is wrong may be a secret in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Source(Section):
    """What is read."""

    input: Patterns = Field(
        min_length=1,
        description="glob patterns of files or objects, ending in / for all below; `{date:%Y/%m/%d}` in one stands for a date",
    )
    exclude: Patterns = Field((), description="glob patterns, of a whole URI or a name, of files that are left out")
    format: Literal[
        "auto", "jsonl", "json", "csv", "tsv", "parquet", "text", "markdown", "html", "pdf", "wet", "warc"
    ] = Field("auto", description="format of the files; by default each file's name and content tell")
    id_column: str = Field("id", description="column with the document id, unique over the corpus")
    id_from: Literal["column", "place"] = Field(
        "column", description="where ids come from: --id-column, or source and place for records without one"
    )
    text_column: str = Field("text", description="column with the text; a dotted name reaches into nested values")
    date_column: str = Field("date", description="column with the document's date")
    metadata_columns: Names | None = Field(
        None, description="columns kept as metadata; by default all that have no other role"
    )
    decoding: Literal["detect", "strict"] = Field(
        "detect", description="text that is not UTF-8: guess its encoding, or reject it"
    )
    max_document_bytes: int = Field(10_000_000, ge=1, description="a larger text is rejected")
    max_record_bytes: int = Field(64 << 20, ge=1, description="a larger record (line, row, page) is rejected unread")
    max_decompressed_bytes: int = Field(1 << 40, ge=1, description="a file that unpacks to more is given up there")
    max_compression_ratio: float = Field(
        1000, ge=1, description="a file that unpacks to more times its size, beyond 64 MiB, is given up there"
    )

    @model_validator(mode="after")
    def _patterns_can_be_read(self) -> "Source":
        for flag, patterns in (("--input", self.input), ("--exclude", self.exclude)):
            if "" in patterns:
                message = f"{flag} '' is empty; name a file, a directory or a glob pattern"
                raise ValueError(message)
        for pattern in self.input:
            try:
                PathTemplate(pattern)
            except ValueError as error:
                message = f"--input {error}"
                raise ValueError(message) from error
        return self


class Selection(Section):
    """Which documents are taken; the others are counted as left out."""

    date_from: Date | None = Field(
        None, description="first date taken, as YYYY-MM-DD or a timestamp; UTC unless it says"
    )
    date_to: Date | None = Field(None, description="first date no longer taken")
    sample: float = Field(1, gt=0, le=1, description="share of the documents, chosen by a digest of their id")
    limit: int | None = Field(
        None,
        ge=1,
        description="at most so many documents, the first in order of file and place, before --keep-languages",
    )
    keep_languages: Names = Field((), description="documents of other languages are left out; default all are taken")

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> "Selection":
        window_of(self.date_from, self.date_to)
        return self


class Language(Section):
    """How languages are told, and how documents are spread over partitions."""

    detector: str = Field(
        "cld2",
        description="cld2, lid176, fasttext:PATH, column:NAME, const:CODE or agree; after a comma who is asked when it gives none",
    )
    language_floor: float = Field(0.5, ge=0, le=1, description="a language with a lower score becomes und")
    partition_by: Literal["language", "none"] = Field(
        "language", description="a Milvus partition for each language, or none"
    )
    languages: Names | None = Field(
        None,
        min_length=1,
        description="languages with their own partition, `common` or `all`, others share lang_other; "
        "default what the collection has, and common for a new one",
    )
    top_languages: int | None = Field(
        None, ge=1, description="own partitions for so many of the commonest languages of the first run's corpus"
    )

    @model_validator(mode="after")
    def _own_partitions_are_chosen_once(self) -> "Language":
        if self.languages is not None and self.top_languages is not None:
            raise ValueError("--languages and --top-languages exclude each other; leave one out")
        return self


class Chunking(Section):
    """How documents are cut."""

    max_tokens: int = Field(
        256, ge=MIN_TOKENS_LIMIT, description="most tokens of a chunk, without prompt and special tokens"
    )
    min_tokens: int = Field(0, ge=0, description="a shorter chunk joins its neighbour, at most half of --max-tokens")
    overlap: int = Field(
        0, ge=0, description="tokens that a chunk may share with the one before, at most a quarter of --max-tokens"
    )
    structure: Literal["plain", "markdown", "auto"] = Field(
        "auto", description="cut at Markdown headings and keep code and tables whole; auto: in Markdown files"
    )
    max_unknown_fraction: float = Field(
        0.1, ge=0, le=1, description="share of unknown tokens above which a chunk is flagged or rejected"
    )
    on_unknown: Literal["flag", "reject"] = Field(
        "flag", description="what happens to a chunk above --max-unknown-fraction"
    )

    @model_validator(mode="after")
    def _shares_are_small(self) -> "Chunking":
        for flag, value, share in (("--overlap", self.overlap, 4), ("--min-tokens", self.min_tokens, 2)):
            most = self.max_tokens // share
            if value > most:
                part = "a quarter" if share == 4 else "half"  # noqa: PLR2004
                message = f"{flag} {value} is above {part} of --max-tokens {self.max_tokens}; choose at most {most}"
                raise ValueError(message)
        return self


class Encoding(Section):
    """What decides a vector."""

    model: str = Field(description="directory of a sentence-transformers checkpoint, or a hub name with --revision")
    revision: str | None = Field(None, description="commit of the hub model, 40 hexadecimal digits")
    outputs: OutputNames = Field(
        OUTPUTS[:1],
        description="what is made of every chunk: dense, sparse (weights of tokens), multi (a vector a token)",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$",
        description="auto (a GPU where the worker has one), cpu, cuda, or cuda:N for one of several",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="cores that a worker process encodes with on a CPU; default all, shared by the processes of an in-process runner",
    )
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16", description="number type of the model's computation"
    )
    document_prompt: str | None = Field(
        None, description="put before every chunk; default the model's own document prompt"
    )
    query_prompt: str | None = Field(None, description="put before every query; default the model's own query prompt")


class Representation(Section):
    """What Milvus holds."""

    vector_type: Literal["float32", "float16", "bfloat16", "int8", "binary", "auto"] = Field(
        "float32", description="number type of the stored vectors; auto: the smallest that keeps --recall-floor"
    )
    dimensions: int | None = Field(None, ge=1, description="leading dimensions kept and renormalised; default all")
    recall_floor: float = Field(
        0.98, gt=0, le=1, description="recall@10 against full precision that auto keeps, overall and in every language"
    )
    projection: str | None = Field(
        None, description="matrix that vectors go through first: .npy, or .safetensors with `matrix` and perhaps `mean`"
    )
    calibration: str | None = Field(
        None, description="calibration file for binary vectors; default the workspace's latest for this embedding space"
    )
    calibration_sample: int = Field(
        10_000, ge=100, description="at most so many vectors of the dataset are calibrated and measured on"
    )

    @model_validator(mode="after")
    def _calibration_is_used(self) -> "Representation":
        if self.calibration is not None and self.vector_type not in {"binary", "auto"}:
            message = f"--calibration is for --vector-type binary or auto, {self.vector_type} needs none; leave it out"
            raise ValueError(message)
        return self


class Storage(Section):
    """Where results go."""

    workspace: str = Field(
        min_length=1, description="URI of everything that is kept: dataset, ledger, rejects, run records"
    )
    milvus: str = Field(min_length=1, description="address of a Milvus server, or a path ending in .db for Milvus Lite")
    collection: str = Field(
        "",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$",
        description="Milvus collection, created if it does not exist; this or --publish is required",
    )
    milvus_outputs: OutputNames | None = Field(
        None, description="those of --outputs that Milvus holds; default all; the dataset keeps all"
    )
    index: str = Field(
        "auto", description="index type of the dense vectors in a new collection; auto: by vector type, server and size"
    )
    index_parameters: Names = Field((), description="parameters of --index as NAME=VALUE, in place of its defaults")
    writers: int = Field(
        4, ge=1, le=64, description="at most so many requests at once from a worker process; always 1 to Milvus Lite"
    )
    write_path: Literal["rows", "columns"] = Field(
        "rows",
        description="rows are put into requests by Milvus's client, or as whole columns, which is faster and not for multi",
    )

    @model_validator(mode="after")
    def _parameters_are_of_an_index(self) -> "Storage":
        if self.index_parameters and self.index == "auto":
            raise ValueError("--index-parameters are those of a type; name it by --index, as in --index HNSW")
        return self


class Loading(Section):
    """How rows get into Milvus."""

    write: Literal["upsert", "import"] = Field(
        "upsert",
        description="how rows get into Milvus: upsert, or import of files into a collection that holds none yet; later runs upsert",
    )
    import_storage: str | None = Field(
        None,
        min_length=1,
        description="directory, or s3:// or gs:// URI within Milvus's own bucket, where import files are put; removed once imported",
    )
    import_path: str | None = Field(
        None,
        description="what Milvus calls --import-storage; default the absolute path of a directory, and the path within a bucket",
    )
    import_endpoint: str | None = Field(
        None, description="address of Milvus's REST interface; default that of --milvus; not used before Milvus 2.4"
    )
    import_file_bytes: int = Field(
        512 << 20, ge=1 << 20, le=MAX_FILE_BYTES // 2, description="an import file is complete when it is as large"
    )
    import_patience_seconds: float = Field(
        3600, gt=0, description="an import job without progress for so long is given up; run again to go on waiting"
    )

    @model_validator(mode="after")
    def _import_has_storage(self) -> "Loading":
        if self.write == "import" and self.import_storage is None:
            message = "--write import needs --import-storage: a directory or part of a bucket that Milvus reads"
            raise ValueError(message)
        given = [
            name
            for name in ("import_storage", "import_path", "import_endpoint")
            if getattr(self, name) is not None and self.write != "import"
        ]
        if given:
            message = f"--{given[0].replace('_', '-')} is for --write import; add that or leave it out"
            raise ValueError(message)
        return self


class Labelling(Section):
    """What chunks are called."""

    labels: str | None = Field(
        None,
        description="TOML file with a table [labels] of name = text: each chunk gets the nearest one and its cosine",
    )


class Run(Section):
    """When a run is good."""

    max_reject_fraction: float = Field(
        0.01, ge=0, le=1, description="share of rejects above which the run fails with exit code 4"
    )
    mirror: bool = Field(
        default=False,
        description="delete what the collection holds of documents that are no longer in the input, which must be all of it",
    )
    max_delete_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the held documents above which --mirror deletes nothing and the run ends with exit code 7",
    )
    new_space: bool = Field(
        default=False,
        description="write to a collection whose documents were cut in another way; those of the input are cut anew",
    )
    recheck: bool = Field(
        default=False,
        description="take every document through the pipeline, also those that the collection holds as they are",
    )
    publish: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,249}$",
        description="alias: the whole input goes to a fresh collection, which the alias means once it is verified",
    )
    keep_generations: int = Field(
        1, ge=0, description="collections that the alias of --publish meant before and that stay for rollback"
    )
    verify: Literal["none", "quick", "full"] = Field(
        "quick",
        description="hold the collection against the ledger at the end: counts, index, a few rows; full: every id, rows of every "
        "partition, recall",
    )
    on_busy: Literal["refuse", "wait"] = Field(
        "refuse",
        description="while another run writes to the collection: end with exit code 6, or wait until it is done",
    )
    logical_date: str | None = Field(
        None, pattern=r"^[0-9A-Za-z_.:+-]{1,64}$", description="name of the interval a scheduled run stands for"
    )
    keep_rejected_text: bool = Field(
        default=False, description="keep with each rejected record or chunk how it begins, at most 16 KiB"
    )
    report: Literal["full", "no-texts", "none"] = Field(
        "full",
        description="make an HTML report of the run beside its record; no-texts: one that quotes no chunk; none: make it later, if at all",
    )
    push_metrics: str | None = Field(
        None, description="URL that gets the run's figures at its end by PUT in Prometheus's text format"
    )
