import builtins
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from bitsnap.records import (
    Lineage,
    PassedOver,
    PruneReport,
    RankOfStep,
    RepairReport,
    SaveReport,
    StepInfo,
    StepOrigin,
    StoredFile,
    StoredTensor,
    Tensor,
    VerifyReport,
)

__version__: str
PROFILES: tuple[str, ...]

# Called now and then on the calling thread with the bytes done and in all; False stops the work.
Progress = Callable[[int, int], bool | None]
# A contiguous CPU buffer or array.
Buffer = Any

def check_rank_file(content: Buffer) -> StoredFile:
    """Check all checksums of a rank file's bytes and say what it is. Nothing is decoded."""

def find_descent(
    origins: list[StepOrigin], is_whole: list[bool]
) -> tuple[int | None, list[bool]]:
    """The position of the current line's head, or None, and which steps it left behind."""

class Layout:
    """Tensors without their memory: `data` is not looked at.

    Made once for all saves that differ in nothing but memory.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None: ...
    def __len__(self) -> int: ...

class PlacedTensors:
    """A layout's tensors and where they are: what nothing can check, and so no public interface.

    `addresses` is a buffer of one 64-bit number for each tensor; `owners` keeps their memory.
    """

    def __init__(self, layout: Layout, addresses: Buffer, owners: Any) -> None: ...

class Store:
    """A directory of snapshots, one folder a step, one file a rank.

    Safe to use from several threads and processes at once.
    """

    def __init__(self, path: str | PathLike[str], create: bool = False) -> None:
        """Open the store at `path`; with `create`, make it where there is none."""
    @property
    def directory(self) -> Path: ...
    def save(
        self,
        tensors: Iterable[Tensor] | PlacedTensors,
        step: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        save_id: int = 0,
        profile: str = "exact",
        base: str | int = "auto",
        adam_eps: float = 1e-8,
        threads: int = 0,
        overwrite: bool = False,
        metadata: bytes = b"",
        keep_last: int | None = None,
        keep_every: int | None = None,
        drop_optimizer_older_than: int | None = None,
        whole_up_to: int | None = None,
        drop_abandoned: bool = False,
        passed_over: Iterable[int] = (),
        keep: Iterable[int] = (),
        lineage: Lineage | None = None,
        progress: Progress | None = None,
    ) -> SaveReport:
        """Write one rank's part of a step and commit it, or leave the store as it was.

        `base` is "auto", "none" or a step, `adam_eps` what the optimizer adds to the root of
        exp_avg_sq: a lossy profile's bound is about its update. `save_id` is the same for all ranks
        of one save and different for each try. Rank 0 then prunes as prune() does. Ctrl-C stops the
        save cleanly.
        """
    def open_step(self, step: int, rank: int = 0) -> Snapshot:
        """Open one rank of one whole step."""
    def open_rank(self, step: int, rank: int, world_size: int) -> Snapshot:
        """Open one rank's file, whatever else there is of its step.

        The other ranks' files may be in other directories.
        """
    def list_ranks(
        self, unreadable: builtins.list[PassedOver] | None = None
    ) -> builtins.list[RankOfStep]:
        """All rank files, oldest step first, whether they can be read or not."""
    def files_of(self, step: int, rank: int, world_size: int) -> builtins.list[StoredFile]:
        """One rank's file and, when it is a delta, its base's: all that is needed to read it."""
    def adopt(self, content: Buffer, base: Buffer | None = None) -> StoredFile:
        """Take in a copy of a rank file of another directory, and of its base if it has one.

        All checksums are checked first; durable when it returns. A file in its place is replaced.
        """
    def restore_newest(
        self,
        use: Callable[[Snapshot], Any],
        rank: int = 0,
        passed_over: builtins.list[PassedOver] | None = None,
    ) -> int:
        """Call `use` with the newest whole step and return its number.

        A step that cannot be opened, or for which `use` raises a BitSnapError about what is on
        disk, is appended to `passed_over`, and the next older one is tried. NotFound when no step
        is left. The snapshot is closed when `use` returns.
        """
    def next_lineage(
        self,
        step: int,
        origin: StepOrigin | None = None,
        is_restored: bool = False,
        passed_over_newer: bool = False,
    ) -> Lineage:
        """Whose save `step` is that comes after `origin`, restored or saved by this process.

        Where newer steps are there it begins a run that leaves them behind.
        """
    def origin_of(self, step: int, rank: int, world_size: int) -> StepOrigin:
        """Where one rank's file comes from; its header, index and footer are checked."""
    def list(self) -> builtins.list[StepInfo]:
        """All steps, oldest first, broken ones included."""
    def verify(
        self, step: int | None = None, threads: int = 0, progress: Progress | None = None
    ) -> VerifyReport:
        """Decode every block of one step, or of all, and check it."""
    def prune(
        self,
        *,
        keep_last: int | None = None,
        keep_every: int | None = None,
        drop_optimizer_older_than: int | None = None,
        whole_up_to: int | None = None,
        drop_abandoned: bool = False,
        passed_over: Iterable[int] = (),
        keep: Iterable[int] = (),
        dry_run: bool = False,
    ) -> PruneReport:
        """Remove the whole steps that no rule keeps; the newest one always stays.

        `keep_last` is how many of the newest stay, `keep_every` keeps the steps that it divides,
        and without both all stay. Steps more than `drop_optimizer_older_than` before the newest
        keep only their weights and what is no optimizer state. Where ranks save to directories of
        their own, `whole_up_to` is the newest step that is durable in all of them. Only steps of
        the current line count; those that it left behind go with `drop_abandoned`. Those in
        `passed_over` do not count, those in `keep` stay whatever the rules say.
        """
    def repair(self, *, min_age: int = 3600, dry_run: bool = False) -> RepairReport:
        """Remove what can never be restored and did not change in the last `min_age` seconds."""

