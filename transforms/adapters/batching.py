"""Chunks in batches through an engine, and what happens when a pass fails.

    no memory                     the batch is divided and the budget stays lowered; a chunk that alone does not fit is a fault
    another error of the pass     the batch is halved until the chunk that fails alone is found: it is a fault, the others live
    an output that is unsound     the chunk goes alone, then alone in float32, then it is a fault
    a device lost or silent       `TransientError`, now and for every later call: only a new process gets the device back
    no chunk was ever sound       `ConfigurationError`: the model is at fault, and rejecting a corpus chunk by chunk helps nobody

Nothing here knows a model; of torch only its errors are known.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from time import perf_counter
from typing import Literal, NamedTuple, TypeVar

import torch

from transforms.adapters.device_thread import DeviceThread, NoAnswerError
from transforms.adapters.encoders import Computation, Encoded, Engine, TokenIds
from transforms.adapters.progress import tell
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.outputs import Outputs, concatenate_outputs, no_outputs, spread_outputs, unsound_chunks
from transforms.logic.packing import token_budget_ranges, tokens_of_pass

_PATIENCE_SECONDS = 300.0
_ROUNDS = 8
_REASON_CHARACTERS = 200
_HOPELESS_CHUNKS = 32
# In lower case. The CPU's allocator, and CUDA's libraries, raise plain errors when memory is short.
_MEMORY_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cublas_status_alloc_failed")
_LOSS_SIGNS = ("cuda error", "device-side assert", "illegal memory access", "unspecified launch failure", "device lost")

_Result = TypeVar("_Result")
_Wait = Callable[[], Outputs]
_Batch = list[int]


class BatchingEncoder:
    """An `Encoder` over an engine; safe to share between threads, of which one at a time is served."""

    def __init__(
        self,
        make_engine: Callable[[Computation], Engine],
        computation: Computation,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """Loads the model.

        Args:
            make_engine: makes the engine for a computation; asked again, for float32, when a chunk first needs it.
            computation: what the caller asked for.
            patience_seconds: how long a pass may take before its device counts as hung. A CPU that is named as device is waited for
                without end: slow it may be, hung it cannot be as long as this runs.
        """
        self._make_engine = make_engine
        self._computation = computation
        self._patience_seconds = None if computation.device == "cpu" else patience_seconds
        self._thread = DeviceThread()
        self._lock = Lock()
        self._lost: str | None = None
        self._engine = self._thread.call(partial(make_engine, computation))
        self._float32: Engine | _Failure | None = None
        self._budget_tokens = self._engine.budget_tokens
        self._reductions = 0
        # Chunks that had a fault while none was sound; None once one was.
        self._without_success: int | None = 0

    def call_tokens(self) -> int:
        """Enough for each place under way to be filled so many times that the last, half-empty round costs little."""
        return self._budget_tokens * self._engine.in_flight * _ROUNDS

    def encode(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Encoded:
        """Outputs of every chunk in order, or why it has none.

        Raises:
            TransientError: the device is lost or does not answer, now or in an earlier call.
            ConfigurationError: the first 32 chunks or more all have faults.
        """
        # A chunk without tokens still takes its place in a pass.
        chunks = _Chunks(texts, token_ids, [max(1, len(ids) + self._engine.frame_tokens) for ids in token_ids])
        results = _Results()
        with self._lock:
            if self._lost is not None:
                raise TransientError(self._lost)
            before, start = self._reductions, perf_counter()
            self._encode(chunks, results)
            device_seconds = perf_counter() - start
            reductions = self._reductions - before
            self._check_hope(results)
        return Encoded(
            results.outputs(len(texts), self._computation),
            results.faults,
            reductions,
            results.computed_tokens,
            results.padding_tokens,
            device_seconds,
        )

    def _encode(self, chunks: "_Chunks", results: "_Results") -> None:
        order = list(range(len(chunks.texts)))
        if self._engine.by_length:
            order.sort(key=lambda index: -chunks.lengths[index])
        self._run(self._engine, [order] if order else [], chunks, results)
        if results.doubts:
            self._run(self._engine, results.doubtful(), chunks, results)
        if results.doubts and self._computation.dtype != "float32":
            if self._float32 is None:
                exact = replace(self._computation, dtype="float32")
                self._float32 = self._attempt(partial(self._make_engine, exact), patience_seconds=None)
            if not isinstance(self._float32, _Failure):
                self._run(self._float32, results.doubtful(), chunks, results)
        results.faults |= results.doubts

    def _check_hope(self, results: "_Results") -> None:
        if self._without_success is None or results.parts:
            self._without_success = None
            return
        self._without_success += len(results.faults)
        if self._without_success >= _HOPELESS_CHUNKS:
            last = [*results.faults.values()][-1]
            message = (
                f"none of the first {self._without_success} chunks got sound vectors, the last because {last}; try another --dtype "
                f"than {self._computation.dtype!r}, another --device than {self._computation.device!r}, or another model"
            )
            raise ConfigurationError(message)

    def _run(self, engine: Engine, batches: Iterable[_Batch], chunks: "_Chunks", results: "_Results") -> None:
        """Passes over all batches, divided until each lies within the budget; the next is submitted before the oldest is waited for."""
        waiting = deque(batches)
        under_way: deque[_Pass] = deque()
        most = engine.in_flight
        while waiting or under_way:
            if waiting and len(under_way) < most:
                batch, *rest = self._within_budget(waiting.popleft(), chunks)
                waiting.extendleft(reversed(rest))
                has_all_memory = most == 1
                start = partial(engine.submit, *chunks.of(batch))
                outcome: _Wait | Outputs | _Failure = self._attempt(start, self._patience_seconds)
            else:
                batch, has_all_memory, wait = under_way.popleft()
                outcome = self._attempt(wait, self._patience_seconds)
            if isinstance(outcome, Outputs):
                results.add(batch, outcome)
                results.count(chunks.lengths_of(batch), padded=engine.by_length)
                tell({"tokens.passed": sum(chunks.lengths_of(batch))})
            elif not isinstance(outcome, _Failure):
                under_way.append(_Pass(batch, has_all_memory, outcome))
            elif len(batch) == 1 and (has_all_memory or outcome.kind != "memory"):
                results.faults[batch[0]] = outcome.reason
            elif outcome.kind == "memory":
                # Passes under way at once share the memory: from here on each has it for itself.
                most = 1
                waiting.appendleft(batch)
                self._lower_budget(batch, chunks)
            else:
                middle = len(batch) // 2
                waiting.extendleft((batch[middle:], batch[:middle]))

    def _within_budget(self, batch: _Batch, chunks: "_Chunks") -> list[_Batch]:
        lengths = chunks.lengths_of(batch)
        ranges = token_budget_ranges(lengths, self._budget_tokens, padded=self._engine.by_length)
        return [[batch[place] for place in one] for one in ranges]

    def _lower_budget(self, batch: _Batch, chunks: "_Chunks") -> None:
        """To half of a batch that did not fit; what a single chunk needs says nothing about batches."""
        halved = tokens_of_pass(chunks.lengths_of(batch), padded=self._engine.by_length) // 2
        if len(batch) > 1 and halved < self._budget_tokens:
            self._budget_tokens = halved
            self._reductions += 1

    def _attempt(self, function: Callable[[], _Result], patience_seconds: float | None) -> "_Result | _Failure":
        """What a call gives, or why it failed; a device that is lost ends everything."""
        try:
            return self._thread.call(function, patience_seconds)
        except NoAnswerError:
            self._lost = (
                f"device {self._computation.device!r} has not answered for {patience_seconds:g} seconds; the process has to be started "
                "again, and a CPU that is this slow named by --device cpu"
            )
        except (RuntimeError, IndexError, ValueError, MemoryError) as error:
            failure = _describe(error)
            if failure.kind != "loss":
                # The error ends with this block, and with it the tensors that its traceback holds.
                return failure
            self._lost = (
                f"device {self._computation.device!r} is lost: {failure.reason}; the process has to be started again"
            )
        raise TransientError(self._lost)


@dataclass(frozen=True)
class _Chunks:
    """Chunks to encode, and the tokens of each with its frame."""

    texts: Sequence[str]
    token_ids: Sequence[TokenIds]
    lengths: Sequence[int]

    def of(self, batch: _Batch) -> tuple[list[str], list[TokenIds]]:
        return [self.texts[index] for index in batch], [self.token_ids[index] for index in batch]

    def lengths_of(self, batch: _Batch) -> list[int]:
        return [self.lengths[index] for index in batch]


class _Pass(NamedTuple):
    """A batch under way, whether no other pass is beside it, and what waits for it."""

    batch: _Batch
    has_all_memory: bool
    wait: _Wait


@dataclass
class _Results:
    """Sound outputs with the numbers of their chunks, faults for good, doubts that may still be dispelled, and what passes computed."""

    numbers: list[int] = field(default_factory=list)
    parts: list[Outputs] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    doubts: dict[int, str] = field(default_factory=dict)
    computed_tokens: int = 0
    padding_tokens: int = 0

    def count(self, lengths: Sequence[int], *, padded: bool) -> None:
        """A pass over chunks of these lengths."""
        computed = tokens_of_pass(lengths, padded=padded)
        self.computed_tokens += computed
        self.padding_tokens += computed - sum(lengths)

    def add(self, batch: _Batch, outputs: Outputs) -> None:
        unsound = unsound_chunks(outputs)
        self.doubts.update((batch[place], reason) for place, reason in unsound.items())
        sound = [place for place in range(len(batch)) if place not in unsound]
        if sound:
            self.numbers.extend(batch[place] for place in sound)
            self.parts.append(outputs.take(sound) if unsound else outputs)

    def doubtful(self) -> list[_Batch]:
        """Takes the chunks in doubt, each a batch of its own."""
        alone = [[index] for index in sorted(self.doubts)]
        self.doubts.clear()
        return alone

    def outputs(self, count: int, computation: Computation) -> Outputs:
        made = concatenate_outputs(self.parts) if self.parts else no_outputs(computation.outputs)
        return spread_outputs(made, self.numbers, count)


@dataclass(frozen=True)
class _Failure:
    kind: Literal["memory", "loss", "error"]
    reason: str


def _describe(error: RuntimeError | IndexError | ValueError | MemoryError) -> _Failure:
    message = " ".join(str(error).split("\n", 1)[0].split())[:_REASON_CHARACTERS]
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in _MEMORY_SIGNS):
        return _Failure("memory", f"a pass over this chunk alone does not fit into memory: {message}")
    if isinstance(error, torch.AcceleratorError) or any(sign in text for sign in _LOSS_SIGNS):
        return _Failure("loss", message)
    return _Failure("error", f"a pass over this chunk alone fails: {type(error).__name__}: {message}")
