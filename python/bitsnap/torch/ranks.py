"""What the ranks of torch.distributed must agree on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

import bitsnap


class Ranks:
    """The processes of the default group, or this one alone."""

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.world_size = dist.get_world_size() if together else 1

    def new_save_id(self) -> int:
        """A random number, the same on all ranks."""
        numbers = [secrets.randbits(64)]
        if self.world_size > 1:
            dist.broadcast_object_list(numbers, src=0)
        return numbers[0]

    def gather(self, value: Any) -> list[Any]:
        """`value` of each rank, on every rank."""
        gathered = [value]
        if self.world_size > 1:
            gathered = [None] * self.world_size
            dist.all_gather_object(gathered, value)
        return gathered

    def restore_newest(
        self,
        store: bitsnap.Store,
        use: Callable[[bitsnap.Snapshot], None],
        passed_over: list[bitsnap.PassedOver],
    ) -> int:
        """Store.restore_newest(), of the newest step that all ranks can use."""
        if self.world_size == 1:
            return store.restore_newest(use, passed_over=passed_over)
        steps = store.list()
        whole = {step.step for step in steps if step.whole}
        failures = {s.step: _why_not(store, s.step, self.rank) for s in steps if not s.whole}
        step = None
        while step is None and (common := set.intersection(*self.gather(whole))):
            newest = max(common)
            failure = self._use(store, newest, use)
            if failure is None:
                step = newest
            else:
                failures[newest] = failure
                whole.remove(newest)
        for failed in sorted(failures, reverse=True):
            if step is None or failed > step:
                passed_over.append(bitsnap.PassedOver(failed, failures[failed]))
        if step is None:
            raise bitsnap.NotFound(f"{store.directory}: holds no step that all ranks can read")
        return step

    def _use(
        self, store: bitsnap.Store, step: int, use: Callable[[bitsnap.Snapshot], None]
    ) -> bitsnap.BitSnapError | None:
        """Why some rank cannot read the step; None when all have used it."""
        error = None
        try:
            use(store.open_step(step, self.rank))
        except Exception as raised:
            error = raised
        on_disk = isinstance(error, _ON_DISK)
        outcomes = self.gather(None if error is None else (on_disk, str(error)))
        if error is not None and not on_disk:
            raise error
        failed = {rank: outcome for rank, outcome in enumerate(outcomes) if outcome}
        for rank, (is_on_disk, message) in failed.items():
            if not is_on_disk:
                raise RuntimeError(f"rank {rank} could not restore step {step}: {message}")
        if error is not None or not failed:
            return error
        rank, (_, message) = next(iter(failed.items()))
        return bitsnap.Corrupt(f"rank {rank} cannot read it: {message}")


# What an older step may not suffer from.
_ON_DISK = (
    bitsnap.NotFound,
    bitsnap.Corrupt,
    bitsnap.NewerVersion,
    bitsnap.MissingBase,
    bitsnap.IoFailed,
)


def _why_not(store: bitsnap.Store, step: int, rank: int) -> bitsnap.BitSnapError:
    try:
        store.open_step(step, rank)
    except bitsnap.BitSnapError as error:
        return error
    return bitsnap.NotFound(f"step {step} was not whole when first looked at")
