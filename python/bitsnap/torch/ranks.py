"""The ranks of torch.distributed, and what they tell each other."""

from __future__ import annotations

import contextlib
import pickle
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from bitsnap.torch.parts import PART, Content


_SIZE = struct.Struct("<q")


class RankGone(RuntimeError):
    """A rank does not answer in time, or its connection is lost."""


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

    def in_background(self, timeout: float) -> Ranks:
        """The same ranks for another thread: a group of its own, so that calls do not mix.

        No call of it waits longer than `timeout` seconds for any one rank.
        """
        ranks = object.__new__(Ranks)
        ranks.rank, ranks.world_size, ranks.world = self.rank, self.world_size, self.world
        ranks._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
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

    def tell_each(self, value: Any) -> list[Any]:
        """As gather(), but each tells each other, so that RankGone names who does not answer."""
        mine = bytearray(pickle.dumps(value))
        others = [rank for rank in range(self.world_size) if rank != self.rank]
        sizes = {rank: bytearray(_SIZE.size) for rank in others}
        self._swap(bytearray(_SIZE.pack(len(mine))), sizes)
        values = {rank: bytearray(*_SIZE.unpack(size)) for rank, size in sizes.items()}
        self._swap(mine, values)
        told = {rank: pickle.loads(data) for rank, data in values.items()}
        return [value if rank == self.rank else told[rank] for rank in range(self.world_size)]

    def _swap(self, mine: bytearray, theirs: dict[int, bytearray]) -> None:
        """Sends `mine` to all ranks of `theirs` and fills what comes from them. None is empty."""
        works = [(r, dist.irecv(_as_tensor(to), r, self._group)) for r, to in theirs.items()]
        works += [(r, dist.isend(_as_tensor(mine), r, self._group)) for r in theirs]
        for rank, work in works:
            with _asking(rank):
                work.wait()

    def send(self, content: Content, to: int) -> None:
        """Sends bytes to a rank that receives as many."""
        for part in content.parts():
            with _asking(to):
                dist.send(_as_tensor(part), to, group=self._group)

    def receive(self, size: int, source: int) -> bytearray:
        return self.start_receiving(size, source).wait()

    def start_receiving(self, size: int, source: int) -> Receipt:
        content = bytearray(size)
        works = []
        for first in range(0, size, PART):
            part = _as_tensor(memoryview(content)[first : first + PART])
            works.append(dist.irecv(part, source, group=self._group))
        return Receipt(source, content, works)


@dataclass(frozen=True)
class Receipt:
    """Bytes on their way from a rank."""

    _source: int
    _content: bytearray
    _works: list[dist.Work]

    def wait(self) -> bytearray:
        for work in self._works:
            with _asking(self._source):
                work.wait()
        return self._content


def _as_tensor(memory: bytearray | memoryview) -> torch.Tensor:
    """The same memory, which must not be empty."""
    return torch.frombuffer(memory, dtype=torch.uint8)


@contextlib.contextmanager
def _asking(rank: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankGone(f"rank {rank} does not answer: {error}") from error


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
