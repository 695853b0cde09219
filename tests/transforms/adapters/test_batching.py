"""The batching encoder against an engine that fails in every way that devices and models do."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import outputs_of
from transforms.adapters.batching import BatchingEncoder
from transforms.adapters.encoders import Computation, Encoded, TokenIds
from transforms.logic.errors import ConfigurationError, TransientError
from transforms.logic.outputs import OUTPUTS, Output, Outputs

DIMENSIONS = 8
GPU_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."


@dataclass
class FakeEngine:
    """Outputs of a text depend on it alone; what goes wrong with a pass is up to `fault`, called when its outputs are waited for.

    Attributes:
        capacity_tokens: what its memory holds of all passes under way together.
        fault: may raise for the texts of a pass, or spoil their outputs.
    """

    frame_tokens: int = 2
    budget_tokens: int = 64
    in_flight: int = 1
    by_length: bool = False
    capacity_tokens: float = float("inf")
    fault: Callable[[Sequence[str], Outputs], None] = lambda texts, outputs: None
    memory_error: Exception = field(default_factory=lambda: torch.OutOfMemoryError(GPU_MEMORY))
    outputs: tuple[Output, ...] = OUTPUTS
    passes: list[list[str]] = field(default_factory=list)
    most_under_way: int = 0
    _under_way: list[int] = field(default_factory=list)

    def tokens(self, token_ids: Sequence[TokenIds]) -> int:
        lengths = [len(ids) + self.frame_tokens for ids in token_ids]
        return max(lengths) * len(lengths) if self.by_length else sum(lengths)

    def submit(self, texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        assert len(texts) == len(token_ids) > 0
        # The ids came with their text.
        assert [int(ids[0]) for ids in token_ids if len(ids)] == [
            len(text) for text, ids in zip(texts, token_ids, strict=True) if len(ids)
        ]
        tokens = self.tokens(token_ids)
        assert tokens <= self.budget_tokens or len(texts) == 1
        self.passes.append(list(texts))
        if sum(self._under_way) + tokens > self.capacity_tokens:
            raise self.memory_error
        self._under_way.append(tokens)
        self.most_under_way = max(self.most_under_way, len(self._under_way))
        assert len(self._under_way) <= self.in_flight

        def wait() -> Outputs:
            self._under_way.remove(tokens)
            made = outputs_of(texts, DIMENSIONS, self.outputs)
            self.fault(texts, made)
            return made

        return wait


def ids_of(texts: Sequence[str], lengths: Sequence[int] | None = None) -> list[TokenIds]:
    """As many ids as asked for, the first of which names the text."""
    sizes = [1] * len(texts) if lengths is None else lengths
    return [np.array([len(text)] * size, np.int32) for text, size in zip(texts, sizes, strict=True)]


def open_over(engine: FakeEngine, **settings: object) -> BatchingEncoder:
    def make(computation: Computation) -> FakeEngine:
        assert computation == Computation("float32", outputs=OUTPUTS), "another engine than the one the test made"
        return engine

    return BatchingEncoder(make, Computation("float32", outputs=OUTPUTS), **settings)  # type: ignore[arg-type]


def assert_exact(encoded: Encoded, texts: Sequence[str], outputs: tuple[Output, ...] = OUTPUTS) -> None:
    """Every chunk has exactly its own outputs, unless it has a fault."""
    assert len(encoded.outputs) == len(texts)
    live = [index for index in range(len(texts)) if index not in encoded.faults]
    if live:
        assert_same(encoded.outputs.take(live), outputs_of([texts[index] for index in live], DIMENSIONS, outputs))


def assert_same(found: Outputs, expected: Outputs) -> None:
    for one, other in zip(arrays_of(found), arrays_of(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def arrays_of(outputs: Outputs) -> list[np.ndarray]:
    arrays: list[np.ndarray] = [] if outputs.dense is None else [outputs.dense]
    if outputs.sparse is not None:
        arrays += [outputs.sparse.offsets, outputs.sparse.indices, outputs.sparse.values]
    if outputs.multi is not None:
        arrays += [outputs.multi.offsets, outputs.multi.vectors]
    return arrays


TEXTS = [f"text {'x' * (number % 13)} {number}" for number in range(256)]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    lengths=st.lists(st.integers(0, 90), max_size=40),
    budget=st.integers(1, 120),
    in_flight=st.integers(1, 4),
    by_length=st.booleans(),
    frame=st.integers(0, 5),
)
def test_outputs_equal_a_plain_loop_in_any_batches(
    lengths: list[int], budget: int, in_flight: int, by_length: bool, frame: int
) -> None:
    engine = FakeEngine(frame, budget, in_flight, by_length)
    texts = TEXTS[: len(lengths)]

    encoded = open_over(engine).encode(texts, ids_of(texts, lengths))

    assert (encoded.faults, encoded.budget_reductions) == ({}, 0)
    assert_exact(encoded, texts)
    assert sorted(text for texts in engine.passes for text in texts) == sorted(texts)
    assert engine.most_under_way == min(in_flight, len(engine.passes))
    if not by_length:
        assert [text for texts in engine.passes for text in texts] == texts


def test_chunks_of_like_length_go_together_where_the_engine_pads() -> None:
    engine = FakeEngine(frame_tokens=0, budget_tokens=20, by_length=True)
    texts, lengths = ["a", "bb", "ccc", "dddd", "eeeee"], [1, 10, 2, 9, 50]

    assert_exact(open_over(engine).encode(texts, ids_of(texts, lengths)), texts)

    assert engine.passes == [["eeeee"], ["bb", "dddd"], ["ccc", "a"]]


@pytest.mark.parametrize(("in_flight", "by_length"), [(1, False), (1, True), (3, False)])
def test_memory_that_is_short_at_any_batch_size_costs_no_chunk(in_flight: int, by_length: bool) -> None:
    texts = [f"w{number}" for number in range(256)]
    for fitting in range(1, 257):
        engine = FakeEngine(0, 256, in_flight, by_length, capacity_tokens=fitting, outputs=("dense",))
        encoder = open_over(engine)

        encoded = encoder.encode(texts, ids_of(texts))

        assert encoded.faults == {}
        assert_exact(encoded, texts, ("dense",))
        assert encoded.budget_reductions == (fitting < 256) * int(np.ceil(np.log2(256 / fitting)))
        # The budget is remembered: nothing has to be divided again, where each pass has the memory for itself.
        if in_flight == 1:
            before = len(engine.passes)
            again = encoder.encode(texts, ids_of(texts))
            assert again.budget_reductions == 0
            assert {len(texts) for texts in engine.passes[before:]} == {256 >> encoded.budget_reductions}


def shortage_of_torch() -> Exception:
    """What the CPU's allocator really raises: it is known by its wording alone."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert type(raised.value) is RuntimeError
    return raised.value


