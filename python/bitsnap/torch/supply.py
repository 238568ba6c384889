"""What each rank can supply of one step, and who then gets what from where."""

from __future__ import annotations

from dataclasses import dataclass, field

import bitsnap
from bitsnap import RankOfStep
from bitsnap.torch.places import Places


@dataclass(frozen=True, order=True)
class Save:
    """What all rank files of one save of a step have in common."""

    world_size: int
    save_id: int


@dataclass(frozen=True)
class Source:
    """Where a rank gets the state of `saved_rank` from: from itself, or from partner `supplier`."""

    kind: str  # "memory", "disk" or "partner"
    saved_rank: int
    supplier: int


@dataclass
class Supply:
    """What one rank says about one step."""

    wanted: int | None  # whose state it asks for; None: its own
    # Ranks whose sound files it found in its directory, whose states its agent keeps, and whose
    # files it holds for others.
    disk: dict[Save, list[int]] = field(default_factory=dict)
    memory: dict[Save, list[int]] = field(default_factory=dict)
    held: dict[Save, list[int]] = field(default_factory=dict)
    # Files in its directory that cannot be used, and the name and message of the error.
    broken: dict[RankOfStep, tuple[str, str]] = field(default_factory=dict)
    # From where it already tried to read in vain.
    failed: list[tuple[Save, Source]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    save: Save
    sources: list[Source]  # by rank


def make_plan(step: int, supplies: list[Supply], places: Places) -> Plan:
    """The same on all ranks. Raises why the step cannot be used.

    A BitSnapError is about the step, and an older one may do; a ValueError is about the call.
    """
    saves = sorted(_saves(supplies), reverse=True)
    # Of a step that was saved twice, what the agents keep is the later save.
    saves.sort(key=lambda save: sum(save in supply.memory for supply in supplies), reverse=True)
    candidates = [_Candidate(step, save, supplies, places) for save in saves]
    for candidate in candidates:
        if (sources := candidate.sources()) is not None:
            return Plan(candidate.save, sources)
    for candidate in candidates:
        candidate.refuse_other_world()
    raise _why_not(step, supplies, candidates)


def _saves(supplies: list[Supply]) -> set[Save]:
    return {save for s in supplies for part in (s.disk, s.memory, s.held) for save in part}


class _Candidate:
    """One save of the step."""

    def __init__(self, step: int, save: Save, supplies: list[Supply], places: Places) -> None:
        self.step = step
        self.save = save
        self._supplies = supplies
        self._places = places
        self._wanted = [
            rank if supply.wanted is None else supply.wanted
            for rank, supply in enumerate(supplies)
        ]
        # Ranks that say whose part they want need not be as many as have saved.
        is_said = all(supply.wanted is not None for supply in supplies)
        self._fits = save.world_size == len(supplies) or is_said
        self._failed = [
            (rank, source)
            for rank, supply in enumerate(supplies)
            for failed_save, source in supply.failed
            if failed_save == save
        ]
        # Who has the files of which saved rank.
        self._on_disk = self._suppliers("disk")
        self._held = self._suppliers("held")

    def refuse_other_world(self) -> None:
        """ValueError when the step is whole, and was saved by others than are asked for."""
        if any(not self._all_with_files(rank) for rank in range(self.save.world_size)):
            return
        for wanted in self._wanted:
            if self._fits and wanted >= self.save.world_size:
                raise ValueError(
                    f"step {self.step} was saved by {self.save.world_size} rank(s), numbered from "
                    f"0; there is no rank {wanted} to restore from"
                )
        if not self._fits:
            raise world_error(self.step, self.save.world_size, len(self._supplies))

    def missing(self) -> list[int]:
        """Ranks of which a file is needed and nobody has it."""
        needed = set(self._wanted) if self._fits else range(self.save.world_size)
        return sorted(rank for rank in needed if not self._all_with_files(rank))

    def sources(self) -> list[Source] | None:
        """For every rank; None when one can get its part nowhere."""
        if not self._fits:
            return None
        ranks = range(len(self._supplies))
        # All or none: with a lossy profile memory and disk differ, and so would replicas that
        # train on from the one and the other.
        if all(self._is_in_memory(rank) for rank in ranks):
            return [Source("memory", self._wanted[rank], rank) for rank in ranks]
        sources = [self._files_for(rank) for rank in ranks]
        return None if None in sources else sources

    def _is_in_memory(self, rank: int) -> bool:
        in_memory = self._supplies[rank].memory.get(self.save, ())
        has_failed = any(source.kind == "memory" for _, source in self._failed)
        return self._wanted[rank] in in_memory and not has_failed

    def _files_for(self, rank: int) -> Source | None:
        wanted = self._wanted[rank]
        if set(self._places.sharers(rank)) & set(self._on_disk.get(wanted, ())):
            return Source("disk", wanted, rank)
        suppliers = self._all_with_files(wanted)
        if not suppliers:
            return None
        # Not all from one: a file that many want goes out of several machines.
        supplier = rank if rank in suppliers else suppliers[rank % len(suppliers)]
        return Source("partner", wanted, supplier)

    def _all_with_files(self, saved_rank: int) -> list[int]:
        return self._on_disk.get(saved_rank, []) + self._held.get(saved_rank, [])

    def _suppliers(self, part: str) -> dict[int, list[int]]:
        suppliers: dict[int, list[int]] = {}
        for rank, supply in enumerate(self._supplies):
            for saved_rank in getattr(supply, part).get(self.save, ()):
                if not self._has_failed(part, saved_rank, rank):
                    suppliers.setdefault(saved_rank, []).append(rank)
        return suppliers

    def _has_failed(self, part: str, saved_rank: int, supplier: int) -> bool:
        for rank, source in self._failed:
            if source.saved_rank != saved_rank:
                continue
            if source.kind == "partner" and source.supplier == supplier:
                return True
            if source.kind == part == "disk" and supplier in self._places.sharers(rank):
                return True
        return False


def world_error(step: int, saved: int, now: int) -> ValueError:
    return ValueError(
        f"step {step} was saved by {saved} rank(s) and this run has {now}; run with as many ranks "
        "as saved it, or say whose part each rank restores: from_rank=0 on all ranks where all "
        "hold the same state, as under DistributedDataParallel"
    )


def _why_not(
    step: int, supplies: list[Supply], candidates: list[_Candidate]
) -> bitsnap.BitSnapError:
    """An error in a file says more than that the file is missing."""
    for supply in supplies:
        for name, message in supply.broken.values():
            return getattr(bitsnap, name)(message)
    if not candidates:
        return bitsnap.NotFound(f"step {step} is not whole: no rank file was committed")
    if len({each.save.world_size for each in candidates}) < len(candidates):
        return bitsnap.NotFound(
            f"step {step} is not whole: the files of its ranks come from different saves"
        )
    candidate = min(candidates, key=lambda each: len(each.missing()))
    missing = ", ".join(map(str, candidate.missing()))
    world_size, now = candidate.save.world_size, len(supplies)
    hint = "" if world_size == now else f"; this run has {now}: see from_rank of restore()"
    return bitsnap.NotFound(
        f"step {step} is not whole: the file of rank {missing} of {world_size} is missing{hint}"
    )
