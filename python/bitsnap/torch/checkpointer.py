"""Saves and restores the whole state of a training run."""

from __future__ import annotations

import os
import time
import warnings
from collections import defaultdict
from typing import Any

import bitsnap
from bitsnap import PassedOver, Snapshot, StepOrigin, Store
from bitsnap.torch.adam import adam_eps
from bitsnap.torch.agreement import Agreement
from bitsnap.torch.checks import require_one_of, require_whole
from bitsnap.torch.content import content_to_json
from bitsnap.torch.engines import ENGINES, ON_BUSY, PendingSave, newest_in_memory, start_engine
from bitsnap.torch.line import LineOfDescent
from bitsnap.torch.models import Model, ModelState
from bitsnap.torch.optimizer_arguments import Optimizers
from bitsnap.torch.optimizer_entries import Kept
from bitsnap.torch.optimizers import OptimizerState, optimizer_states
from bitsnap.torch.outgoing import Measured, Outgoing, Packer
from bitsnap.torch.places import Places, find_places, mark_partial
from bitsnap.torch.ranks import Ranks
from bitsnap.torch.replicas import Replicator
from bitsnap.torch.restoring import load
from bitsnap.torch.retention import Retention
from bitsnap.torch.values import object_of, to_json


class Checkpointer:
    """Saves and restores models, optimizers and whatever else a run needs, in one directory.

    Where torch.distributed is initialised, each rank saves and restores its own part, and a step
    counts only when all ranks have saved it.

    As a context manager it closes itself. A save that failed in the background is raised once, by
    the next call or by PendingSave.result().
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        profile: str = "exact",
        threads: int | None = None,
        engine: str = "thread",
        max_memory: int | None = None,
        on_busy: str = "wait",
        *,
        agent_linger: int = 900,
        replicas: int = 0,
        replica_timeout: int = 300,
        keep_last: int | None = None,
        keep_every: int | None = None,
        drop_optimizer_older_than: int | None = None,
        drop_abandoned: bool = False,
    ) -> None:
        """`threads` None means one for each core this process may use.

        With the engine "thread" states are copied, and the copies saved in the background; with
        "sync", save() returns when all is on disk. With "agent" the copies are kept and saved by a
        process that all ranks of a machine share and that outlives them: what was handed to it is
        saved whatever becomes of the training, and a restart gets the newest state from its memory
        within `agent_linger` seconds (docs/engine.md). Copies take at most `max_memory` bytes; None
        means twice the largest state saved so far. When earlier saves have not left enough,
        `on_busy` says what to do: "wait", "skip" the save, or "error" (raises Busy).

        With the engine "agent" and several ranks, each save is copied, once it is durable, to the
        memory of the agents of `replicas` other machines, from where restore() brings it back when
        a machine's disk is lost. A rank that does not answer for `replica_timeout` seconds is
        taken for gone, which ends this with a warning; nor does close() wait longer for any.

        Each durable save then removes the steps that neither `keep_last` (how many of the newest)
        nor `keep_every` (multiples of it) keeps, and drops the optimizer state of steps more than
        `drop_optimizer_older_than` before the newest. Without any of them all steps stay.

        A run that goes back, to an older step or to the beginning, leaves newer steps behind, with
        a warning: they are neither restored nor counted any more, and stay unless `drop_abandoned`
        (docs/store.md, "Lines of descent").
        """
        require_one_of(bitsnap.PROFILES, profile=profile)
        require_one_of(ENGINES, engine=engine)
        require_one_of(ON_BUSY, on_busy=on_busy)
        require_whole(
            0,
            threads=threads,
            max_memory=max_memory,
            agent_linger=agent_linger,
            replicas=replicas,
            drop_optimizer_older_than=drop_optimizer_older_than,
        )
        require_whole(
            1, keep_last=keep_last, keep_every=keep_every, replica_timeout=replica_timeout
        )
        if replicas and engine != "agent":
            raise ValueError('replicas are held by agents: pass engine="agent"')
        self.store = Store(path, create=True)
        # What was given as `extra` to the save that was last restored.
        self.extra: Any = None
        # The steps that the last restore passed over, newest first, and why.
        self.passed_over: list[PassedOver] = []
        # Where the last restore found it: "memory", "disk" or "partner".
        self.restored_from: str | None = None
        self._places: tuple[Any, Places] | None = None
        self._profile = profile
        self._threads = threads or 0
        self._on_busy = on_busy
        self._retention = Retention(
            self.store,
            keep_last=keep_last,
            keep_every=keep_every,
            drop_optimizer_older_than=drop_optimizer_older_than,
            drop_abandoned=drop_abandoned,
        )
        self._is_partial = False
        self._untold: list[PendingSave] = []  # whose pruning may have failed
        self._line = LineOfDescent(self.store)
        self._replicas = replicas
        self._replica_timeout = replica_timeout
        self._replicator: tuple[Any, Replicator] | None = None
        # What saves have in common; of each optimizer by its name.
        self._packer = Packer()
        self._kept: defaultdict[str, Kept] = defaultdict(Kept)
        self._engine = start_engine(engine, self.store, max_memory, on_busy, agent_linger)

    @property
    def last_durable_step(self) -> int | None:
        """The step that this object saved last, of those that are safely on disk."""
        return self._engine.last_durable_step

    def wait(self) -> None:
        """Waits until all saves are safely on disk, or raises why one is not.

        Ctrl-C ends the waiting; the saves go on.
        """
        self._warn()
        try:
            self._engine.wait()
        finally:
            self._warn()

    def close(self) -> None:
        """Waits likewise, also for replicas, and gives back threads and memory.

        The agent forgets this run; without close() it keeps the newest state for a restart.
        Restoring is still possible.
        """
        self._finish_replicas()
        try:
            self._engine.close()
        finally:
            self._warn()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            self.close()
        else:
            self._finish_replicas()
            self._engine.leave()
            self._warn()

    def prepare(
        self, model: Model | None = None, optimizer: Optimizers | None = None, extra: Any = None
    ) -> None:
        """Gets memory for a copy of this state in the background, before the first save().

        New memory costs several times the copy: without this, the first save() blocks that much
        longer. Call it when all is made or restored, with what save() will be given; of Adam and
        its relatives the state need not be there yet.
        """
        measured = Measured()
        model_state = ModelState(model)
        model_state.save(measured)
        for state in optimizer_states(optimizer, model_state):
            state.measure(measured)
        measured.encode(extra, "extra")
        self._engine.prepare(measured.bytes)

    def save(
        self,
        step: int,
        model: Model | None = None,
        optimizer: Optimizers | None = None,
        extra: Any = None,
        overwrite: bool = False,
    ) -> PendingSave:
        """Saves, and returns as soon as the tensors may change; see PendingSave for the rest.

        A step that exists is replaced only with `overwrite`, or when it is not whole or was passed
        over by the last restore; otherwise it raises AlreadyExists. TypeError names what cannot be
        stored. What an earlier save in the background failed of is raised here, too.

        `extra` may hold tensors, numpy arrays, numbers, strings, bytes, None, objects with
        state_dict() and load_state_dict(), and dicts, lists, tuples and sets of them.
        """
        called = time.perf_counter()
        if step is None:
            raise ValueError("step is None; pass a whole number")
        require_whole(0, step=step)
        self._warn()
        ranks = Ranks()
        if ranks.world_size > 1 and self._on_busy == "skip":
            raise ValueError('on_busy="skip" is for one rank: each would skip other steps')
        places = self._places_of(ranks)
        save_id, lineage = self._line.next(ranks, step, self._is_partial)
        if is_new_run := self._line.is_going_back(lineage):
            self._retention.go_back(step)
        overwrite |= self._retention.replaces(step)
        policy = self._retention.policy(ranks, places)
        options = {"save_id": save_id, "lineage": lineage, **policy}
        if is_new_run and ranks.rank == 0:
            self._line.warn_of_abandoned(lineage, step)
        save = None
        try:
            save = self._save(ranks, options, step, model, optimizer, extra, overwrite)
            if not save.skipped:
                self._retention.saved(save)
                self._untold.append(save)
                self._line.saved(step, save_id, lineage)
        finally:
            self._replicate(ranks, save_id, save)
        save.count_from(called)
        return save

    def _save(
        self,
        ranks: Ranks,
        common: dict[str, Any],
        step: int,
        model: Model | None,
        optimizer: Optimizers | None,
        extra: Any,
        overwrite: bool,
    ) -> PendingSave:
        options = {
            "rank": ranks.rank,
            "world_size": ranks.world_size,
            "profile": self._profile,
            "threads": self._threads,
            **common,
        }
        outgoing = Outgoing()
        model_state = ModelState(model)
        states = optimizer_states(optimizer, model_state)
        options["adam_eps"] = adam_eps(state.optimizer for state in states)
        content = {
            "model": to_json(model_state.save(outgoing)),
            "module_metadata": to_json(model_state.save_metadata(outgoing)),
            "optimizers": object_of(
                {state.name: state.save(outgoing, self._kept[state.name]) for state in states}
            ),
            "extra": to_json(outgoing.encode(extra, "extra")),
        }
        options["metadata"] = content_to_json(content)
        tensors = self._packer.pack(outgoing)
        try:
            return self._engine.save(tensors, step, overwrite=overwrite, **options)
        except (bitsnap.AlreadyExists, bitsnap.InvalidArgument):
            if overwrite or not self._is_useless(step):
                raise
        return self._engine.save(tensors, step, overwrite=True, **options)

    def _replicate(self, ranks: Ranks, save_id: int, save: PendingSave | None) -> None:
        if not self._replicas or ranks.world_size == 1:
            return
        if self._replicator is None or self._replicator[0] is not ranks.world:
            places = self._places_of(ranks)
            replicator = Replicator(
                ranks, places, self.store, self._engine, self._replicas, self._replica_timeout
            )
            self._replicator = (ranks.world, replicator)
        self._replicator[1].add(save_id, save)

    def _finish_replicas(self) -> None:
        if self._replicator is not None:
            self._replicator[1].close()
            self._warn()

    def _warn(self) -> None:
        """Tells what went wrong in the background since the last call."""
        messages = [save.take_warning() for save in self._untold]
        self._untold = [save for save in self._untold if not save.done()]
        if self._replicator:
            messages += [f"bitsnap: {each}" for each in self._replicator[1].take_warnings()]
        for message in filter(None, messages):
            warnings.warn(message, RuntimeWarning, stacklevel=3)

    def _is_useless(self, step: int) -> bool:
        """Whether nobody can restore what the store holds of this step."""
        self._engine.wait()  # it may be under way
        passed_over = any(passed.step == step for passed in self.passed_over)
        return passed_over or any(s.step == step and not s.whole for s in self.store.list())

    def restore(
        self,
        model: Model | None = None,
        optimizer: Optimizers | None = None,
        extra: Any = None,
        step: int | None = None,
        strict: bool = True,
        from_rank: int | None = None,
    ) -> int | None:
        """Restores the newest step that all ranks can read, or `step`, in place, and returns it.

        Where all ranks' agents have the newest step in memory it comes from there. Otherwise saves
        under way are waited for first; one that fails is a warning here.

        None when nothing was ever saved completely. ValueError, before anything is changed, when
        the names (unless not `strict`), shapes or dtypes differ from what is stored.

        Each rank restores what the same rank saved, and there must be as many as saved. With
        `from_rank` it restores that rank's part, however many there are now; all ranks must then
        pass one, the same or different ones.

        What was saved as `extra` is in `self.extra` afterwards. Objects with load_state_dict() in
        `extra` are loaded from what was saved at their place.
        """
        self._warn()
        self.passed_over, self.restored_from = [], None
        require_whole(0, step=step, from_rank=from_rank)
        ranks = Ranks()
        if not self._is_in_memory(ranks, step, from_rank):
            self._wait_for_pending()
            ranks.gather(None)  # the others' saves, too
        model_state = ModelState(model)
        optimizers = optimizer_states(optimizer, model_state)

        used = None

        def use(snapshot: Snapshot) -> None:
            nonlocal used
            used = StepOrigin(snapshot.step, snapshot.save_id, snapshot.lineage)
            self.extra = load(snapshot, model_state, optimizers, extra, strict, self._threads)

        places = self._places_of(ranks)
        agreement = Agreement(
            ranks, places, self.store, self._engine, from_rank, self._is_partial
        )
        self.passed_over = agreement.passed_over
        try:
            if step is None:
                step = agreement.restore_newest(use)
            else:
                agreement.restore(step, use)
        finally:
            for passed in self.passed_over:
                message = f"bitsnap passed over step {passed.step}: {passed.error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
            self._retention.passed_over({passed.step for passed in self.passed_over})
        self.restored_from = agreement.restored_from
        if step is not None:
            self._line.restored(used, bool(self.passed_over))
            self._retention.restored(step, self.restored_from in ("disk", "partner"))
        return step

    def _places_of(self, ranks: Ranks) -> Places:
        """Asked of the other ranks once for each default group."""
        if self._places is None or self._places[0] is not ranks.world:
            places = find_places(ranks, self.store.directory)
            self._is_partial = mark_partial(ranks, places, self.store.directory)
            self._places = (ranks.world, places)
        return self._places[1]

    def _is_in_memory(self, ranks: Ranks, step: int | None, from_rank: int | None) -> bool:
        """Whether all agents have the same save, that of `step` if given. The same on all ranks."""
        newest, save = newest_in_memory(self._engine), None
        if newest is not None and step in (None, newest.step) and from_rank is None:
            save = (newest.step, newest.world_size, newest.save_id)
        saves = set(ranks.gather(save))
        return len(saves) == 1 and None not in saves

    def _wait_for_pending(self) -> None:
        try:
            self.wait()
        except bitsnap.BitSnapError as error:
            warnings.warn(f"bitsnap: {error}", RuntimeWarning, stacklevel=3)
