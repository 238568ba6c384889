"""The tensors of modules, by their fully qualified names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bitsnap.torch.keys import require_name, wrapper_hint
from bitsnap.torch.outgoing import Outgoing
from bitsnap.torch.transfer import Incoming, compare_names

Model = torch.nn.Module | Mapping[str, "torch.nn.Module | torch.Tensor"]


class ModelState:
    """What is stored of a module, of several in a dict, or of a dict of tensors."""

    def __init__(self, model: Model | None) -> None:
        self.wanted = model is not None
        self.tensors: dict[str, torch.Tensor] = {}  # alias the model's where they can
        self.parameters: dict[str, torch.Tensor] = {}
        self._values: dict[str, Any] = {}  # what modules keep besides tensors
        self._modules: dict[str, torch.nn.Module] = {}  # by the prefix of their names
        if isinstance(model, torch.nn.Module):
            self._add_module("", model)
        elif isinstance(model, Mapping):
            self._add_parts(model)
        elif model is not None:
            raise TypeError(
                f"model is a {type(model).__name__}; pass a module, or a dict of modules and "
                "tensors"
            )

    def _add_parts(self, parts: Mapping[str, Any]) -> None:
        for key, part in parts.items():
            name = require_name(key, "model")
            if isinstance(part, torch.nn.Module):
                self._add_module(f"{name}.", part)
            elif isinstance(part, torch.Tensor):
                self._require_new(name)
                self.tensors[name] = self.parameters[name] = part
            else:
                raise TypeError(
                    f"model[{name!r}] is a {type(part).__name__}, neither a module nor a tensor; "
                    "pass other values in `extra`"
                )

    def _add_module(self, prefix: str, module: torch.nn.Module) -> None:
        self._modules[prefix] = module
        for name, parameter in module.named_parameters():
            self.parameters[prefix + name] = parameter
        for name, value in module.state_dict().items():
            name = prefix + require_name(name, "model")
            self._require_new(name)
            is_tensor = isinstance(value, torch.Tensor) and not name.endswith("_extra_state")
            (self.tensors if is_tensor else self._values)[name] = value

    def _require_new(self, name: str) -> None:
        if name in self.tensors or name in self._values:
            raise TypeError(
                f"model holds two tensors named {name!r}, once keys are joined by dots; rename one"
            )

    def save(self, outgoing: Outgoing) -> dict[str, Any]:
        for name, tensor in self.tensors.items():
            role = "weight" if tensor.is_floating_point() else "other"
            outgoing.add_named(f"model.{name}", tensor, role, name)
        return {n: outgoing.encode(v, f"extra_state.{n}") for n, v in self._values.items()}

    def plan(self, incoming: Incoming, stored_values: dict[str, Any], strict: bool) -> None:
        prefix = "model."
        stored = {name[len(prefix) :] for name in incoming.stored if name.startswith(prefix)}
        wanted = {*self.tensors, *self._values}
        has = stored | stored_values.keys()
        is_strange = bool(has and wanted) and not has & wanted
        hint = wrapper_hint(has, wanted) if strict or is_strange else None
        if hint or is_strange:
            incoming.add_problem(f"model: {hint or 'nothing of what was passed is stored'}")
        if strict:
            compare_names(incoming, *([prefix + name for name in side] for side in (has, wanted)))
        for name, tensor in self.tensors.items():
            if name in stored:
                incoming.into(prefix + name, tensor)
        incoming.new_for(stored_values)

    def finish(self, incoming: Incoming, stored_values: dict[str, Any]) -> None:
        """Hands modules what could not be read in place: extra states, and copies of tensors."""
        rest = {n: incoming.decode(v) for n, v in stored_values.items() if n in self._values}
        for prefix, module in self._modules.items():
            own = {n.removeprefix(prefix): v for n, v in rest.items() if n.startswith(prefix)}
            memory = _storages(module)
            for name in module.state_dict():
                tensor = incoming.targets.get(f"model.{prefix}{name}")
                if tensor is not None and tensor.untyped_storage().data_ptr() not in memory:
                    own[name] = tensor
            if own:
                module.load_state_dict(own, strict=False)


def _storages(module: torch.nn.Module) -> set[int]:
    """Where the module's tensors live; a state_dict hook may have copied some from there."""
    tensors = (*module.parameters(), *module.buffers())
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}
