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
        broken = {step.step: step.why_not for step in steps if not step.whole}
        while common := set.intersection(*self.gather(whole)):
            step = max(common)
            failure = self._try(store, step, use)
            failures = self.gather(failure and f"rank {self.rank}: {failure}")
            reasons = [reason for reason in failures if reason]
            if not reasons:
                _pass_over(passed_over, {k: v for k, v in broken.items() if k > step})
                return step
            broken[step] = "; ".join(reasons)
            whole.discard(step)
        _pass_over(passed_over, broken)
        raise bitsnap.NotFound(f"{store.directory}: no step that all ranks can read")
