"""The tensors of modules, by their fully qualified names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Set
from functools import cached_property
from typing import Any

import torch

from bitsnap.torch.keys import require_name, wrapper_hint
from bitsnap.torch.loading import ModuleLoading
from bitsnap.torch.outgoing import Outgoing
from bitsnap.torch.transfer import Incoming, compare_names

_PREFIX = "model."

# What torch notes of a module that says nothing else.
_USUAL = {"version": 1}

Model = torch.nn.Module | Mapping[str, "torch.nn.Module | torch.Tensor"]


class ModelState:
    """What is stored of a module, of several in a dict, or of a dict of tensors."""

    def __init__(self, model: Model | None) -> None:
        self.wanted = model is not None
        self.tensors: dict[str, torch.Tensor] = {}  # alias the model's where they can
        self._values: dict[str, Any] = {}  # what modules keep besides tensors
        self._modules: dict[str, torch.nn.Module] = {}  # by the prefix of their names
        self._owners: dict[str, str] = {}  # that prefix, by the names of what modules hold
        self._metadata: dict[str, dict[str, Any]] = {}  # of modules, by prefix and path
        self._loadings: dict[str, ModuleLoading] = {}  # by prefix; set by plan()
        self._parts: dict[str, torch.nn.Module | torch.Tensor] = {}  # all, by prefix or name
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
                self.tensors[name] = self._parts[name] = part
            else:
                raise TypeError(
                    f"model[{name!r}] is a {type(part).__name__}, neither a module nor a tensor; "
                    "pass other values in `extra`"
                )

    def _add_module(self, prefix: str, module: torch.nn.Module) -> None:
        self._modules[prefix] = self._parts[prefix] = module
        state = module.state_dict()
        for path, metadata in getattr(state, "_metadata", {}).items():
            self._metadata[prefix + path] = metadata
        for name, value in state.items():
            name = prefix + require_name(name, "model")
            self._require_new(name)
            is_tensor = isinstance(value, torch.Tensor) and not name.endswith("_extra_state")
            (self.tensors if is_tensor else self._values)[name] = value
            self._owners[name] = prefix

    @cached_property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Those of modules, and all tensors that were passed as they are, in order."""
        parameters: dict[str, torch.Tensor] = {}
        for name, part in self._parts.items():
            if isinstance(part, torch.nn.Module):
                parameters.update({name + own: p for own, p in part.named_parameters()})
            else:
                parameters[name] = part
        return parameters

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

    def save_metadata(self, outgoing: Outgoing) -> dict[str, Any]:
        """What torch notes of modules for their loading, such as their version."""
        return {
            path: outgoing.encode(metadata, f"metadata of module {path}")
            for path, metadata in self._metadata.items()
            if metadata != _USUAL
        }

    def plan(
        self,
        incoming: Incoming,
        stored_values: dict[str, Any],
        stored_metadata: dict[str, Any] | None,
        strict: bool,
    ) -> None:
        """`stored_metadata` is None where save_metadata() was unknown yet."""
        stored = {n.removeprefix(_PREFIX) for n in incoming.stored if n.startswith(_PREFIX)}
        has, wanted = stored | stored_values.keys(), {*self.tensors, *self._values}
        self._find_loadings(incoming, stored_metadata)
        # Names that only one side has, by the loading that may take them or make them up.
        left = {n: loading for n in has ^ wanted if (loading := self._loading_of(n)) is not None}
        self._compare(incoming, has, wanted, left.keys(), strict)
        stored -= self._refuse_unloaded(incoming, has & wanted & self._owners.keys(), strict)
        for name, tensor in self.tensors.items():
            if name in stored and name in self._owners:
                self._loadings[self._owners[name]].plan(incoming, name, tensor)
            elif name in stored:
                incoming.into(_PREFIX + name, tensor)
        for name in sorted(stored & left.keys()):
            left[name].plan_unknown(incoming, name)
        incoming.new_for(stored_values)

    def _compare(
        self, incoming: Incoming, has: Set[str], wanted: Set[str], left: Set[str], strict: bool
    ) -> None:
        is_strange = bool(has and wanted) and not has & wanted and not left
        hint = wrapper_hint(has, wanted) if strict or is_strange else None
        if hint or is_strange:
            incoming.add_problem(f"model: {hint or 'nothing of what was passed is stored'}")
        sides = ([_PREFIX + name for name in side - left] for side in (has, wanted))
        compare_names(incoming, *sides, strict)

    def _refuse_unloaded(self, incoming: Incoming, names: Set[str], strict: bool) -> set[str]:
        """Those of `names`, which modules hold, that nothing in them loads."""
        unloaded = {name for name in names if not self._loadings[self._owners[name]].loads(name)}
        for name in sorted(unloaded):
            what = f"{_PREFIX}{name}: is in the module's state_dict(), and nothing in it loads it"
            if strict:
                incoming.add_problem(what, only_strict=True)
            else:
                warnings.warn(f"bitsnap: {what}; left out", RuntimeWarning, stacklevel=2)
        return unloaded

    def _find_loadings(self, incoming: Incoming, stored: dict[str, Any] | None) -> None:
        metadata = self._metadata
        if stored is not None:
            incoming.new_for(stored)
            decoded = {path: incoming.decode(each) for path, each in stored.items()}
            metadata = {**dict.fromkeys(metadata, _USUAL), **decoded}
        for prefix, module in self._modules.items():
            wanted = [name for name, owner in self._owners.items() if owner == prefix]
            own = {p.removeprefix(prefix): m for p, m in metadata.items() if p.startswith(prefix)}
            self._loadings[prefix] = ModuleLoading(prefix, module, wanted, own)

    def _loading_of(self, name: str) -> ModuleLoading | None:
        """Whose loading may take or make up a name that only one side has."""
        return next((each for each in self._loadings.values() if each.may_change(name)), None)

    def finish(self, incoming: Incoming, stored_values: dict[str, Any], strict: bool) -> None:
        """Lets modules load what could not be read in place, or what they load in their own way."""
        for prefix, loading in self._loadings.items():
            own = [name for name in stored_values if self._takes(prefix, name)]
            values = {name: incoming.decode(stored_values[name]) for name in own}
            loading.finish(incoming, values, strict)

    def _takes(self, prefix: str, name: str) -> bool:
        """Whether the module at `prefix` loads the value `name`."""
        loading, owner = self._loadings[prefix], self._owners.get(name)
        if owner is None:
            return loading.may_change(name)
        return owner == prefix and loading.loads(name)