class SaveTicket:
    """One save under way."""

    @property
    def step(self) -> int: ...
    @property
    def skipped(self) -> bool:
        """Whether on_busy="skip" left it out."""
    @property
    def waited_seconds(self) -> float:
        """For room in the memory for copies; part of `blocked_seconds`."""
    @property
    def blocked_seconds(self) -> float: ...
    @property
    def finished(self) -> bool:
        """Durable, failed or skipped."""
    @property
    def seconds_until_durable(self) -> float | None:
        """From the call of save(); None before, and after a failure."""
    @property
    def progress(self) -> tuple[int, int]:
        """Bytes done and in all; (0, 0) while the save is queued."""
    def wait(self) -> SaveReport:
        """Wait until the step is durable, or raise why it is not. Ctrl-C ends only the waiting."""

class AgentMemory:
    """What the agent keeps for this rank and others. Of no use once its Saver is closed."""

    def newest(self) -> Snapshot | None:
        """The newest state handed to the agent, on disk or not.

        None where there is none, or what was on disk is gone. Its memory counts in `max_memory` as
        long as the snapshot is there.
        """
    def hold(self, key: str, content: Buffer) -> None:
        """Let the agent hold a copy of bytes under a key, for others on this machine.

        Until they are dropped, the rank closes, or the agent ends.
        """
    def held(self) -> list[str]:
        """The keys of all that the agent holds."""
    def fetch(self, key: str) -> memoryview:
        """What the agent holds under a key: its own memory, read-only. NotFound when nothing."""
    def drop(self, keys: list[str]) -> None:
        """Let the agent drop what it holds under these keys, if it does."""

class Saver:
    """Copies states and saves the copies, one after the other, in the background.

    A failure that no ticket's wait() has raised is raised once by the next call of save(), wait()
    or close(). Safe to use from several threads. Of no use in a child of fork().
    """

    def __init__(
        self,
        store: Store,
        max_memory: int = 0,
        on_busy: str = "wait",
        *,
        agent: str | PathLike[str] | None = None,
        agent_linger: int = 900,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Start the background thread or, where `agent` names the `bitsnap` command, the agent.

        Copies take at most `max_memory` bytes; 0 means twice the largest state. When that is not
        enough, `on_busy` is "wait", "skip" or "error". `agent_linger` is how many seconds the agent
        keeps the newest state of a process that left or died.
        """
    def save(
        self,
        tensors: Iterable[Tensor] | PlacedTensors,
        step: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        save_id: int = 0,
        profile: str = "exact",
        base: str | int = "auto",
        adam_eps: float = 1e-8,
        threads: int = 0,
        overwrite: bool = False,
        metadata: bytes = b"",
        keep_last: int | None = None,
        keep_every: int | None = None,
        drop_optimizer_older_than: int | None = None,
        whole_up_to: int | None = None,
        drop_abandoned: bool = False,
        passed_over: Iterable[int] = (),
        keep: Iterable[int] = (),
        lineage: Lineage | None = None,
    ) -> SaveTicket:
        """Copy the tensors and queue them; they may be changed once this returns."""
    def prepare(self, bytes: int) -> None:
        """Bring in the memory for the first copy, of so many bytes, in the background."""
    def wait(self) -> None:
        """Wait until all saves are durable, or raise the first failure that nobody was told of."""
    def close(self) -> None:
        """Finish what is queued and give the memory back; the agent forgets this rank."""
    def leave(self) -> None:
        """The same, but the agent keeps the newest state for a restart."""
    @property
    def agent_memory(self) -> AgentMemory | None:
        """What the agent keeps beyond this process; None without an agent."""
    def take_warnings(self) -> list[str]:
        """What went wrong with the agent since the last call, and was made up for."""
    @property
    def last_durable_step(self) -> int | None: ...

class Snapshot:
    """One rank's part of a step: a file with the base it leans on, or a state in memory."""

    @property
    def step(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    @property
    def save_id(self) -> int: ...
    @property
    def lineage(self) -> Lineage: ...
    @property
    def base_step(self) -> int | None: ...
    @property
    def profile(self) -> str: ...
    @property
    def metadata(self) -> bytes: ...
    @property
    def tensors(self) -> list[StoredTensor]:
        """All tensors; built anew at each access."""
    def read_into(
        self,
        requests: Iterable[tuple[str, Buffer] | tuple[str, Buffer, int]],
        threads: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Fill writable buffers with tensors' bytes, all in parallel.

        A request is (name, buffer) or (name, buffer, first byte wanted); the buffer's size says how
        many bytes. On error the buffers' content is unspecified.
        """
