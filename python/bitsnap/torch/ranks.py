"""The ranks of torch.distributed, and what they tell each other."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from bitsnap.torch.parts import PART, Content


class Ranks:
    """The processes of the default group, or this one alone.

    All ranks make the same calls in the same order.
    """

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.world_size = dist.get_world_size() if together else 1
        self.world = dist.group.WORLD if together else None  # another object for another world
        self._group = _gloo_group() if self.world_size > 1 else None

    def in_background(self) -> Ranks:
        """The same ranks for another thread: a group of its own, so that calls do not mix."""
        ranks = object.__new__(Ranks)
        ranks.rank, ranks.world_size, ranks.world = self.rank, self.world_size, self.world
        ranks._group = dist.new_group(backend="gloo")
        return ranks

    def new_save_id(self) -> int:
        """A random number, the same on all ranks."""
        numbers = [secrets.randbits(64)]
        if self.world_size > 1:
            dist.broadcast_object_list(numbers, src=0, group=self._group)
        return numbers[0]

    def gather(self, value: Any) -> list[Any]:
        """`value` of each rank, on every rank."""
        gathered = [value]
        if self.world_size > 1:
            gathered = [None] * self.world_size
            dist.all_gather_object(gathered, value, group=self._group)
        return gathered

    def send(self, content: Content, to: int) -> None:
        """Sends bytes to a rank that receives as many."""
        for part in content.parts():
            dist.send(torch.from_numpy(part), to, group=self._group)

    def receive(self, size: int, source: int) -> np.ndarray:
        content, requests = self.start_receiving(size, source)
        for request in requests:
            request.wait()
        return content

    def start_receiving(self, size: int, source: int) -> tuple[np.ndarray, list[dist.Work]]:
        """What will be in the array when all requests are through."""
        content = np.empty(size, np.uint8)
        requests = []
        for first in range(0, size, PART):
            part = torch.from_numpy(content[first : first + PART])
            requests.append(dist.irecv(part, source, group=self._group))
        return content, requests


# The default group, and the one of all its ranks that can send objects and CPU tensors.
_groups: tuple[Any, Any] | None = None


def _gloo_group() -> Any:
    """The default group if it is gloo's, else one of our own, made once. Collective."""
    global _groups
    default = dist.group.WORLD
    if _groups is None or _groups[0] is not default:
        is_gloo = dist.get_backend() == "gloo"
        _groups = (default, default if is_gloo else dist.new_group(backend="gloo"))
    return _groups[1]
