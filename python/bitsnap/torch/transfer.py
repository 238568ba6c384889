"""Tensors on their way into a snapshot and out of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

import bitsnap
from bitsnap.torch import values
from bitsnap.torch.tensors import (
    bytes_of,
    form_of,
    identity,
    is_directly_writable,
    require_plain,
    shape_from,
)


class Outgoing:
    """Collects what a snapshot will hold."""

    def __init__(self) -> None:
        self.tensors: list[bitsnap.Tensor] = []
        self._names: set[str] = set()

    def add(self, name: str, tensor: torch.Tensor, role: str = "other", group: str = "") -> str:
        """Takes `tensor` under `name`, or one like it where that is taken; returns the name."""
        require_plain(name, tensor)
        unique, copies = name, 1
        while unique in self._names:
            copies += 1
            unique = f"{name}~{copies}"
        self._names.add(unique)
        self._take(unique, tensor, role, group)
        return unique

    def encode(self, value: Any, path: str) -> Any:
        return values.encode(value, path, self.add)

    def _take(self, name: str, tensor: torch.Tensor, role: str, group: str) -> None:
        dtype, shape = form_of(tensor)
        self.tensors.append(bitsnap.Tensor(name, dtype, shape, bytes_of(tensor), role, group))


class Measured(Outgoing):
    """Finds how much memory a copy takes; touches no data."""

    # What Saver.prepare() wants each tensor rounded up to.
    _ALIGNMENT = 64

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._seen: set[Any] = set()

    def expect(self, tensor: torch.Tensor, copies: int) -> None:
        """Counts so many tensors like this one, which are not there yet."""
        size = tensor.numel() * tensor.element_size()
        self.bytes += copies * -(-size // self._ALIGNMENT) * self._ALIGNMENT

    def _take(self, name: str, tensor: torch.Tensor, role: str, group: str) -> None:
        if identity(tensor) not in self._seen:
            self._seen.add(identity(tensor))
            self.expect(tensor, 1)


class Incoming:
    """Plans which stored tensor goes where, then reads all of them at once."""

    def __init__(self, snapshot: bitsnap.Snapshot) -> None:
        self.step = snapshot.step
        self.stored = {tensor.name: tensor for tensor in snapshot.tensors}
        self.problems: list[str] = []
        self.targets: dict[str, torch.Tensor] = {}
        self._snapshot = snapshot

    def into(self, name: str, tensor: torch.Tensor) -> None:
        """Plans to read `name` into `tensor`; a mismatch becomes a problem."""
        require_plain(name, tensor)
        if self.fits(name, tensor):
            self.targets[name] = tensor
            return
        stored = self.stored[name]
        dtype, shape = form_of(tensor)
        self.problems.append(
            f"{name}: stored {stored.dtype} {list(stored.shape)}, wanted {dtype} {list(shape)}"
        )

    def fits(self, name: str, tensor: torch.Tensor) -> bool:
        stored = self.stored[name]
        return form_of(tensor) == (stored.dtype, tuple(stored.shape))

    def new(self, name: str, dtype: torch.dtype, device: Any = None) -> torch.Tensor:
        """Plans to read `name` into a new tensor."""
        shape = shape_from(self.stored[name].shape, dtype)
        self.into(name, torch.empty(shape, dtype=dtype, device=device))
        return self.targets[name]

    def new_for(self, encoded: Any) -> None:
        """Plans to read all tensors that an encoded value refers to."""
        for name, dtype in values.tensor_references(encoded):
            self.new(name, dtype)

    def raise_problems(self) -> None:
        if self.problems:
            lines = "\n  ".join(self.problems)
            raise ValueError(
                f"step {self.step} does not fit what it is to be restored into; nothing was "
                f"changed:\n  {lines}\nPass the model and optimizer of the run that saved it, or "
                "strict=False to leave out what only one side has."
            )

    @torch.no_grad()
    def read(self, threads: int) -> None:
        """Fills all targets. Tied ones are read once, by the name that came first."""
        self.raise_problems()
        distinct: dict[Any, tuple[str, torch.Tensor]] = {}
        for name, target in self.targets.items():
            distinct.setdefault(identity(target), (name, target))
        staged: list[tuple[torch.Tensor, torch.Tensor]] = []
        written: list[torch.Tensor] = []
        requests = []
        for name, target in distinct.values():
            memory = target
            if not is_directly_writable(target):
                memory = torch.empty(target.shape, dtype=target.dtype)
                staged.append((target, memory))
            else:
                written.append(target)
            requests.append((name, bytes_of(memory)))
        self._snapshot.read_into(requests, threads=threads)
        for target, memory in staged:
            target.copy_(memory)
        # Autograd cannot see what was written to a tensor's memory.
        torch.autograd.graph.increment_version(written)

    def decode(self, encoded: Any) -> Any:
        return values.decode(encoded, self.targets)


def compare_names(incoming: Incoming, stored: Iterable[str], wanted: Iterable[str]) -> None:
    """Makes problems of names that only one side has."""
    stored, wanted = list(stored), list(wanted)
    missing = sorted(set(wanted) - set(stored))
    unexpected = sorted(set(stored) - set(wanted))
    incoming.problems += [f"{name}: wanted, but not stored" for name in missing]
    incoming.problems += [f"{name}: stored, but not wanted" for name in unexpected]