def shortage_of_numpy() -> Exception:
    with pytest.raises(MemoryError) as raised:
        np.empty(1 << 50, np.uint8)
    return raised.value


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(GPU_MEMORY), shortage_of_torch(), shortage_of_numpy()],
    ids=["gpu", "torch", "numpy"],
)
@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_chunk_that_alone_does_not_fit_is_a_fault_and_its_neighbours_live(error: Exception, in_flight: int) -> None:
    texts, lengths = TEXTS[:20], [5] * 20
    lengths[7] = 40
    engine = FakeEngine(0, 60, in_flight, capacity_tokens=30, memory_error=error)

    encoded = open_over(engine).encode(texts, ids_of(texts, lengths))

    assert encoded.faults.keys() == {7}
    assert "does not fit into memory" in encoded.faults[7]
    assert_exact(encoded, texts)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(poison=st.integers(0, 999), budget=st.integers(3, 3000), in_flight=st.integers(1, 3), by_length=st.booleans())
@pytest.mark.parametrize(
    "error", [IndexError("index out of range in self"), ValueError("bad"), RuntimeError("expected")]
)
def test_one_poison_in_a_thousand_at_any_place_is_found(
    error: Exception, poison: int, budget: int, in_flight: int, by_length: bool
) -> None:
    texts = [f"word{number}" for number in range(1000)]

    def fault(asked: Sequence[str], outputs: Outputs) -> None:
        if texts[poison] in asked:
            raise error

    engine = FakeEngine(0, budget, in_flight, by_length, fault=fault, outputs=("dense",))
    encoded = open_over(engine).encode(texts, ids_of(texts))

    assert encoded.faults == {poison: f"a pass over this chunk alone fails: {type(error).__name__}: {error}"}
    assert_exact(encoded, texts, ("dense",))
    # Halving: of the batch that held it, two passes at each of its halvings.
    assert sum(texts[poison] in asked for asked in engine.passes) <= 2 + np.log2(min(budget, 1000))


