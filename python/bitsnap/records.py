"""What goes into a store and what it says about its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitsnap.errors import BitSnapError


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor to save.

    `data` is any contiguous CPU buffer or array (its bytes are taken as they are), `dtype` a
    safetensors name such as "BF16" or "F8_E4M3", or "C128". `role` is "weight", "master",
    "exp_avg", "exp_avg_sq" or "other", and inferred from the name when None; `group` names the
    parameter that it belongs to.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Any = field(repr=False)
    role: str | None = None
    group: str = ""


@dataclass(frozen=True)
class RoleBytes:
    """Of all tensors of one role: as they are in memory, and as they are on disk."""

    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class SaveReport:
    """What a save did, on this rank.

    `stored_bytes` is what it added on disk, `ratio` how many times less that is than `raw_bytes`.
    `base_step` is the step that it leans on, None where it stands alone; `base_reason` says why.
    """

    step: int
    raw_bytes: int
    stored_bytes: int
    ratio: float
    base_step: int | None
    base_reason: str
    seconds: float
    roles: dict[str, RoleBytes]
    pruned: PruneReport | None = None
    # Why pruning failed: what was saved is saved all the same.
    prune_error: BitSnapError | None = None


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a snapshot. `error` is empty where every bit comes back."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str
    group: str
    codec: str
    raw_bytes: int
    stored_bytes: int
    error: dict[str, float]
    why: str


@dataclass(frozen=True)
class PassedOver:
    """A step that could not be used, and why."""

    step: int
    error: BitSnapError


@dataclass(frozen=True)
class Lineage:
    """Where a save stands among the saves of its store (docs/store.md, "Lines of descent").

    `run` 0 is the one run of all saves that do not say theirs; a run that begins later has a higher
    `order`. `parent` is the step and save_id that it came after, `ancestors` the runs that it goes
    on from and up to which step, the nearest first.
    """

    run: int = 0
    order: int = 0
    parent: tuple[int, int] | None = None
    ancestors: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class StepOrigin:
    """Where the save of a step comes from.

    `left_behind` is the order of the run that went back behind it, as its folder says.
    """

    step: int
    save_id: int
    lineage: Lineage | None
    left_behind: int | None = None


@dataclass(frozen=True)
class StepInfo:
    """A step of a store. `why_not` is empty when it is whole.

    `abandoned`: the current run went back behind it.
    """

    step: int
    world_size: int
    ranks: list[int]
    whole: bool
    why_not: str
    abandoned: bool
    stored_bytes: int
    base_step: int | None


@dataclass(frozen=True, order=True)
class RankOfStep:
    """A rank file by its name alone."""

    step: int
    rank: int
    world_size: int


@dataclass(frozen=True)
class StoredFile:
    """A rank file whose header and index are sound. `hash` tells apart any two that differ."""

    id: RankOfStep
    path: Path
    save_id: int
    lineage: Lineage
    bytes: int
    hash: str
    base_step: int | None
    base_hash: str


@dataclass(frozen=True)
class PrunedStep:
    """`bytes` is what was really given back: a file with another hard link gives nothing yet."""

    step: int
    bytes: int


@dataclass(frozen=True)
class PruneReport:
    """What pruning did or, in a dry run, would do. `left_alone` says by step why it stayed."""

    kept: list[int]
    removed: list[PrunedStep]
    optimizer_dropped: list[PrunedStep]
    left_alone: dict[int, str]
    abandoned: list[int]  # left behind by the current run, and still there
    bytes: int


@dataclass(frozen=True)
class RepairItem:
    """A file or folder, by its path in the store, and what is or would be done with it and why."""

    path: str
    bytes: int
    why: str


@dataclass(frozen=True)
class RepairReport:
    """What repairing did or, in a dry run, would do. `left` is not whole, but not to be removed."""

    repaired: list[RepairItem]
    left: list[RepairItem]
    bytes: int


@dataclass(frozen=True)
class VerifyReport:
    """How much was decoded and compared, and the steps with what does not stand it."""

    files: int
    raw_bytes: int
    broken: list[PassedOver]
