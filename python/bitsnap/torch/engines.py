"""How a Checkpointer saves: at once, in the background, or by the agent."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch.distributed as dist

from bitsnap import InvalidArgument, SaveReport, Snapshot, Store
from bitsnap._native import AgentMemory, PlacedTensors, Saver, SaveTicket
from bitsnap.command import EXECUTABLE


ENGINES = ("thread", "agent", "sync")
ON_BUSY = ("wait", "skip", "error")


class PendingSave:
    """A save that was handed over; durable once `wait()` has returned."""

    def __init__(self, ticket: SaveTicket | _Finished) -> None:
        self._ticket = ticket
        self._blocked_seconds = ticket.blocked_seconds
        self._is_told = False  # that pruning failed

    def count_from(self, called: float) -> None:
        """Counts all of a call of save() that began at `called` and returns now."""
        self._blocked_seconds = time.perf_counter() - called

    @property
    def step(self) -> int:
        return self._ticket.step

    @property
    def skipped(self) -> bool:
        """Whether it was left out because earlier saves were not finished (on_busy="skip")."""
        return self._ticket.skipped

    @property
    def blocked_seconds(self) -> float:
        """How long the training was held up: all that save() took."""
        return self._blocked_seconds

    @property
    def waited_seconds(self) -> float:
        """The part of `blocked_seconds` that was waiting for earlier saves to free memory."""
        return self._ticket.waited_seconds

    @property
    def seconds_until_durable(self) -> float | None:
        """From the call of save(); None until then."""
        seconds = self._ticket.seconds_until_durable
        # The engine counts from when it was called.
        before = self._blocked_seconds - self._ticket.blocked_seconds
        return None if seconds is None else before + seconds

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes coded and in all; (0, 0) while the save is queued."""
        return self._ticket.progress

    def done(self) -> bool:
        """Whether `result()` would return at once."""
        return self._ticket.finished

    def result(self) -> SaveReport | None:
        """Waits, and returns what was saved: None if it was skipped. Raises why saving failed.

        Pruning that failed afterwards is a warning. Ctrl-C ends the waiting; the save goes on.
        """
        if self.skipped:
            return None
        report = self._ticket.wait()
        if (message := self._take_warning(report)) is not None:
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return report

    def take_warning(self) -> str | None:
        """Why pruning failed, unless that was told; None, too, while it is not durable."""
        if self.seconds_until_durable is None:
            return None
        return self._take_warning(self._ticket.wait())

    def _take_warning(self, report: SaveReport) -> str | None:
        if report.prune_error is None or self._is_told:
            return None
        self._is_told = True
        return f"bitsnap saved step {self.step} but could not prune: {report.prune_error}"

    def wait(self) -> None:
        """Waits until it is durable. Raises why saving failed."""
        self.result()

    def __getattr__(self, name: str) -> Any:
        """The report's fields, for those who wait anyway: `ckpt.save(…).ratio` waits for it."""
        if name not in SaveReport.__dataclass_fields__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.result(), name)

    def __repr__(self) -> str:
        state = "skipped" if self.skipped else "finished" if self.done() else "pending"
        return f"<PendingSave of step {self.step}: {state}>"


class Engine(Protocol):
    last_durable_step: int | None

    # What survives this process: the state handed over last, and bytes held for other ranks. None
    # without an agent, and once the engine is closed.
    agent_memory: AgentMemory | None

    # Brings in memory for the copy of a state, in the background.
    def prepare(self, bytes: int) -> None: ...
    def save(self, tensors: PlacedTensors, step: int, **options: Any) -> PendingSave: ...
    def wait(self) -> None: ...
    # Waits for all saves, for good; leave() leaves what survives this process, close() drops it.
    def leave(self) -> None: ...
    def close(self) -> None: ...


class _Finished:
    """What SaveTicket is for a save in the background, of one that is over."""

    skipped = False
    finished = True
    waited_seconds = 0.0

    def __init__(self, report: SaveReport, seconds: float) -> None:
        self.step = report.step
        self.blocked_seconds = self.seconds_until_durable = seconds
        self.progress = (report.raw_bytes, report.raw_bytes)
        self._report = report

    def wait(self) -> SaveReport:
        return self._report


def newest_in_memory(engine: Engine) -> Snapshot | None:
    """The newest state that the agent has of this rank; None where there is none."""
    return None if engine.agent_memory is None else engine.agent_memory.newest()