def spoil(outputs: Outputs, index: int, kind: str) -> None:
    """Makes one output of a chunk unusable; each chunk of these tests has a weight and a vector at least."""
    assert outputs.dense is not None
    assert outputs.sparse is not None
    assert outputs.multi is not None
    where, value = kind.split()
    number = float(value)
    if where == "dense":
        outputs.dense[index] *= np.float32(number)
    elif where == "sparse":
        outputs.sparse.values[outputs.sparse.offsets[index]] = number
    else:
        outputs.multi.vectors[outputs.multi.offsets[index + 1] - 1] *= np.float32(number)


KINDS = [f"{where} {value}" for where in ("dense", "multi") for value in ("nan", "inf", "0", "0.97", "1.03")]
KINDS += [f"sparse {value}" for value in ("nan", "inf", "0", "-1", "70000")]


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_unsound_in_mixed_batches_only_is_made_alone(kind: str) -> None:
    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        if len(texts) > 1 and TEXTS[5] in texts:
            spoil(outputs, texts.index(TEXTS[5]), kind)

    engine = FakeEngine(fault=fault)
    encoded = open_over(engine).encode(TEXTS[:30], ids_of(TEXTS[:30]))

    assert encoded.faults == {}
    assert_exact(encoded, TEXTS[:30])
    assert engine.passes[-1] == [TEXTS[5]]


class Precision:
    """Engines by number type: what only float32 cures, and what nothing does."""

    def __init__(self, hopeless: Sequence[str] = (), cured: Sequence[str] = (), fails: Exception | None = None) -> None:
        self.made: list[str] = []
        self.engines: list[FakeEngine] = []
        self._hopeless, self._cured, self._fails = hopeless, cured, fails

    def __call__(self, computation: Computation) -> FakeEngine:
        self.made.append(computation.dtype)
        assert (computation.device, computation.outputs) == ("cuda:1", OUTPUTS)
        if computation.dtype == "float32" and self._fails is not None:
            raise self._fails
        spoilt = {*self._hopeless, *(self._cured if computation.dtype != "float32" else ())}

        def fault(texts: Sequence[str], outputs: Outputs) -> None:
            for index in [index for index, text in enumerate(texts) if text in spoilt]:
                spoil(outputs, index, "dense nan")

        self.engines.append(FakeEngine(fault=fault))
        return self.engines[-1]

    def encoder(self) -> BatchingEncoder:
        return BatchingEncoder(self, Computation("float16", "cuda:1", OUTPUTS))


def test_what_only_float32_cures_is_cured_and_the_rest_is_a_fault() -> None:
    engines = Precision(hopeless=[TEXTS[3]], cured=[TEXTS[9], TEXTS[10]])
    encoder = engines.encoder()
    assert engines.made == ["float16"]

    for _ in range(2):
        encoded = encoder.encode(TEXTS[:20], ids_of(TEXTS[:20]))
        assert encoded.faults == {3: "the dense vector is not finite or not of unit length"}
        assert_exact(encoded, TEXTS[:20])

    assert engines.made == ["float16", "float32"]
    assert engines.engines[1].passes == [[TEXTS[3]], [TEXTS[9]], [TEXTS[10]]] * 2


