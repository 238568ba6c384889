"""Whose saves a Checkpointer's are: when a run goes on, and when another one begins."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import bitsnap
from bitsnap import Lineage, StepOrigin, Store
from bitsnap._native import find_descent
from bitsnap.torch.ranks import Ranks


class LineOfDescent:
    """Knows the save that the next one comes after.

    All ranks make the same calls.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: StepOrigin | None = None  # restored, or saved by this object
        self._is_restored = False
        self._passed_over_newer = False

    def restored(self, origin: StepOrigin, passed_over_newer: bool) -> None:
        """All that comes next descends from this."""
        self._last = origin
        self._is_restored = True
        self._passed_over_newer = passed_over_newer

    def saved(self, step: int, save_id: int, lineage: Lineage) -> None:
        self._last = StepOrigin(step, save_id, lineage)
        self._is_restored = False

    def is_going_back(self, lineage: Lineage) -> bool:
        """Whether `lineage`, of the next save, begins a run."""
        return self._last is None or self._last.lineage.run != lineage.run

    def next(self, ranks: Ranks, step: int, is_partial: bool) -> tuple[int, Lineage]:
        """A save_id and a lineage for the save of `step`, the same on all ranks. Collective."""
        last = self._last
        if last is not None and not self._is_restored and step >= last.step:
            run = last.lineage
            parent = (last.step, last.save_id) if run.run else None
            save_id, lineage = ranks.new_save_id(), Lineage(run.run, run.order, parent, run.ancestors)
            return save_id, lineage
        # Of machines' directories each knows other runs.
        knows = is_partial or ranks.rank == 0
        answers = ranks.gather(self._ask(step) if knows else None)
        failure = next((a for a in answers if isinstance(a, bitsnap.BitSnapError)), None)
        if failure is not None:
            raise failure
        lineage = max(filter(None, answers), key=lambda each: (each.order, each.run))
        return ranks.new_save_id(), lineage

    def _ask(self, step: int) -> Lineage | bitsnap.BitSnapError:
        try:
            return self._store.next_lineage(
                step, self._last, self._is_restored, self._passed_over_newer
            )
        except bitsnap.BitSnapError as error:
            return error

    def warn_of_abandoned(self, lineage: Lineage, step: int) -> None:
        """Says which whole steps the run that begins with `step` leaves behind."""
        behind = [
            info.step
            for info in self._store.list()
            if info.whole and not info.abandoned and info.step != step
            and not _includes(lineage, self._store, info)
        ]
        if behind:
            warnings.warn(
                f"bitsnap: step {step} begins a new run in {self._store.directory}, which leaves "
                f"{_steps(behind)} behind: restore() does not come there again, and retention does "
                "not count or remove them; drop_abandoned=True or `bitsnap prune --abandoned` does",
                RuntimeWarning,
                stacklevel=4,
            )


@dataclass(frozen=True)
class Part:
    """A rank's part of a step, wherever it is; `origin` None: it cannot be read."""

    step: int
    rank: int
    world_size: int
    origin: StepOrigin | None


def abandoned_steps(parts: list[Part]) -> set[int]:
    """The steps that the current line left behind, of what all ranks have.

    Of a step that was saved twice the save of the higher order counts.
    """
    ranks: dict[tuple[int, int, int], set[int]] = {}
    origins: dict[tuple[int, int, int], StepOrigin] = {}
    for part in parts:
        if part.origin is None:
            continue
        save = (part.step, part.world_size, part.origin.save_id)
        ranks.setdefault(save, set()).add(part.rank)
        known = origins.get(save)
        # Who holds a copy does not know where it comes from.
        if known is None or known.lineage is None:
            origins[save] = part.origin
    marks = {p.step: p.origin.left_behind for p in parts if p.origin and p.origin.left_behind}
    saves = sorted(origins)
    steps = [
        StepOrigin(save[0], save[2], origins[save].lineage, marks.get(save[0]))
        for save in saves
    ]
    _, abandoned = find_descent(steps, [len(ranks[save]) == save[1] for save in saves])
    on_line = {save[0] for save, is_behind in zip(saves, abandoned) if not is_behind}
    return {save[0] for save in saves} - on_line


def _includes(lineage: Lineage, store: Store, info: bitsnap.StepInfo) -> bool:
    origin = store.origin_of(info.step, info.ranks[0], info.world_size).lineage
    return includes(lineage, origin, info.step)


def includes(lineage: Lineage, other: Lineage, step: int) -> bool:
    """Whether a save of `lineage` descends from the save of `step` of `other`."""
    up_to = dict(lineage.ancestors)
    return other.run == lineage.run or (other.run in up_to and step <= up_to[other.run])


def _steps(steps: Sequence[int]) -> str:
    if len(steps) > 10:
        return f"{len(steps)} steps, {steps[0]} to {steps[-1]},"
    return f"step{'s' if len(steps) > 1 else ''} " + ", ".join(map(str, steps))
