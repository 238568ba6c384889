"""How a Checkpointer saves: at once, or in the background."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from typing import Any, Protocol

from bitsnap import SaveReport, Snapshot, Store
from bitsnap._native import Saver, SaveTicket


class PendingSave:
    """A save that was handed over; durable once `wait()` has returned."""

    def __init__(self, ticket: SaveTicket | _Finished) -> None:
        self._ticket = ticket

    @property
    def step(self) -> int:
        return self._ticket.step

    @property
    def skipped(self) -> bool:
        """Whether it was left out because earlier saves were not finished (on_busy="skip")."""
        return self._ticket.skipped

    @property
    def blocked_seconds(self) -> float:
        """How long the training was held up: waiting for memory and copying."""
        return self._ticket.blocked_seconds

    @property
    def waited_seconds(self) -> float:
        """The part of `blocked_seconds` that was waiting for earlier saves to free memory."""
        return self._ticket.waited_seconds

    @property
    def seconds_until_durable(self) -> float | None:
        """From the call of save(); None until then."""
        return self._ticket.seconds_until_durable

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
        if report.prune_error is not None:
            message = f"bitsnap saved step {self.step} but could not prune: {report.prune_error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return report

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

    # What survives this process: the state handed over last, and blobs held for other ranks.
    def newest(self) -> Snapshot | None: ...
    def hold(self, key: str, content: Any) -> None: ...
    def held(self) -> list[str]: ...
    def fetch(self, key: str) -> Any: ...
    def drop(self, keys: list[str]) -> None: ...

    def save(self, tensors: list, step: int, **options: Any) -> PendingSave: ...
    def wait(self) -> None: ...
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


class _Forgetful:
    """An engine of which nothing survives the process."""

    def newest(self) -> Snapshot | None:
        return None

    def held(self) -> list[str]:
        return []


class SyncEngine(_Forgetful):
    """Returns from save() when all is safely on disk. Needs no memory for copies."""

    def __init__(self, store: Store) -> None:
        self.last_durable_step: int | None = None
        self._store = store

    def save(self, tensors: list, step: int, **options: Any) -> PendingSave:
        started = time.perf_counter()
        report = self._store.save(tensors, step, **options)
        self.last_durable_step = step
        return PendingSave(_Finished(report, time.perf_counter() - started))

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


class ThreadEngine(_Forgetful):
    """Returns from save() when the tensors are copied; the copies are saved in the background."""

    def __init__(self, store: Store, max_memory: int | None, on_busy: str) -> None:
        self._saver = Saver(store, max_memory or 0, on_busy)
        # Also when the interpreter exits, however it comes to that.
        self._finalizer = weakref.finalize(self, _close, self._saver, os.getpid())

    @property
    def last_durable_step(self) -> int | None:
        return self._saver.last_durable_step

    def save(self, tensors: list, step: int, **options: Any) -> PendingSave:
        return PendingSave(self._saver.save(tensors, step, **options))

    def wait(self) -> None:
        self._saver.wait()

    def close(self) -> None:
        self._saver.close()


def _close(saver: Saver, process: int) -> None:
    if os.getpid() == process:  # not in a child of fork(), which has nothing to finish
        saver.close()


def start_engine(name: str, store: Store, max_memory: int | None, on_busy: str) -> Engine:
    if name == "thread":
        return ThreadEngine(store, max_memory, on_busy)
    if name == "sync":
        return SyncEngine(store)
    raise ValueError(f"unknown engine {name!r}; use thread or sync")
