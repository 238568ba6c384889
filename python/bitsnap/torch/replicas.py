"""Copies of rank files in the memory of other machines' agents."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import bitsnap
from bitsnap import Store
from bitsnap.torch.engines import Engine, PendingSave, held_in_memory
from bitsnap.torch.parts import Content, on_disk
from bitsnap.torch.places import Places, partners_of
from bitsnap.torch.ranks import RankGone, Ranks
from bitsnap.torch.replica_key import ReplicaKey, key_of, parse_keys

# Saves of each rank that its partners hold, with the bases they lean on.
_KEPT = 2


@dataclass
class _Told:
    """What a rank tells the others about one of its saves."""

    save_id: int
    offered: list[ReplicaKey] = field(default_factory=list)  # nothing where saving failed
    held: list[str] = field(default_factory=list)  # by its agent, of whatever rank


class Replicator:
    """Sends each save, once it is durable, to `count` partners, and holds what others send.

    All ranks make the same calls in the same order. The work is done by a thread of its own, which
    goes through the saves one after the other, on all ranks the same one at a time. What fails is
    told by take_warnings(); when a rank is gone, replicating ends.
    """

    def __init__(
        self,
        ranks: Ranks,
        places: Places,
        store: Store,
        engine: Engine,
        count: int,
        timeout: float,
    ) -> None:
        """A rank that does not answer for `timeout` seconds is taken for gone. Collective."""
        partners = [
            partners_of(rank, places.machines, count) for rank in range(ranks.world_size)
        ]
        self._worker = _Worker(ranks.in_background(timeout), partners, store, engine)
        if len(places.machines) == 1:
            self._worker.warnings.append(
                "all ranks are on one machine: copies are held by other processes of it, and are "
                "lost with it"
            )
        elif len(partners[ranks.rank]) < count:
            self._worker.warnings.append(
                f"{count} copies are asked for, and there are {len(places.machines)} machines"
            )
        self._thread = threading.Thread(
            target=self._worker.run, name="bitsnap replicas", daemon=True
        )
        self._thread.start()
        # Also when the interpreter exits, before the engine's own.
        self._finalizer = weakref.finalize(self, _finish, self._worker, self._thread, os.getpid())

    def add(self, save_id: int, save: PendingSave | None) -> None:
        """None: this rank could not even start the save."""
        self._worker.saves.put((save_id, save))

    def close(self) -> None:
        """Waits until all saves are with the partners, or have failed: once this rank's are durable,
        no longer than the timeout for any rank.
        """
        self._finalizer()

    def take_warnings(self) -> list[str]:
        """Those since the last call."""
        warnings = self._worker.warnings  # the thread adds to them meanwhile
        return [warnings.popleft() for _ in range(len(warnings))]


def _finish(worker: _Worker, thread: threading.Thread, process: int) -> None:
    if os.getpid() == process:  # a child of fork() has no such thread
        worker.saves.put(None)
        thread.join()


class _Worker:
    """All of it but `saves` and `warnings` belongs to the thread."""

    def __init__(
        self, ranks: Ranks, partners: list[list[int]], store: Store, engine: Engine
    ) -> None:
        self.saves: queue.SimpleQueue[tuple[int, PendingSave | None] | None] = queue.SimpleQueue()
        self.warnings: deque[str] = deque()
        self._ranks = ranks
        self._partners = partners  # by rank
        self._store = store
        self._engine = engine
        # Of each rank whose copies are held here, the keys of its saves, oldest first.
        self._kept: dict[tuple[int, int], list[list[ReplicaKey]]] = defaultdict(list)

    def run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)  # as the engine's thread
        self._remember()
        while (item := self.saves.get()) is not None:
            try:
                self._replicate(*item)
            except Exception as error:
                why = f"since {error}" if isinstance(error, RankGone) else f"({error})"
                self.warnings.append(
                    f"copies of saves go to no other machine any more, until a restart of all "
                    f"ranks, {why} (a rank that only is slow: raise replica_timeout)"
                )
                return

    def _remember(self) -> None:
        """Of what an earlier process of this rank held, the newest save of each rank counts."""
        with contextlib.suppress(bitsnap.BitSnapError):
            keys = parse_keys(held_in_memory(self._engine))
            for key in sorted(keys, key=lambda each: each.id.step):
                bases = [other for other in keys if other.is_base_of(key)]
                self._kept[key.owner] = [[key, *bases]]

    def _replicate(self, save_id: int, save: PendingSave | None) -> None:
        files: dict[ReplicaKey, Content] = {}
        held: list[str] = []
        with ExitStack() as until_sent:
            try:
                files = self._files_of(save_id, save, until_sent)
                held = held_in_memory(self._engine)
            except (bitsnap.BitSnapError, OSError) as error:
                self.warnings.append(f"could not send copies of a save to others: {error}")
            all_told = self._ranks.tell_each(_Told(save_id, list(files), held))
            if len({each.save_id for each in all_told}) > 1:
                raise RuntimeError("the ranks have not made the same calls of save()")
            for place in range(max(map(len, self._partners))):
                self._exchange(place, all_told, files)
        self._drop_old(all_told)

    def _files_of(
        self, save_id: int, save: PendingSave | None, until: ExitStack
    ) -> dict[ReplicaKey, Content]:
        """Of a durable save its rank file and the base; waits until it is durable."""
        if save is None or save.skipped:
            return {}
        # Not wait(): an error is for the caller of save(), who is told only once.
        while not save.done():
            time.sleep(0.02)
        if save.seconds_until_durable is None:
            return {}
        files = self._store.files_of(save.step, self._ranks.rank, self._ranks.world_size)
        if files[0].save_id != save_id:
            return {}  # overwritten meanwhile; the later save will be sent
        return {key_of(file): on_disk(file.path, file.bytes, until) for file in files}

    def _exchange(
        self, place: int, all_told: list[_Told], files: dict[ReplicaKey, Content]
    ) -> None:
        """Sends to the partner at `place` of the list, and receives likewise.

        All receives are started before anything is sent, so that nobody waits in a circle.
        """
        me = self._ranks.rank
        outgoing, incoming = [], []
        for sender, taker in self._pairs(place):
            held = all_told[taker].held
            wanted = [key for key in all_told[sender].offered if key.text not in held]
            if taker == me:
                incoming += [(k, self._ranks.start_receiving(k.bytes, sender)) for k in wanted]
            if sender == me:
                outgoing += [(key, taker) for key in wanted]
        for key, taker in outgoing:
            self._ranks.send(files[key], taker)
        for key, receipt in incoming:
            self._hold(key, receipt.wait())

    def _pairs(self, place: int) -> Iterator[tuple[int, int]]:
        for sender, partners in enumerate(self._partners):
            if place < len(partners):
                yield sender, partners[place]

    def _hold(self, key: ReplicaKey, content: bytearray) -> None:
        try:
            if key_of(bitsnap.check_rank_file(content)) != key:
                raise bitsnap.Corrupt("it is another file than was announced")
            self._engine.agent_memory.hold(key.text, content)
        except bitsnap.BitSnapError as error:
            self.warnings.append(
                f"does not hold a copy of step {key.id.step} of rank {key.id.rank}: {error}"
            )

    def _drop_old(self, all_told: list[_Told]) -> None:
        me = self._ranks.rank
        senders = {rank for rank, partners in enumerate(self._partners) if me in partners}
        with contextlib.suppress(bitsnap.BitSnapError):
            held = set(parse_keys(held_in_memory(self._engine)))
            for sender in senders:
                keys = all_told[sender].offered
                if keys and held.issuperset(keys):
                    kept = self._kept[keys[0].owner]
                    kept[:] = [*kept, keys][-_KEPT:]
            # Copies of a world of another size stay until this one has some.
            owners = {(sender, self._ranks.world_size) for sender in senders}
            if all(owner in self._kept for owner in owners):
                for owner in [each for each in self._kept if each[1] != self._ranks.world_size]:
                    owners.add(owner)
                    del self._kept[owner]
            stay = {key for saves in self._kept.values() for keys in saves for key in keys}
            old = [key.text for key in held if key.owner in owners and key not in stay]
            if old:
                self._engine.agent_memory.drop(old)
