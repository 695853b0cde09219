"""What every reason of a reject means."""

from collections.abc import Mapping
from types import MappingProxyType

from transforms.logic.schemas import Reason

REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.UNREADABLE_FILE: "the file, or the rest of it, cannot be read: damaged, cut off, or not what its name says",
        Reason.MISSING_COLUMN: "a record, or a whole table, lacks a column that an option names",
        Reason.MALFORMED_RECORD: "a line, row or record is not what its format asks for",
        Reason.BAD_ENCODING: "the bytes are no text: not UTF-8, and with `--decoding detect` of no other encoding that is sure",
        Reason.MISSING_ID: "the column of the id has no value; `--id-from place` takes the place for it",
        Reason.WRONG_TYPE: "a value, or the record itself, is of a type that its role does not allow",
        Reason.EMPTY_TEXT: "the text is null, or nothing visible",
        Reason.TOO_LARGE: "larger than `--max-document-bytes`, `--max-record-bytes` or a limit of Milvus allows",
        Reason.UNKNOWN_FORMAT: "neither name nor content tells a format; `--format` forces one",
        Reason.CHANGED_FILE: "the file is not the version any more that the run planned to read",
        Reason.DECOMPRESSION_BOMB: "the file unpacks to more than `--max-decompressed-bytes` or `--max-compression-ratio` allows",
        Reason.UNKNOWN_TOKENS: "the model's vocabulary lacks more than `--max-unknown-fraction`, with `--on-unknown reject`",
        Reason.DUPLICATE_ID: "another document has the id, and comes first by source and position",
        Reason.BAD_VECTOR: "the model fails on the chunk, or gives a vector that is not finite or not of unit length",
        Reason.REFUSED_ROW: "Milvus does not take the row; what was held under its id is deleted, and the next run tries it again",
    }
)
