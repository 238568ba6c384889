"""Tensors on their way out of a snapshot."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch

import bitsnap
from bitsnap.torch import values
from bitsnap.torch.overlaps import contradictions, fill, sharing_memory
from bitsnap.torch.tensors import (
    bytes_of,
    dtype_stored_as,
    form,
    form_of,
    is_directly_writable,
    is_like,
    memory_of,
    new_tensor,
    require_plain,
    require_real_tensors,
    shape_from,
)

# How many names a warning lists.
_SHOWN = 20


class Incoming:
    """Plans which stored tensor goes where, then reads all of them at once."""

    def __init__(self, snapshot: bitsnap.Snapshot) -> None:
        require_real_tensors()
        self.step = snapshot.step
        self.stored = {tensor.name: tensor for tensor in snapshot.tensors}
        self.targets: dict[str, torch.Tensor] = {}
        # Where some of them are copied to afterwards, by somebody else.
        self._lands: dict[str, torch.Tensor] = {}
        self._snapshot = snapshot
        self._problems: list[str] = []
        self._is_advised = True  # strict=False, which leaves out all problems so far
        self._left_out: list[str] = []

    def add_problem(self, problem: str, only_strict: bool = False) -> None:
        """Tells what keeps this step from being restored: with `only_strict`, just if strict."""
        self._problems.append(problem)
        self._is_advised &= only_strict

    def leave_out(self, wanted: Iterable[str]) -> None:
        """Warns, once all is checked, of what was passed and stays as it is."""
        self._left_out += sorted(wanted)

    def into(self, name: str, tensor: torch.Tensor) -> None:
        """Plans to read `name` into `tensor`; a mismatch becomes a problem."""
        require_plain(name, tensor)
        if self.is_fit(name, tensor):
            self.targets[name] = tensor

    def is_fit(self, name: str, tensor: torch.Tensor) -> bool:
        """As fits(), and a mismatch becomes a problem."""
        if self.fits(name, tensor):
            return True
        stored = self.stored[name]
        dtype, shape = form_of(tensor)
        self.add_problem(
            f"{name}: stored {stored.dtype} {list(stored.shape)}, wanted {dtype} {list(shape)}"
        )
        return False

    def fits(self, name: str, tensor: torch.Tensor) -> bool:
        stored = self.stored[name]
        return form_of(tensor) == (stored.dtype, tuple(stored.shape))

    def new(self, name: str, dtype: torch.dtype, device: Any = "cpu") -> torch.Tensor:
        """Plans to read `name` into a new tensor."""
        shape = shape_from(self.stored[name].shape, dtype)
        self.into(name, new_tensor(shape, dtype, device))
        return self.targets[name]

    def beside(
        self, name: str, live: torch.Tensor, may_resize: bool, member: torch.Tensor | None
    ) -> None:
        """Plans to read `name` into a new tensor, which somebody else then copies into `live`.

        With `may_resize` that one takes any shape. `live` may be another view of `member`, which
        tells what lies in the same memory where there are no addresses.
        """
        is_lazy = torch.nn.parameter.is_lazy(live)
        if not is_lazy:
            require_plain(name, live)
        dtype, _ = form((), live.dtype)
        is_other_shape = is_lazy or not self.fits(name, live)
        if may_resize and is_other_shape and dtype == self.stored[name].dtype:
            self.new(name, live.dtype)
        elif is_lazy:
            self.add_problem(f"{name}: stored {self.stored[name].dtype}, wanted {dtype}")
        elif self.is_fit(name, live):
            is_told = memory_of(live) is not None or member is None or not is_like(member, live)
            self._lands[name] = live if is_told else member
            self.targets[name] = new_tensor(live.shape, live.dtype)

    def new_as_stored(self, name: str) -> None:
        """Plans to read `name`, which nothing here is like, into a new tensor."""
        stored = self.stored[name]
        dtype = dtype_stored_as(stored.dtype)
        if dtype is None:
            self.add_problem(f"{name}: stored {stored.dtype}, and nothing here has this name")
        else:
            self.new(name, dtype)

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

    def _warn_of_left_out(self) -> None:
        if self._left_out:
            shown, more = self._left_out[:_SHOWN], len(self._left_out) - _SHOWN
            names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
            warnings.warn(
                f"bitsnap: step {self.step} has no values for {names}; left as they were",
                RuntimeWarning,
                stacklevel=2,
            )

    @torch.no_grad()
    def read(self, threads: int) -> None:
        """Fills all targets."""
        self.raise_problems()
        values = self._read_what_shares_memory(threads)
        self.raise_problems()
        self._warn_of_left_out()
        written: list[torch.Tensor] = []
        requests = []
        for name, target in self.targets.items():
            if name in values:
                continue
            if is_directly_writable(target):
                memory = target
                written.append(target)
            else:
                memory = values[name] = new_tensor(target.shape, target.dtype)
            requests.append((name, bytes_of(memory)))
        self._snapshot.read_into(requests, threads=threads)
        for name, value in values.items():
            fill(self.targets[name], value)
        # Autograd cannot see what was written to a tensor's memory.
        for tensor in written:
            if not tensor.is_inference():
                torch.autograd.graph.increment_version(tensor)  # torch 2.3 takes no list

    def _read_what_shares_memory(self, threads: int) -> dict[str, torch.Tensor]:
        """The content of targets whose memory is not theirs alone. What it cannot hold of them
        becomes a problem."""
        places = {**self.targets, **self._lands}
        groups = sharing_memory(places)
        values = {n: new_tensor(places[n].shape, places[n].dtype) for g in groups for n in g}
        if values:
            requests = [(name, bytes_of(value)) for name, value in values.items()]
            self._snapshot.read_into(requests, threads=threads)
        for group in groups:
            for one, other in contradictions({name: places[name] for name in group}, values):
                what = (
                    f"{one}: its elements share memory"
                    if one == other
                    else f"{one} and {other}: lie in the same memory (tied, aliased or overlapping)"
                )
                self.add_problem(f"{what}, and what is stored differs; give each its own")
        return values

    def decode(self, encoded: Any) -> Any:
        return values.decode(encoded, self.targets)


def compare_names(
    incoming: Incoming, stored: Iterable[str], wanted: Iterable[str], strict: bool
) -> bool:
    """Whether what both sides have may be restored.

    Names that only one has are problems if strict; otherwise wanted ones are left out.
    """
    stored, wanted = set(stored), set(wanted)
    if not strict:
        incoming.leave_out(wanted - stored)
        return True
    for name in sorted(wanted - stored):
        incoming.add_problem(f"{name}: wanted, but not stored", only_strict=True)
    for name in sorted(stored - wanted):
        incoming.add_problem(f"{name}: stored, but not wanted", only_strict=True)
    return stored == wanted
