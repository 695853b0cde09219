"""What others do about documents that did not change: the same editions, the same model."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from benchmarks.incremental.editions import EDITIONS, MIRRORED, Document, read_documents
from benchmarks.incremental.ours import Result
from benchmarks.pipeline import MAX_TOKENS, STOCK_BATCH_SIZE
from transforms.adapters.tokenizers import open_tokenizer

_CALL_CHUNKS = 100

Encode = Callable[[list[str]], list[list[float]]]
Sync = Callable[[Sequence[Document], str], object]
"""Brings a peer's store up to date with the documents of the named edition."""


class CountingEncode(Protocol):
    """Texts to vectors; `encoded` is how many texts it was given."""

    encoded: int

    def __call__(self, texts: list[str]) -> list[list[float]]: ...


class StockEncoder:
    """What most pipelines call, counted."""

    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        self._model = SentenceTransformer(model, device="cpu")
        self._model.encode(["warm"], show_progress_bar=False)
        self.encoded = 0

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.encoded += len(texts)
        vectors = self._model.encode(texts, prompt="passage: ", batch_size=STOCK_BATCH_SIZE, show_progress_bar=False)
        return [[float(number) for number in vector] for vector in vectors]


def open_langchain(model: str, encode: Encode) -> Sync:
    """LangChain's index API over a record manager and a vector store in memory."""
    from langchain_core.documents import Document as LangChainDocument  # noqa: PLC0415
    from langchain_core.embeddings import Embeddings  # noqa: PLC0415
    from langchain_core.indexing import InMemoryRecordManager, index  # noqa: PLC0415
    from langchain_core.vectorstores import InMemoryVectorStore  # noqa: PLC0415
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # noqa: PLC0415

    class Stock(Embeddings):  # type: ignore[misc, unused-ignore]  # where it is not installed
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return encode(texts)

        def embed_query(self, text: str) -> list[float]:
            return encode([text])[0]

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=MAX_TOKENS, chunk_overlap=0, length_function=lambda text: len(open_tokenizer(model).ids(text))
    )
    records = InMemoryRecordManager("incremental")
    records.create_schema()
    store = InMemoryVectorStore(Stock())

    def sync(documents: Sequence[Document], edition: str) -> object:
        whole = [
            LangChainDocument(one["text"], metadata={"source": one["id"], "revision": one["revision"]})
            for one in documents
        ]
        return index(
            splitter.split_documents(whole),
            records,
            store,
            batch_size=_CALL_CHUNKS,
            # `incremental` deletes, and encodes again, chunks of a document that lies in two batches.
            cleanup="full" if edition == MIRRORED else "scoped_full",
            source_id_key="source",
            key_encoder="blake2b",
        )

    return sync


def open_llama_index(model: str, encode: Encode) -> Sync:
    """LlamaIndex's ingestion pipeline with document store and cache over a vector store in memory."""
    core = import_module("llama_index.core")
    ingestion = import_module("llama_index.core.ingestion")
    base: Any = import_module("llama_index.core.embeddings").BaseEmbedding

    class Stock(base):  # type: ignore[misc]  # of a package that need not be there
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return encode(texts)

        def _get_text_embedding(self, text: str) -> list[float]:
            return encode([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return encode([query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return encode([query])[0]

    splitter = import_module("llama_index.core.node_parser").SentenceSplitter(
        chunk_size=MAX_TOKENS, chunk_overlap=0, tokenizer=open_tokenizer(model).ids, include_metadata=False
    )
    pipeline = ingestion.IngestionPipeline(
        transformations=[splitter, Stock(embed_batch_size=_CALL_CHUNKS)],
        docstore=import_module("llama_index.core.storage.docstore").SimpleDocumentStore(),
        vector_store=import_module("llama_index.core.vector_stores").SimpleVectorStore(),
    )

    def sync(documents: Sequence[Document], edition: str) -> object:
        whole = [
            core.Document(
                doc_id=one["id"],
                text=one["text"],
                metadata={"revision": one["revision"]},
                # Otherwise the metadata is put before every chunk that is encoded.
                excluded_embed_metadata_keys=["revision"],
            )
            for one in documents
        ]
        pipeline.docstore_strategy = ingestion.DocstoreStrategy(
            "upserts_and_delete" if edition == MIRRORED else "upserts"
        )
        return pipeline.run(documents=whole)

    return sync


PEERS: Mapping[str, Callable[[str, Encode], Sync]] = {
    "langchain index": open_langchain,
    "llama-index": open_llama_index,
}
PACKAGES = {"langchain index": "langchain_core", "llama-index": "llama_index"}
"""What must be installed for a peer."""


def run_peer(sync: Sync, encode: CountingEncode, home: Path) -> list[Result]:
    """Each edition of `home` by a peer: seconds, and texts that its encoder was given."""
    results = []
    for edition in EDITIONS:
        before, start = encode.encoded, perf_counter()
        sync(read_documents(home / f"{edition}.jsonl"), edition)
        results.append({"seconds": perf_counter() - start, "encoded": encode.encoded - before})
    return results


def is_installed(peer: str) -> bool:
    """Whether the package of a peer is there."""
    return find_spec(PACKAGES[peer]) is not None
