"""Events: what happened, told to whoever reads logs, in a form that people and programs can read.

A worker's log reaches the operator through its runner, which hands on the message alone. So the message says all; where the program's own
handler writes (`pipelines.watching.logs`) the same values also stand as fields.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

from transforms.logic.record import EXIT_COMPLETE, EXIT_REJECTS
from transforms.logic.record_event import event_of

FieldValue: TypeAlias = str | int | float | bool | None
FIELDS = "corpus_embed_fields"
EVENT = "corpus_embed_event"
"""Attributes of the log record of an event."""


def report(logger: logging.Logger, severity: int, event: str, **fields: FieldValue) -> None:
    """Logs one event.

    Args:
        logger: of the module that reports.
        severity: one of `logging`.
        event: what happened, in a few words that never change, so that alerts may ask for them.
        fields: values by name, with the unit in the names of bare numbers; never text of a document, never a secret.
    """
    if logger.isEnabledFor(severity):
        values = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
        logger.log(severity, "%s", f"{event} {values}".rstrip(), extra={EVENT: event, FIELDS: fields}, stacklevel=2)


def report_run(logger: logging.Logger, event: str, record: Mapping[str, Any], collection: str) -> None:
    """Logs what became of a run on a collection: an error where its exit code is neither of the good ones."""
    good = record["exit_code"] in {EXIT_COMPLETE, EXIT_REJECTS}
    report(logger, logging.INFO if good else logging.ERROR, event, **event_of(record, collection))
