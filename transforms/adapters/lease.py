"""A lease on a collection's ledger: of all runs on one collection one at a time may write.

    <directory>/<epoch>.json     who holds the lease, how often it was renewed, whether it was released

An epoch is taken by exclusive creation; from then on its holder alone writes the file: a counter that a thread advances every
`renew_seconds`, and at the end that the lease is released. Who finds a lease held watches the counter by a monotonic clock of its own: if
it stands still for `patience_seconds`, the holder counts as dead and the next epoch is taken. No clock of another machine is ever read.
Where holder and watcher are processes of one user under one kernel, the kernel tells at once whether the holder lives.

A holder that counts as dead may live on, behind a network that was cut or on a machine that slept. So a lease only keeps two runs from
working for nothing; a holder must `check` its claim before it writes what cannot be taken back, and the ledger's own exclusive creation
decides at last. The idea of epochs is that of fencing tokens (Kleppmann, "How to do distributed locking", 2016).
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from transforms.adapters.crashpoints import durable
from transforms.adapters.storage import join, list_names, read_bytes, remove, write_bytes
from transforms.logic.errors import CorruptDataError, TransientError

FORMAT = 1
OnBusy = Literal["refuse", "wait"]
# Of the same process no two leases are alike.
_serials = count()


@dataclass(frozen=True)
class Timing:
    """How a lease is kept and watched; the patience must hold many renewals, and the time that a store's own retries take."""

    renew_seconds: float = 5
    patience_seconds: float = 60
    look_seconds: float = 1
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file says.

    Attributes:
        run_id: the run.
        host: name of its machine, for people.
        process_id: of the launching process.
        kernel: what must be equal for process ids to mean the same: boot, process namespace and user; empty where that is unknown.
        started_ticks: when the process started, in the kernel's ticks since boot, so that a process id used again is told apart.
        serial: tells leases of one process apart.
        renewals: the counter.
        released: whether the holder is done.
    """

    run_id: str
    host: str
    process_id: int
    kernel: str
    started_ticks: int
    serial: int
    renewals: int = 0
    released: bool = False

    def __str__(self) -> str:
        """As messages name it."""
        return f"run {self.run_id} (process {self.process_id} on {self.host})"


@dataclass(frozen=True)
class Claim:
    """An epoch that was taken. Picklable: workers check it too."""

    directory: str
    epoch: int

    def check(self) -> None:
        """Raises `TransientError` if a later epoch was taken: this run counts as dead and must leave the collection alone."""
        newest = _newest_epoch(self.directory)
        if newest > self.epoch:
            by = _read(self.directory, newest)
            message = (
                f"{by or 'another run'} took over the lease {self.directory}, because this run did not renew it in time; "
                "nothing more is written; run again to bring the collection to this run's state"
            )
            raise TransientError(message)


@contextmanager
def leased(
    directory: str,
    run_id: str,
    on_busy: OnBusy = "refuse",
    say: Callable[[str], object] = lambda _: None,
    timing: Timing | None = None,
) -> Iterator[Claim]:
    """Holds the lease of a directory for the length of a block, renewed by a thread; `say` hears what is waited for.

    Raises:
        TransientError: another run holds it and `on_busy` is `refuse`, or the store failed beyond the retries at the call.
        CorruptDataError: the lease was written by another version.
    """
    chosen = timing or Timing()
    holder = _this_process(run_id)
    claim = _acquire(directory, holder, on_busy, say, chosen)
    done = threading.Event()
    renewals = threading.Thread(target=_renew, args=(claim, holder, done, chosen.renew_seconds), daemon=True)
    renewals.start()
    try:
        yield claim
    finally:
        done.set()
        renewals.join()
        # Who cannot read that it was released sees no life.
        with suppress(TransientError, OSError):
            _write(claim, replace(holder, released=True))


class _Watch:
    """What a watcher thinks of the holder of a lease."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._seen: tuple[int, Holder] | None = None
        self._since = timing.now()

    def look(self, epoch: int, holder: Holder) -> Literal["free", "alive", "unknown"]:
        """To be asked again and again; `unknown` becomes one of the others with time."""
        seen, self._seen = self._seen, (epoch, holder)
        if seen != self._seen:
            self._since = self._timing.now()
        alive = _is_alive(holder)
        if holder.released or alive is False:
            return "free"
        if alive or seen not in {None, self._seen}:
            return "alive"
        return "free" if self._timing.now() - self._since >= self._timing.patience_seconds else "unknown"