def test_float32_is_not_loaded_without_need() -> None:
    engines = Precision()
    assert_exact(engines.encoder().encode(TEXTS, ids_of(TEXTS)), TEXTS)
    assert engines.made == ["float16"]


def test_where_float32_does_not_fit_the_chunk_is_a_fault_and_it_is_not_tried_again() -> None:
    engines = Precision(cured=[TEXTS[2]], fails=torch.OutOfMemoryError(GPU_MEMORY))
    encoder = engines.encoder()
    for _ in range(2):
        encoded = encoder.encode(TEXTS[:4], ids_of(TEXTS[:4]))
        assert encoded.faults.keys() == {2}
        assert_exact(encoded, TEXTS[:4])
    assert engines.made == ["float16", "float32"]


LOSSES = [
    RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("GPU device lost"),
    torch.AcceleratorError("the device is in an odd state"),
]


@pytest.mark.parametrize("error", LOSSES)
def test_a_lost_device_ends_every_call_at_once(error: Exception) -> None:
    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        raise error

    engine = FakeEngine(in_flight=2, fault=fault)
    encoder = open_over(engine)
    with pytest.raises(TransientError, match="device 'auto' is lost") as raised:
        encoder.encode(TEXTS, ids_of(TEXTS))
    assert str(error).split("\n")[0] in str(raised.value)
    before = len(engine.passes)
    assert before == 2
    with pytest.raises(TransientError, match="device 'auto' is lost"):
        encoder.encode(TEXTS, ids_of(TEXTS))
    assert len(engine.passes) == before


@contextmanager
def hanging(engine: FakeEngine, *, at_submit: bool) -> Iterator[None]:
    """A device that answers nothing until the test is over."""
    over = Event()
    submit = engine.submit

    def hang(texts: Sequence[str], outputs: Outputs) -> None:
        over.wait()

    def submit_late(texts: Sequence[str], token_ids: Sequence[TokenIds]) -> Callable[[], Outputs]:
        over.wait()
        return submit(texts, token_ids)

    if at_submit:
        engine.submit = submit_late  # type: ignore[method-assign]
    else:
        engine.fault = hang
    try:
        yield
    finally:
        over.set()


@pytest.mark.parametrize("at_submit", [True, False])
def test_a_device_that_does_not_answer_is_given_up(at_submit: bool) -> None:
    engine = FakeEngine()
    with hanging(engine, at_submit=at_submit):
        encoder = open_over(engine, patience_seconds=0.05)
        with pytest.raises(TransientError, match=r"device 'auto' has not answered for 0\.05 seconds"):
            encoder.encode(TEXTS, ids_of(TEXTS))
        with pytest.raises(TransientError, match="has not answered"):
            encoder.encode(TEXTS[:1], ids_of(TEXTS[:1]))


def test_a_cpu_is_waited_for() -> None:
    def slow(texts: Sequence[str], outputs: Outputs) -> None:
        time.sleep(0.05)

    engine = FakeEngine(fault=slow)
    encoder = BatchingEncoder(lambda _: engine, Computation("float32", "cpu", OUTPUTS), patience_seconds=0.001)
    assert_exact(encoder.encode(TEXTS[:2], ids_of(TEXTS[:2])), TEXTS[:2])


def test_errors_of_the_configuration_and_of_the_code_are_not_blamed_on_chunks() -> None:
    def refuse(computation: Computation) -> FakeEngine:
        raise ConfigurationError("--device 'cuda' needs a GPU")

    with pytest.raises(ConfigurationError, match="needs a GPU"):
        BatchingEncoder(refuse, Computation())

    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        open_over(FakeEngine(fault=fault)).encode(TEXTS, ids_of(TEXTS))


