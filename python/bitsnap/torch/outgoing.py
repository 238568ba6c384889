"""Tensors on their way into a snapshot."""

from __future__ import annotations

from array import array
from collections import Counter
from operator import attrgetter, eq
from typing import Any

import torch

import bitsnap
from bitsnap._native import Layout, PlacedTensors
from bitsnap.torch import values
from bitsnap.torch.keys import is_utf8, label
from bitsnap.torch.tensors import (
    form,
    identity,
    plain_of,
    require_plain,
    require_real_tensors,
)


class Outgoing:
    """Collects what a snapshot will hold."""

    def __init__(self) -> None:
        require_real_tensors()
        self.names: list[str] = []
        self.tensors: list[torch.Tensor] = []
        self.roles: list[str] = []
        self.groups: list[str] = []
        self._taken: set[str] = set()
        self._copies: Counter[str] = Counter()

    def add(self, name: str, tensor: torch.Tensor, role: str = "other", group: str = "") -> str:
        """Takes `tensor` under `name`, or one like it where that is taken; returns the name."""
        unique = name = label(name)
        while unique in self._taken:
            self._copies[name] += 1
            unique = f"{name}~{self._copies[name] + 1}"
        self._take(unique, tensor, role, group)
        return unique

    def add_if_free(self, name: str, tensor: torch.Tensor, role: str, group: str) -> bool:
        """Takes `tensor` under a name that add() returned before, unless it is taken."""
        if name in self._taken:
            return False
        self._take(name, tensor, role, group)
        return True

    def add_named(self, name: str, tensor: torch.Tensor, role: str, group: str) -> None:
        """Takes `tensor` under `name`, by which it will be looked for, or raises TypeError."""
        if not is_utf8(name):
            raise TypeError(f"the tensor's name {name!r} is not valid UTF-8; rename it")
        if name in self._taken:
            raise TypeError(
                f"two tensors have the name {name!r}, once keys are joined by dots; rename one"
            )
        self._take(name, tensor, role, group)

    def encode(self, value: Any, path: str) -> Any:
        return values.encode(value, path, self.add)

    def _take(self, name: str, tensor: torch.Tensor, role: str, group: str) -> None:
        self._taken.add(name)
        self.names.append(name)
        self.tensors.append(tensor)
        self.roles.append(role)
        self.groups.append(group)


class Packer:
    """Makes what engines take of what Outgoing collected.

    Keeps what saves have in common, since it costs more than a copy of many small tensors.
    """

    def __init__(self) -> None:
        self._names: tuple[list[str], ...] = ()
        self._forms: tuple[list[Any], ...] = ()
        self._layout = Layout([])

    def pack(self, outgoing: Outgoing) -> PlacedTensors:
        """TypeError names the tensors that cannot be stored."""
        plain = list(map(plain_of, outgoing.names, outgoing.tensors))
        names = (outgoing.names, outgoing.roles, outgoing.groups)
        if names != self._names or not self._have_same_forms(plain):
            self._names, self._forms = names, tuple([f(t) for t in plain] for f in _FORM)
            self._layout = Layout(map(_described, *self._names, *self._forms))
        addresses = array("Q", map(torch.Tensor.data_ptr, plain))
        return PlacedTensors(self._layout, addresses, plain)

    def _have_same_forms(self, tensors: list[torch.Tensor]) -> bool:
        """Keeps none of the shapes: so many objects would set off the garbage collector."""
        return all(all(map(eq, map(f, tensors), kept)) for f, kept in zip(_FORM, self._forms))


_FORM = (attrgetter("shape"), attrgetter("dtype"))


def _described(
    name: str, role: str, group: str, shape: torch.Size, dtype: torch.dtype
) -> bitsnap.Tensor:
    return bitsnap.Tensor(name, *form(shape, dtype), None, role, group)


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
        require_plain(name, tensor)
        self._taken.add(name)
        if identity(tensor) not in self._seen:
            self._seen.add(identity(tensor))
            self.expect(tensor, 1)