def held_in_memory(engine: Engine) -> list[str]:
    """The keys of what the agent holds for all ranks."""
    return [] if engine.agent_memory is None else engine.agent_memory.held()


class SyncEngine:
    """Returns from save() when all is safely on disk. Needs no memory for copies."""

    agent_memory = None

    def __init__(self, store: Store) -> None:
        self.last_durable_step: int | None = None
        self._store = store

    def prepare(self, bytes: int) -> None:
        pass

    def save(self, tensors: PlacedTensors, step: int, **options: Any) -> PendingSave:
        started = time.perf_counter()
        report = self._store.save(tensors, step, **options)
        self.last_durable_step = step
        return PendingSave(_Finished(report, time.perf_counter() - started))

    def wait(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def close(self) -> None:
        pass


class ThreadEngine:
    """Returns from save() when the tensors are copied; the copies are saved in the background."""

    agent_memory = None

    def __init__(self, store: Store, max_memory: int | None, on_busy: str) -> None:
        self._saver = Saver(store, max_memory or 0, on_busy)
        _leave_at_the_end(self, self._saver)

    @property
    def last_durable_step(self) -> int | None:
        return self._saver.last_durable_step

    def prepare(self, bytes: int) -> None:
        self._saver.prepare(bytes)

    def save(self, tensors: PlacedTensors, step: int, **options: Any) -> PendingSave:
        return PendingSave(self._saver.save(tensors, step, **options))

    def wait(self) -> None:
        self._saver.wait()

    def leave(self) -> None:
        self._saver.leave()

    def close(self) -> None:
        self._saver.close()


class AgentEngine:
    """As ThreadEngine, but memory and saving are another process's, which outlives this one.

    It is started, or found, when first needed: only then it is known which rank this is.
    """

    def __init__(self, store: Store, max_memory: int | None, on_busy: str, linger: int) -> None:
        self._store = store
        self._max_memory = max_memory or 0
        self._on_busy = on_busy
        self._linger = linger
        self._saver: Saver | None = None
        self._is_closed = False

    @property
    def last_durable_step(self) -> int | None:
        return None if self._saver is None else self._saver.last_durable_step

    def prepare(self, bytes: int) -> None:
        with self._started() as saver:
            saver.prepare(bytes)

    def save(self, tensors: PlacedTensors, step: int, **options: Any) -> PendingSave:
        with self._started() as saver:
            return PendingSave(saver.save(tensors, step, **options))

    def wait(self) -> None:
        with self._started() as saver:
            saver.wait()

    @property
    def agent_memory(self) -> AgentMemory | None:
        if self._is_closed:
            return None
        with self._started() as saver:
            return saver.agent_memory

    def leave(self) -> None:
        self._end(Saver.leave)

    def close(self) -> None:
        self._end(Saver.close)

    def _end(self, how: Callable[[Saver], None]) -> None:
        if self._saver is not None:
            with self._started() as saver:
                how(saver)
        self._is_closed = True

    @contextlib.contextmanager
    def _started(self) -> Iterator[Saver]:
        """The Saver; what it made up for meanwhile becomes warnings."""
        if self._saver is None:
            if self._is_closed:
                raise InvalidArgument("this Checkpointer is closed; make another")
            rank, world_size = _rank_and_world_size()
            self._saver = Saver(
                self._store,
                self._max_memory,
                self._on_busy,
                agent=EXECUTABLE,
                agent_linger=self._linger,
                rank=rank,
                world_size=world_size,
            )
            _leave_at_the_end(self, self._saver)
        try:
            yield self._saver
        finally:
            for warning in self._saver.take_warnings():
                warnings.warn(f"bitsnap: {warning}", RuntimeWarning, stacklevel=5)


def _rank_and_world_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _leave_at_the_end(engine: Engine, saver: Saver) -> None:
    """When the engine goes or the interpreter exits, however it comes to that."""
    weakref.finalize(engine, _leave, saver, os.getpid())


def _leave(saver: Saver, process: int) -> None:
    if os.getpid() == process:  # not in a child of fork(), which has nothing to finish
        saver.leave()


def start_engine(
    name: str, store: Store, max_memory: int | None, on_busy: str, linger: int
) -> Engine:
    """Requires: `name` is one of ENGINES, `on_busy` of ON_BUSY; `max_memory` is in bytes, `linger`
    in seconds."""
    if name == "thread":
        return ThreadEngine(store, max_memory, on_busy)
    if name == "agent":
        return AgentEngine(store, max_memory, on_busy, linger)
    return SyncEngine(store)