@pytest.mark.parametrize("names", [("dense",), ("sparse",), ("multi",), OUTPUTS])
def test_where_every_chunk_has_a_fault_there_is_a_row_for_each(names: tuple[Output, ...]) -> None:
    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        raise IndexError("none")

    engine = FakeEngine(fault=fault, outputs=names)
    encoder = BatchingEncoder(lambda _: engine, Computation(outputs=names))
    encoded = encoder.encode(TEXTS[:9], ids_of(TEXTS[:9]))
    assert encoded.faults.keys() == set(range(9))
    assert len(encoded.outputs) == 9
    assert [encoded.outputs.dense is None, encoded.outputs.sparse is None, encoded.outputs.multi is None] == [
        name not in names for name in OUTPUTS
    ]
    assert len(encoder.encode([], []).outputs) == 0


def test_a_model_that_never_gave_anything_sound_is_refused_but_not_one_that_did() -> None:
    hopeless = [True]

    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        if hopeless[0]:
            raise NotImplementedError("not implemented for 'Half'")

    encoder = open_over(FakeEngine(fault=fault))
    assert len(encoder.encode(TEXTS[:31], ids_of(TEXTS[:31])).faults) == 31
    with pytest.raises(
        ConfigurationError, match=r"none of the first 32 chunks .* not implemented for 'Half'; try another --dtype"
    ):
        encoder.encode(TEXTS[:1], ids_of(TEXTS[:1]))
    hopeless[0] = False
    assert_exact(encoder.encode(TEXTS, ids_of(TEXTS)), TEXTS)
    hopeless[0] = True
    assert len(encoder.encode(TEXTS, ids_of(TEXTS)).faults) == 256


def test_a_failed_pass_holds_no_memory_while_the_next_one_runs() -> None:
    class Tensor:
        """Stands for the memory of a pass."""

    held: list[weakref.ref[Tensor]] = []
    free: list[bool] = []

    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        free.extend(one() is None for one in held)
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(texts) > 1:
            raise torch.OutOfMemoryError(GPU_MEMORY)

    encoder = open_over(FakeEngine(fault=fault))
    gc.collect()
    gc.disable()
    try:
        encoder.encode(TEXTS[:8], ids_of(TEXTS[:8]))
    finally:
        gc.enable()
    assert len(held) == 11  # 8, 4 and 2 chunks do not fit, after which each goes alone
    assert all(free)


def test_threads_share_an_encoder() -> None:
    engine = FakeEngine(in_flight=2)
    encoder = open_over(engine)
    parts = [TEXTS[start : start + 64] for start in range(0, 256, 64)]
    found: dict[int, Encoded] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = encoder.encode(parts[number], ids_of(parts[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, part in enumerate(parts):
        assert_exact(found[number], part)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_what_passes_computed_is_counted_with_frames_and_padding(lengths: list[int], by_length: bool) -> None:
    texts = ["x" * (number + 1) for number in range(len(lengths))]
    engine = FakeEngine(by_length=by_length)
    encoded = open_over(engine).encode(texts, ids_of(texts, lengths))
    size = dict(zip(texts, lengths, strict=True))
    computed = sum(engine.tokens(ids_of(one, [size[text] for text in one])) for one in engine.passes)
    framed = sum(length + engine.frame_tokens for length in lengths)
    assert encoded.computed_tokens == computed
    assert encoded.padding_tokens == computed - framed
    assert encoded.padding_tokens >= 0
    assert by_length or encoded.padding_tokens == 0
    assert encoded.device_seconds > 0


def test_a_pass_that_fails_is_not_counted() -> None:
    def fault(texts: Sequence[str], outputs: Outputs) -> None:
        if "poison" in texts:
            raise RuntimeError("bad")

    texts = ["one text", "poison", "other text!"]
    encoded = open_over(FakeEngine(fault=fault)).encode(texts, ids_of(texts))
    assert list(encoded.faults) == [1]
    assert (encoded.computed_tokens, encoded.padding_tokens) == (2 * 3, 0)
