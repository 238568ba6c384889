"""Modules and optimizers that do something when they load a state, and how they get theirs."""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.optim import Optimizer

from bitsnap.torch.tensors import bytes_of, identity
from bitsnap.torch.transfer import Incoming

_EXTRA_STATE = "_extra_state"

# These change nothing of a state that fits.
_PLAIN_LOADS = {
    kind._load_from_state_dict for kind in (torch.nn.Module, _NormBase, _InstanceNorm)
}


def _is_plain(method: Any, plain: Iterable[Any]) -> bool:
    return getattr(method, "__func__", None) in plain


def _changes_states(module: torch.nn.Module, is_root: bool) -> bool:
    """Whether it may take states of other names and shapes than its own."""
    own = is_root and not _is_plain(module.load_state_dict, {torch.nn.Module.load_state_dict})
    return bool(
        own
        or module._load_state_dict_pre_hooks
        or not _is_plain(module._load_from_state_dict, _PLAIN_LOADS)
    )


class ModuleLoading:
    """How what is stored of one module gets into it: in place, or by its load_state_dict().

    What modules with hooks or a loading of their own are made of is read beside them, and all of it
    is handed to the load_state_dict() of the whole.
    """

    def __init__(
        self,
        prefix: str,
        module: torch.nn.Module,
        wanted: Iterable[str],
        metadata: Mapping[str, Any],
    ) -> None:
        """`wanted` are the names in its state_dict(), behind `prefix`; `metadata` is by paths."""
        self._prefix = prefix
        self._wanted = wanted
        self._module = module
        self._metadata = metadata
        self._modules = {
            f"{prefix}{path}." if path else prefix: each
            for path, each in module.named_modules(remove_duplicate=False)
        }
        self._changing = {
            path for path, each in self._modules.items() if _changes_states(each, path == prefix)
        }
        hooked = {path for path, m in self._modules.items() if m._load_state_dict_post_hooks}
        self._own = self._changing | hooked
        members = (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
        self._members = {prefix + name: tensor for name, tensor in members}
        self._state: dict[str, torch.Tensor | None] = {}  # by name; None: read beside it

    def may_change(self, name: str) -> bool:
        """Whether the module may take `name` though it has none such, or of another shape."""
        return name.startswith(self._prefix) and self._is_under(self._changing, name)

    def _is_under(self, paths: set[str], name: str) -> bool:
        if not paths:
            return False
        dots = (i for i, letter in enumerate(name) if letter == "." and i >= len(self._prefix))
        return self._prefix in paths or any(name[: dot + 1] in paths for dot in dots)

    def loads(self, name: str) -> bool:
        """Whether anything in the module takes what its state_dict() holds under `name`."""
        if name in self._members or self._is_under(self._own, name):
            return True
        owner = self._modules.get(name.removesuffix(_EXTRA_STATE))
        plain = torch.nn.Module.set_extra_state
        return owner is not None and type(owner).set_extra_state is not plain

    def plan(self, incoming: Incoming, name: str, live: torch.Tensor) -> None:
        """Of a tensor that is stored and in the module's state_dict()."""
        member = self._members.get(name)
        is_own = self._is_under(self._own, name)
        if not is_own and member is not None and identity(member) == identity(live):
            incoming.into(f"model.{name}", live)
            self._state[name] = member  # copying it into itself does nothing
        else:
            incoming.beside(f"model.{name}", live, self.may_change(name), member)
            self._state[name] = None

    def plan_unknown(self, incoming: Incoming, name: str) -> None:
        """Of a tensor that is only stored; requires may_change(name)."""
        incoming.new_as_stored(f"model.{name}")
        self._state[name] = None

    def finish(self, incoming: Incoming, values: Mapping[str, Any], strict: bool) -> None:
        """`values` are by name, and what is stored besides tensors."""
        state = {
            name: incoming.targets[f"model.{name}"] if tensor is None else tensor
            for name, tensor in self._state.items()
        }
        if not values and None not in self._state.values():
            return
        given = OrderedDict(
            (name.removeprefix(self._prefix), value) for name, value in {**state, **values}.items()
        )
        given._metadata = OrderedDict((path, dict(each)) for path, each in self._metadata.items())
        options = {"strict": False} if _takes_strict(self._module.load_state_dict) else {}
        result = self._module.load_state_dict(given, **options)
        self._tell(result, given.keys(), strict)

    def _tell(self, result: Any, given: Iterable[str], strict: bool) -> None:
        """What loading did not take, or did not fill of what state_dict() has."""
        wanted = {name.removeprefix(self._prefix) for name in self._wanted}
        not_taken = set(getattr(result, "unexpected_keys", ())) & set(given)
        missing = set(getattr(result, "missing_keys", ())) & wanted if strict else set()
        if not not_taken and not missing:
            return
        names = ", ".join(f"model.{self._prefix}{key}" for key in sorted(not_taken | missing))
        kind = type(self._module).__name__
        message = f"{names}: {kind}.load_state_dict() did not take what is stored of it"
        if strict:
            raise ValueError(f"{message}; strict=False lets it be")
        warnings.warn(f"bitsnap: {message}", RuntimeWarning, stacklevel=2)


def _takes_strict(method: Any) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(p.name == "strict" or p.kind is p.VAR_KEYWORD for p in parameters)


def loads_itself(optimizer: Optimizer) -> bool:
    """Whether it has hooks, or a loading of its own."""
    hooks = ("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")
    if any(getattr(optimizer, hook, None) for hook in hooks):
        return True
    return not _is_plain(optimizer.load_state_dict, {Optimizer.load_state_dict})


def load_optimizer(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    """As its load_state_dict(), but that state keeps the dtype it was saved with."""
    optimizer.load_state_dict(state_dict)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, parameter in enumerate(parameters):
        live = optimizer.state.get(parameter, {})
        for key, given in state_dict["state"].get(index, {}).items():
            if _is_cast(live.get(key), given):
                live[key] = given.to(live[key].device)


def _is_cast(live: Any, given: Any) -> bool:
    """Whether torch made `live` of `given` for the parameter's dtype, and nobody changed it."""
    if not isinstance(live, torch.Tensor) or not isinstance(given, torch.Tensor):
        return False
    if live.dtype == given.dtype or live.shape != given.shape:
        return False
    return torch.equal(bytes_of(given.to(live.device, live.dtype)), bytes_of(live))
