"""Restoring the same save on all ranks, whichever directory, agent or partner has each part."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from contextlib import ExitStack

import bitsnap
from bitsnap import PassedOver, RankOfStep, Snapshot, StepOrigin, Store
from bitsnap.torch.engines import Engine, held_in_memory, newest_in_memory
from bitsnap.torch.line import Part, abandoned_steps
from bitsnap.torch.parts import Content, in_memory, on_disk
from bitsnap.torch.places import Places
from bitsnap.torch.ranks import Ranks
from bitsnap.torch.replica_key import ReplicaKey, parse_keys, usable
from bitsnap.torch.supply import Plan, Save, Source, Supply, make_plan

Use = Callable[[Snapshot], None]

# Why a step may be passed over for an older one.
_STEPS_FAULT = (
    bitsnap.NotFound,
    bitsnap.Corrupt,
    bitsnap.UnsupportedVersion,
    bitsnap.MissingBase,
    bitsnap.IoFailed,
)


# Of a rank file and of its base's.
_SIZES = struct.Struct("<qq")


class Agreement:
    """One restore. All ranks make the same calls."""

    def __init__(
        self,
        ranks: Ranks,
        places: Places,
        store: Store,
        engine: Engine,
        from_rank: int | None,
        is_partial: bool,
    ) -> None:
        """`is_partial`: each machine has a directory of its own, which may be lost."""
        self.passed_over: list[PassedOver] = []
        self.restored_from: str | None = None  # the kind of its source
        self._ranks = ranks
        self._places = places
        self._store = store
        self._engine = engine
        self._from_rank = from_rank
        self._is_partial = is_partial
        self._abandoned: set[int] = set()
        self._failed: list[tuple[Save, Source]] = []
        self._taken: set[tuple[Save, int]] = set()  # from partners, into this rank's directory

    def restore_newest(self, use: Use) -> int | None:
        """Calls `use` with the newest step that all ranks can read, and returns its number.

        None when there are none, or only such that not all ranks came to save; of machines'
        directories, where missing files may be lost ones, at most one such step. Raises the newest
        step's error when all steps are broken.
        """
        while (step := self._newest_untried()) is not None:
            if (failure := self._try(step, use)) is None:
                return step
            self.passed_over.append(PassedOver(step, failure))
        if self._abandoned and not self.passed_over:
            raise bitsnap.MissingBase(
                f"{self._store.directory}: no step of its newest run is left; of a run that was left "
                f"behind are {', '.join(map(str, sorted(self._abandoned)))}: ask for one by its number"
            )
        missing = all(isinstance(passed.error, bitsnap.NotFound) for passed in self.passed_over)
        is_new = not self._abandoned and (len(self.passed_over) <= 1 or not self._is_partial)
        if missing and is_new:
            return None
        errors = [passed.error for passed in self.passed_over]
        # What is there and cannot be read says more than what was never saved completely.
        told = (error for error in errors if not isinstance(error, bitsnap.NotFound))
        newest = next(told, errors[0])
        raise type(newest)(
            f"{self._store.directory}: none of its {len(self.passed_over)} step(s) can be "
            f"restored; the newest: {newest}"
        )

    def restore(self, step: int, use: Use) -> None:
        failure = self._try(step, use)
        if failure is not None:
            raise failure

    def _newest_untried(self) -> int | None:
        """Looked up anew each time: another process may save and prune meanwhile."""
        parts: list[Part] = []
        failure: bitsnap.BitSnapError | None = None
        try:
            parts = self._parts()
        except bitsnap.BitSnapError as error:
            failure = error  # told once the others, which wait, know
        gathered = self._ranks.gather((parts, failure and str(failure)))
        if failure is not None:
            raise failure
        for rank, (_, message) in enumerate(gathered):
            if message is not None:
                raise bitsnap.IoFailed(f"rank {rank} cannot list its steps: {message}")
        parts = [part for parts, _ in gathered for part in parts]
        self._abandoned = abandoned_steps(parts)
        tried = {passed.step for passed in self.passed_over}
        return max({part.step for part in parts} - self._abandoned - tried, default=None)

    def _parts(self) -> list[Part]:
        """All that this rank knows of: in its directory, in memory, held for others."""
        parts = []
        unreadable: list[PassedOver] = []
        for id in self._store.list_ranks(unreadable):
            if self._is_mine_to_check(id):
                try:
                    origin = self._store.origin_of(id.step, id.rank, id.world_size)
                except bitsnap.BitSnapError:
                    origin = None
                parts.append(Part(id.step, id.rank, id.world_size, origin))
        parts += [Part(each.step, self._ranks.rank, 0, None) for each in unreadable]
        for key in self._held():
            origin = StepOrigin(key.id.step, key.save_id, None)
            parts.append(Part(key.id.step, key.id.rank, key.id.world_size, origin))
        if (snapshot := newest_in_memory(self._engine)) is not None:
            origin = StepOrigin(snapshot.step, snapshot.save_id, snapshot.lineage)
            parts.append(Part(snapshot.step, snapshot.rank, snapshot.world_size, origin))
        return parts

    def _try(self, step: int, use: Use) -> bitsnap.BitSnapError | None:
        """Why the ranks cannot use the step; None when all have used it."""
        self._failed, self._taken, failure = [], set(), None
        while True:
            supplies = self._ranks.gather(self._supply(step))
            try:
                plan = make_plan(step, supplies, self._places)
            except bitsnap.BitSnapError as error:
                return failure or error
            latest = self._use(step, plan, use)
            if latest is None:
                self.restored_from = self._kind_of(plan)
                return None
            failure = failure or latest  # and once more: another source may have it

    def _kind_of(self, plan: Plan) -> str:
        """"partner" also for what a partner sent before the step was tried once more."""
        source = plan.sources[self._ranks.rank]
        return "partner" if (plan.save, source.saved_rank) in self._taken else source.kind

    def _supply(self, step: int) -> Supply:
        supply = Supply(self._from_rank, failed=self._failed)
        snapshot = newest_in_memory(self._engine)
        if snapshot is not None and snapshot.step == step:
            save = Save(snapshot.world_size, snapshot.save_id)
            supply.memory[save] = [snapshot.rank]
        for key in self._held():
            if key.id.step == step:
                save = Save(key.id.world_size, key.save_id)
                supply.held.setdefault(save, []).append(key.id.rank)
        unreadable: list[PassedOver] = []
        try:
            ids = self._store.list_ranks(unreadable)
        except bitsnap.BitSnapError as error:
            ids, unreadable = [], [PassedOver(step, error)]
        for id in ids:
            if id.step == step and self._is_mine_to_check(id):
                self._add_file(id, supply)
        for each in unreadable:
            if each.step == step:
                id = RankOfStep(step, self._ranks.rank, self._ranks.world_size)
                supply.broken[id] = (type(each.error).__name__, str(each.error))
        return supply

    def _is_mine_to_check(self, id: RankOfStep) -> bool:
        """Of those that share a directory one opens each file: its own rank where it is there."""
        sharers = self._places.sharers(self._ranks.rank)
        checker = id.rank if id.rank in sharers else sharers[id.rank % len(sharers)]
        return checker == self._ranks.rank

    def _add_file(self, id: RankOfStep, supply: Supply) -> None:
        try:
            file = self._store.files_of(id.step, id.rank, id.world_size)[0]
        except bitsnap.BitSnapError as error:
            supply.broken[id] = (type(error).__name__, str(error))
            return
        supply.disk.setdefault(Save(id.world_size, file.save_id), []).append(id.rank)

    def _held(self) -> list[ReplicaKey]:
        return usable(parse_keys(held_in_memory(self._engine)))

    def _use(self, step: int, plan: Plan, use: Use) -> bitsnap.BitSnapError | None:
        """Why some rank cannot read it; None when all have used it."""
        source, error = plan.sources[self._ranks.rank], None
        try:
            self._bring_files(step, plan)
            use(self._open(step, plan.save, source))
        except Exception as raised:
            error = raised
        is_steps_fault = isinstance(error, _STEPS_FAULT)
        if is_steps_fault:
            self._failed.append((plan.save, source))
        outcomes = self._ranks.gather(None if error is None else (is_steps_fault, str(error)))
        if error is not None and not is_steps_fault:
            raise error
        failed = {rank: outcome for rank, outcome in enumerate(outcomes) if outcome}
        for rank, (of_step, message) in failed.items():
            if not of_step:
                raise RuntimeError(f"rank {rank} could not restore step {step}: {message}")
        if error is not None or not failed:
            return error
        rank, (_, message) = next(iter(failed.items()))
        return bitsnap.Corrupt(f"rank {rank} cannot read it: {message}")

    def _open(self, step: int, save: Save, source: Source) -> Snapshot:
        if source.kind == "memory":
            snapshot = newest_in_memory(self._engine)
            if snapshot is None or (snapshot.step, snapshot.save_id) != (step, save.save_id):
                raise bitsnap.NotFound(f"step {step} is no longer in the agent's memory")
            return snapshot
        snapshot = self._store.open_rank(step, source.saved_rank, save.world_size)
        if snapshot.save_id != save.save_id:
            raise bitsnap.NotFound(f"step {step} was saved again while it was being restored")
        return snapshot

    def _bring_files(self, step: int, plan: Plan) -> None:
        """Brings what is wanted into the directories that lack it, one transfer after the other.

        The order is the same on all ranks, so that nobody waits in a circle; ranks that have no
        part in a transfer go on to the next. Failures are raised when all are through.
        """
        failure: Exception | None = None
        for taker, source in _transfers(plan, self._places).items():
            id = RankOfStep(step, source.saved_rank, plan.save.world_size)
            try:
                if taker == source.supplier == self._ranks.rank:
                    self._take_own(id, plan.save)
                elif source.supplier == self._ranks.rank:
                    self._send(id, plan.save, taker)
                elif taker == self._ranks.rank:
                    self._take(id, plan.save, source.supplier)
                if taker == self._ranks.rank:
                    self._taken.add((plan.save, id.rank))
            except bitsnap.BitSnapError as error:
                failure = error
        self._ranks.gather(None)  # who shares a directory with a taker opens its file now
        if failure is not None:
            raise failure

    def _send(self, id: RankOfStep, save: Save, taker: int) -> None:
        """The rank file and its base's; two sizes go first, zeros when it cannot be read."""
        contents = [in_memory(b"")] * 2
        with ExitStack() as until_sent:
            try:
                found = self._contents(id, save, until_sent)
                contents[: len(found)] = found
            except (bitsnap.BitSnapError, OSError) as error:
                message = f"bitsnap could not send step {id.step} of rank {id.rank}: {error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
            sizes = _SIZES.pack(*(content.size for content in contents))
            for content in (in_memory(sizes), *contents):
                self._ranks.send(content, taker)

    def _contents(self, id: RankOfStep, save: Save, until: ExitStack) -> list[Content]:
        """From memory where it is held there, else from disk."""
        held = parse_keys(held_in_memory(self._engine))
        for key in usable(held):
            if (key.id, key.save_id) == (id, save.save_id):
                bases = [other for other in held if other.is_base_of(key)]
                return [in_memory(self._engine.agent_memory.fetch(k.text)) for k in (key, *bases[:1])]
        files = self._store.files_of(id.step, id.rank, id.world_size)
        return [on_disk(file.path, file.bytes, until) for file in files]

    def _take_own(self, id: RankOfStep, save: Save) -> None:
        """What this machine holds for another may be what this rank asks for."""
        with ExitStack() as until_adopted:
            contents = self._contents(id, save, until_adopted)
            self._store.adopt(*(each.whole() for each in contents))

    def _take(self, id: RankOfStep, save: Save, supplier: int) -> None:
        sizes = _SIZES.unpack(self._ranks.receive(_SIZES.size, supplier))
        content, base = (self._ranks.receive(size, supplier) for size in sizes)
        if not len(content):
            raise bitsnap.NotFound(f"rank {supplier} could not send step {id.step}")
        copy = bitsnap.check_rank_file(content)
        if (copy.id, copy.save_id) != (id, save.save_id):
            raise bitsnap.Corrupt(f"rank {supplier} sent another file than step {id.step}")
        self._store.adopt(content, base if len(base) else None)


def _transfers(plan: Plan, places: Places) -> dict[int, Source]:
    """Who takes files from where: of those that share a directory the first that wants it."""
    transfers: dict[int, Source] = {}
    for directory in places.directories:
        first: dict[int, int] = {}
        for rank in directory:
            source = plan.sources[rank]
            if source.kind == "partner" and source.saved_rank not in first:
                first[source.saved_rank] = rank
                transfers[rank] = source
    return transfers
