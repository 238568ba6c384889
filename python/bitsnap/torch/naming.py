"""Which parameter of the model an optimizer's parameter belongs to."""

from __future__ import annotations

from collections import defaultdict, deque
from functools import cached_property
from typing import Any

import torch

from bitsnap.torch.models import ModelState
from bitsnap.torch.tensors import identity


class ParameterNamer:
    """Finds the parameter of the model that an optimizer's is, or is the master copy of."""

    def __init__(self, model: ModelState) -> None:
        self.has_model = bool(model.parameters)
        self._parameters = model.parameters
        # Nearly always the very objects; there may be many, and looking at memory takes longer.
        self._names_by_id = {id(p): name for name, p in model.parameters.items()}
        self._has_master: set[str] = set()  # or is the optimizer's own parameter

    @cached_property
    def _names_by_memory(self) -> dict[Any, str]:
        return {identity(p): name for name, p in self._parameters.items()}

    @cached_property
    def _names_by_shape(self) -> dict[torch.Size, deque[str]]:
        """In the model's order."""
        names: dict[torch.Size, deque[str]] = defaultdict(deque)
        for name, parameter in self._parameters.items():
            names[parameter.shape].append(name)
        return names

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The name under which the model holds this very parameter."""
        name = self._find(parameter)
        if name is not None:
            self._has_master.add(name)
        return name

    def _find(self, parameter: torch.Tensor) -> str | None:
        name = self._names_by_id.get(id(parameter))
        return self._names_by_memory.get(identity(parameter)) if name is None else name

    def claim_like(self, parameter: torch.Tensor) -> str | None:
        """The first of the model's parameters of this shape that no optimizer has claimed yet."""
        names = self._names_by_shape.get(parameter.shape, ())
        while names:
            name = names.popleft()
            if name not in self._has_master:
                return name
        return None

    def new_name(self, name: str) -> str:
        """`name`, or one like it that is none of the model's."""
        while name in self._parameters:
            name += "~"
        return name

    def describe(self, parameter: torch.Tensor) -> str:
        """Tells a reader which one it is."""
        name = self._find(parameter)
        named = f"the parameter {name!r}" if name else "a parameter that is not the model's"
        return f"{named} of shape {list(parameter.shape)}"
