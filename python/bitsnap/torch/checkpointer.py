"""Saves and restores the whole state of a training run."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import bitsnap
from bitsnap import PassedOver, SaveReport, Snapshot, Store
from bitsnap.torch.models import Model, ModelState
from bitsnap.torch.optimizers import Optimizers, OptimizerState, optimizer_states
from bitsnap.torch.ranks import Ranks
from bitsnap.torch.transfer import Incoming, Outgoing, compare_names
from bitsnap.torch.values import has_state

_FORMAT = "bitsnap.torch"
_VERSION = 1


class Checkpointer:
    """Saves and restores models, optimizers and whatever else a run needs, in one directory.

    Where torch.distributed is initialised, each rank saves and restores its own part, and a step
    counts only when all ranks have saved it.
    """

    def __init__(
        self, path: str | os.PathLike[str], profile: str = "exact", threads: int | None = None
    ) -> None:
        """`threads` None means one for each core this process may use."""
        if profile not in bitsnap.PROFILES:
            raise ValueError(f"unknown profile {profile!r}; use {', '.join(bitsnap.PROFILES)}")
        self.store = Store(path, create=True)
        # What was given as `extra` to the save that was last restored.
        self.extra: Any = None
        # The steps that the last restore passed over, newest first, and why.
        self.passed_over: list[PassedOver] = []
        self._profile = profile
        self._threads = threads or 0

    def save(
        self,
        step: int,
        model: Model | None = None,
        optimizer: Optimizers | None = None,
        extra: Any = None,
        overwrite: bool = False,
    ) -> SaveReport:
        """Saves and returns when all is safely on disk.

        A step that exists is replaced only with `overwrite`, or when it is not whole or was passed
        over by the last restore.

        `extra` may hold tensors, numpy arrays, numbers, strings, bytes, None, objects with
        state_dict() and load_state_dict(), and dicts, lists, tuples and sets of them.
        """
        ranks = Ranks()
        options = {
            "rank": ranks.rank,
            "world_size": ranks.world_size,
            "save_id": ranks.new_save_id(),
            "profile": self._profile,
            "threads": self._threads,
        }
        outgoing = Outgoing()
        model_state = ModelState(model)
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": model_state.save(outgoing),
            "optimizers": {
                state.name: state.save(outgoing)
                for state in optimizer_states(optimizer, model_state)
            },
            "extra": outgoing.encode(extra, "extra"),
        }
        options["metadata"] = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        try:
            return self.store.save(outgoing.tensors, step, overwrite=overwrite, **options)
        except (bitsnap.AlreadyExists, bitsnap.InvalidArgument):
            if overwrite or not self._is_useless(step):
                raise
        return self.store.save(outgoing.tensors, step, overwrite=True, **options)

    def _is_useless(self, step: int) -> bool:
        """Whether nobody can restore what the store holds of this step."""
        passed_over = any(passed.step == step for passed in self.passed_over)
        return passed_over or any(s.step == step and not s.whole for s in self.store.list())

    def restore(
        self,
        model: Model | None = None,
        optimizer: Optimizers | None = None,
        extra: Any = None,
        step: int | None = None,
        strict: bool = True,
    ) -> int | None:
        """Restores the newest step that can be read, or `step`, in place, and returns its number.

        None when nothing was ever saved completely. ValueError, before anything is changed, when
        the names (unless not `strict`), shapes or dtypes differ from what is stored.

        What was saved as `extra` is in `self.extra` afterwards. Objects with load_state_dict() in
        `extra` are loaded from what was saved at their place.
        """
        self.passed_over = []
        ranks = Ranks()
        model_state = ModelState(model)
        optimizers = optimizer_states(optimizer, model_state)

        def use(snapshot: Snapshot) -> None:
            self._load(snapshot, ranks, model_state, optimizers, extra, strict)

        if step is not None:
            use(self.store.open_step(step, ranks.rank))
            return step
        try:
            return ranks.restore_newest(self.store, use, self.passed_over)
        except bitsnap.BitSnapError:
            if not all(isinstance(p.error, bitsnap.NotFound) for p in self.passed_over):
                raise
            return None  # nothing there, or only steps that not all ranks came to save
        finally:
            for passed in self.passed_over:
                message = f"bitsnap passed over step {passed.step}: {passed.error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _load(
        self,
        snapshot: Snapshot,
        ranks: Ranks,
        model: ModelState,
        optimizers: list[OptimizerState],
        extra: Any,
        strict: bool,
    ) -> None:
        content = _content_of(snapshot, ranks)
        incoming = Incoming(snapshot)
        if model.wanted:
            model.plan(incoming, content["model"], strict)
        if optimizers and strict:
            names = (content["optimizers"], [state.name for state in optimizers])
            compare_names(incoming, *([f"optimizer.{name}" for name in side] for side in names))
        optimizers = [state for state in optimizers if state.name in content["optimizers"]]
        for state in optimizers:
            state.plan(incoming, content["optimizers"][state.name], strict)
        incoming.new_for(content["extra"])
        # Its tensors are filled by read().
        stored_extra = incoming.decode(content["extra"])
        loads = list(_loads(incoming, extra, stored_extra, "extra"))

        incoming.read(self._threads)
        if model.wanted:
            model.finish(incoming, content["model"])
        for state in optimizers:
            state.finish(incoming, content["optimizers"][state.name])
        for stateful, value in loads:
            stateful.load_state_dict(value)
        self.extra = stored_extra


def _content_of(snapshot: Snapshot, ranks: Ranks) -> dict[str, Any]:
    if snapshot.world_size != ranks.world_size:
        raise ValueError(
            f"step {snapshot.step} was saved by {snapshot.world_size} rank(s) and this run has "
            f"{ranks.world_size}; run with as many ranks as saved it"
        )
    try:
        content = json.loads(snapshot.metadata)
        version = content["version"] if content["format"] == _FORMAT else None
    except (ValueError, TypeError, KeyError):
        version = None
    if version is None:
        raise ValueError(
            f"step {snapshot.step} was not saved by bitsnap.torch; read it with bitsnap.Store"
        )
    if version != _VERSION:
        raise bitsnap.NewerVersion(
            f"step {snapshot.step} was saved by a newer bitsnap.torch (format {version}); update "
            "bitsnap to read it"
        )
    return content


_NOTHING = object()


def _loads(
    incoming: Incoming, wanted: Any, stored: Any, path: str
) -> Iterator[tuple[Any, Any]]:
    """The objects in `wanted` that load a state, each with what is stored for it."""
    if isinstance(wanted, Mapping) and not has_state(wanted):
        children = list(wanted.items())
    elif isinstance(wanted, (list, tuple)):
        children = list(enumerate(wanted))
    elif not has_state(wanted):
        return
    elif stored is _NOTHING:
        incoming.problems.append(f"{path}: wanted, but not stored")
        return
    else:
        yield wanted, stored
        return
    for key, child in children:
        yield from _loads(incoming, child, _child(stored, key), f"{path}.{key}")


def _child(stored: Any, key: Any) -> Any:
    try:
        return stored[key]
    except (TypeError, KeyError, IndexError):
        return _NOTHING
