"""Tensors on their way out of a snapshot."""

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


class Incoming:
    """Plans which stored tensor goes where, then reads all of them at once."""

    def __init__(self, snapshot: bitsnap.Snapshot) -> None:
        self.step = snapshot.step
        self.stored = {tensor.name: tensor for tensor in snapshot.tensors}
        self.targets: dict[str, torch.Tensor] = {}
        self._snapshot = snapshot
        self._problems: list[str] = []
        self._is_advised = True  # strict=False, which leaves out all problems so far

    def add_problem(self, problem: str, only_strict: bool = False) -> None:
        """Tells what keeps this step from being restored: with `only_strict`, just if strict."""
        self._problems.append(problem)
        self._is_advised &= only_strict

    def into(self, name: str, tensor: torch.Tensor) -> None:
        """Plans to read `name` into `tensor`; a mismatch becomes a problem."""
        require_plain(name, tensor)
        if self.fits(name, tensor):
            self.targets[name] = tensor
            return
        stored = self.stored[name]
        dtype, shape = form_of(tensor)
        self.add_problem(
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
        if self._problems:
            lines = "\n  ".join(self._problems)
            advice = ", or strict=False to leave out what only one side has"
            raise ValueError(
                f"step {self.step} does not fit what it is to be restored into; nothing was "
                f"changed:\n  {lines}\nPass the model and optimizer of the run that saved it"
                f"{advice if self._is_advised else ''}."
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


def compare_names(incoming: Incoming, stored: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether both sides have the same; names that only one has are problems."""
    stored, wanted = set(stored), set(wanted)
    for name in sorted(wanted - stored):
        incoming.add_problem(f"{name}: wanted, but not stored", only_strict=True)
    for name in sorted(stored - wanted):
        incoming.add_problem(f"{name}: stored, but not wanted", only_strict=True)
    return stored == wanted