def _acquire(directory: str, holder: Holder, on_busy: OnBusy, say: Callable[[str], object], timing: Timing) -> Claim:
    watch, told = _Watch(timing), ""
    while True:
        epoch = _newest_epoch(directory)
        other = _read(directory, epoch) if epoch else None
        # An epoch that is listed and gone was followed by a newer one meanwhile.
        state = ("unknown" if epoch else "free") if other is None else watch.look(epoch, other)
        if state == "free":
            claim = Claim(directory, epoch + 1)
            if _create(claim, holder):
                return claim
            continue
        if state == "alive" and on_busy == "refuse":
            message = f"{other} is writing to this collection; run again when it is done, or let this run wait: --on-busy wait"
            raise TransientError(message)
        if other is not None and told != str(other):
            told = str(other)
            say(f"waiting until {other} is done, or shows no life for {timing.patience_seconds:g} seconds\n")
        timing.sleep(timing.look_seconds)


def _renew(claim: Claim, holder: Holder, done: threading.Event, renew_seconds: float) -> None:
    for renewals in count(1):
        if done.wait(renew_seconds):
            return
        # The next may succeed; if none does, others see no life, and the claim's own check stops this run.
        with suppress(TransientError, OSError):
            _write(claim, replace(holder, renewals=renewals))


def _create(claim: Claim, holder: Holder) -> bool:
    """Takes an epoch unless another has; older ones go, as only the newest counts."""
    uri = _uri(claim.directory, claim.epoch)
    try:
        with durable("lease"):
            write_bytes(uri, _bytes(holder), exclusive=True)
    except FileExistsError:
        # A store that lost its answer and was asked again refuses what it did itself.
        if _read(claim.directory, claim.epoch) != holder:
            return False
    # Who was slow may take an epoch that was taken, followed and removed before.
    if _newest_epoch(claim.directory) != claim.epoch:
        return False
    for epoch in _epochs(claim.directory):
        if epoch < claim.epoch:
            remove(_uri(claim.directory, epoch))
    return True


def _write(claim: Claim, holder: Holder) -> None:
    write_bytes(_uri(claim.directory, claim.epoch), _bytes(holder))


def _read(directory: str, epoch: int) -> Holder | None:
    """The holder of an epoch; None if its file is gone."""
    uri = _uri(directory, epoch)
    try:
        values: Any = json.loads(read_bytes(uri))
        version = values.pop("format")
        if version == FORMAT:
            return Holder(**values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{uri} is no lease: {error!r}; if no run is under way, remove it"
        raise CorruptDataError(message) from error
    message = f"{uri} has format {version!r}, this version reads {FORMAT}; use the corpus-embed that wrote it"
    raise CorruptDataError(message)


def _bytes(holder: Holder) -> bytes:
    return json.dumps({"format": FORMAT, **asdict(holder)}, indent=2).encode() + b"\n"


def _epochs(directory: str) -> list[int]:
    names = [name.removesuffix(".json") for name in list_names(directory) if name.endswith(".json")]
    return sorted(int(name) for name in names if name.isdecimal())


def _newest_epoch(directory: str) -> int:
    return max(_epochs(directory), default=0)


def _uri(directory: str, epoch: int) -> str:
    return join(directory, f"{epoch:08d}.json")


def _this_process(run_id: str) -> Holder:
    process_id = os.getpid()
    ticks = _started_ticks(process_id)
    return Holder(
        run_id, platform.node(), process_id, "" if ticks is None else _kernel(), ticks or 0, serial=next(_serials)
    )


def _is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process lives; None if this process cannot know."""
    if not holder.kernel or holder.kernel != _kernel():
        return None
    return _started_ticks(holder.process_id) == holder.started_ticks


def _kernel() -> str:
    """What two processes must share so that one sees the other in /proc; empty where there is no such thing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {os.getuid()}"
    except OSError:
        return ""


def _started_ticks(process_id: int) -> int | None:
    """When a process started (proc(5), /proc/pid/stat, field 22); None if there is none, or a dead one that nobody asked after."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_bytes()
    except OSError:
        return None
    # The second field is a name in parentheses, which may hold anything.
    state, *fields = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else int(fields[18])
