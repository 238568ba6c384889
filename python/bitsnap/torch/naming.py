"""Which parameter of the model an optimizer's parameter belongs to."""

from __future__ import annotations

import torch

from bitsnap.torch.models import ModelState
from bitsnap.torch.tensors import identity


class ParameterNamer:
    """Finds the parameter of the model that an optimizer's is, or is the master copy of."""

    def __init__(self, model: ModelState) -> None:
        self.has_model = bool(model.parameters)
        self._names = {identity(p): name for name, p in model.parameters.items()}
        self._without_master = dict(model.parameters)

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The name under which the model holds this very parameter."""
        name = self._names.get(identity(parameter))
        self._without_master.pop(name, None)
        return name

    def claim_like(self, parameter: torch.Tensor) -> str | None:
        """The first of the model's parameters of this shape that no optimizer has claimed yet."""
        for name, candidate in self._without_master.items():
            if candidate.shape == parameter.shape:
                del self._without_master[name]
                return name
        return None
