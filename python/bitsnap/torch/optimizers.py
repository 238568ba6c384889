"""The state of torch optimizers, by the names of the parameters that it belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from bitsnap.torch.models import ModelState
from bitsnap.torch.naming import ParameterNamer
from bitsnap.torch.transfer import Incoming, Measured, Outgoing, compare_names
from bitsnap.torch.values import encode, tensor_reference, tensor_references

Optimizers = Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer]

# Adam's names for its moments, the same in all of its relatives.
_ROLES = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}

_ADAM_EPS = 1e-8  # torch's default


def optimizer_states(optimizers: Optimizers | None, model: ModelState) -> list[OptimizerState]:
    """One for each, by the key or the position under which it was passed; "" for one alone."""
    if optimizers is None:
        return []
    if isinstance(optimizers, Optimizer):
        named: Iterable[tuple[str, Any]] = [("", optimizers)]
    elif isinstance(optimizers, Mapping):
        named = optimizers.items()
    elif isinstance(optimizers, Iterable):
        named = ((str(i), optimizer) for i, optimizer in enumerate(optimizers))
    else:
        named = [("", optimizers)]  # which refuses what is none
    namer = ParameterNamer(model)
    return [OptimizerState(name, optimizer, namer) for name, optimizer in named]


def adam_eps(optimizers: list[OptimizerState]) -> float:
    """The eps of Adam and its relatives: that of most elements where groups disagree."""
    elements: Counter[float] = Counter()
    for optimizer in optimizers:
        elements.update(optimizer.elements_by_eps())
    return max(elements, key=elements.__getitem__, default=_ADAM_EPS)


class OptimizerState:
    """What is stored of one optimizer."""

    def __init__(self, name: str, optimizer: Optimizer, namer: ParameterNamer) -> None:
        if not isinstance(optimizer, Optimizer):
            which = f"optimizer {name!r}" if name else "optimizer"
            raise TypeError(
                f"{which} is a {type(optimizer).__name__}, no torch.optim.Optimizer; "
                "pass other objects with state_dict() and load_state_dict() in `extra`"
            )
        self.name = name
        self._optimizer = optimizer
        self._prefix = f"optimizer.{name}." if name else "optimizer."
        self._has_model = namer.has_model
        self._masters: dict[str, str] = {}  # role by name, of parameters that are not the model's
        self._parameters: dict[str, torch.Tensor] = {}
        self._groups: list[list[str]] = []
        self._name_parameters(namer)

    def elements_by_eps(self) -> Counter[float]:
        """How many elements are updated with which eps, of groups like Adam's."""
        elements: Counter[float] = Counter()
        for group in self._groups_like_adams():
            elements[float(group["eps"])] += sum(p.numel() for p in group["params"])
        return elements

    def measure(self, measured: Measured) -> None:
        """What there is, and of Adam what the first step will add."""
        self.save(measured)
        for group in self._groups_like_adams():
            for parameter in group["params"]:
                if parameter.requires_grad and parameter not in self._optimizer.state:
                    measured.expect(parameter, 3 if group.get("amsgrad") else 2)
                    measured.expect(torch.zeros(()), 1)  # its number of steps

    def _groups_like_adams(self) -> list[dict[str, Any]]:
        return [g for g in self._optimizer.param_groups if "eps" in g and "betas" in g]

    def _name_parameters(self, namer: ParameterNamer) -> None:
        groups = [group["params"] for group in self._optimizer.param_groups]
        # The model's own go first, so that no master copy claims their names.
        names = {id(p): namer.name_of(p) for group in groups for p in group}
        for group in groups:
            self._groups.append([self._add(p, names[id(p)], namer) for p in group])

    def _add(self, parameter: torch.Tensor, name: str | None, namer: ParameterNamer) -> str:
        own = name is None and self._has_model
        if own:
            name = namer.claim_like(parameter)
            role = "master" if name and parameter.is_floating_point() else "other"
        name = name or f"param_{len(self._parameters)}"
        if own:
            self._masters[name] = role
        self._parameters[name] = parameter
        return name

    def _tensor_name(self, parameter: str, key: str) -> str:
        return f"{self._prefix}state.{parameter}.{key}"

    def save(self, outgoing: Outgoing) -> dict[str, Any]:
        self._refuse_unknown_state()
        for name, role in self._masters.items():
            outgoing.add(self._tensor_name(name, "master"), self._parameters[name], role, name)
        return {
            "shapes": {name: list(p.shape) for name, p in self._parameters.items()},
            "has_model": self._has_model,
            "masters": list(self._masters),
            "groups": [self._save_group(outgoing, i) for i in range(len(self._groups))],
            "state": {
                name: self._save_state(outgoing, name)
                for name, parameter in self._parameters.items()
                if parameter in self._optimizer.state
            },
        }

    def _refuse_unknown_state(self) -> None:
        known = {id(parameter) for parameter in self._parameters.values()}
        unknown = sorted(set(self._optimizer.state_dict()) - {"state", "param_groups"})
        if any(id(key) not in known for key in self._optimizer.state):
            unknown.append("state of what is none of its parameters")
        if unknown:
            raise TypeError(
                f"{type(self._optimizer).__name__} keeps {', '.join(unknown)} besides its "
                "parameters' state; pass it in `extra`, which calls its state_dict()"
            )

    def _save_group(self, outgoing: Outgoing, index: int) -> dict[str, Any]:
        group = self._optimizer.param_groups[index]
        options = {key: value for key, value in group.items() if key != "params"}
        return {
            "params": self._groups[index],
            "options": {
                key: outgoing.encode(value, f"{self._prefix}group.{index}.{key}")
                for key, value in options.items()
            },
        }

    def _save_state(self, outgoing: Outgoing, parameter: str) -> dict[str, Any]:
        state = self._optimizer.state[self._parameters[parameter]]
        return {key: self._save_entry(outgoing, parameter, key, state[key]) for key in state}

    def _save_entry(self, outgoing: Outgoing, parameter: str, key: str, value: Any) -> Any:
        is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
        role = _ROLES.get(key, "other") if is_float else "other"

        def add(name: str, tensor: torch.Tensor) -> str:
            return outgoing.add(name, tensor, role, parameter)

        return encode(value, self._tensor_name(parameter, key), add)

    def plan(self, incoming: Incoming, stored: dict[str, Any], strict: bool) -> None:
        if not self._is_there(incoming, stored):
            incoming.problems.append(
                f"{self._prefix}state: was dropped from this old step by pruning; restore a newer "
                "step, or only the model"
            )
            return
        if not (self._has_model and stored["has_model"]):
            self._take_names(stored)
        problems = len(incoming.problems)
        self._compare(incoming, stored, strict)
        if len(incoming.problems) > problems:
            return
        for name in self._masters:
            if name in stored["masters"]:
                incoming.into(self._tensor_name(name, "master"), self._parameters[name])
        for group, saved, names in self._zip_groups(stored):
            for key, encoded in saved["options"].items():
                _plan_value(incoming, encoded, group.get(key))
            for name in names:
                self._plan_state(incoming, group, name, stored["state"].get(name, {}))

    def _is_there(self, incoming: Incoming, stored: dict[str, Any]) -> bool:
        encoded = [stored["state"], [group["options"] for group in stored["groups"]]]
        names = [name for name, _ in tensor_references(encoded)]
        names += self._master_names(stored["masters"])
        return all(name in incoming.stored for name in names)

    def _zip_groups(self, stored: dict[str, Any]) -> Iterator[tuple[dict, dict, list[str]]]:
        return zip(self._optimizer.param_groups, stored["groups"], self._groups, strict=True)

    def _take_names(self, stored: dict[str, Any]) -> None:
        """Without a model, parameters are told by their order, as in torch's state dicts."""
        groups = [group["params"] for group in stored["groups"]]
        if [len(group) for group in groups] != [len(group) for group in self._groups]:
            return  # _compare() reports it
        new_names = dict(zip(sum(self._groups, []), sum(groups, []), strict=True))
        self._parameters = {new_names[name]: p for name, p in self._parameters.items()}
        self._groups = groups
        if not self._has_model:
            self._masters = dict.fromkeys(stored["masters"], "master")
        else:
            self._masters = {new_names[name]: role for name, role in self._masters.items()}

    def _compare(self, incoming: Incoming, stored: dict[str, Any], strict: bool) -> None:
        saved = [group["params"] for group in stored["groups"]]
        if len(saved) != len(self._groups):
            incoming.problems.append(
                f"{self._prefix}param_groups: stored {len(saved)}, wanted {len(self._groups)}"
            )
            return
        if strict:
            compare_names(incoming, self._in_groups(saved), self._in_groups(self._groups))
            compare_names(incoming, *map(self._master_names, (stored["masters"], self._masters)))
        for name, parameter in self._parameters.items():
            shape = stored["shapes"].get(name, list(parameter.shape))
            if shape != list(parameter.shape):
                incoming.problems.append(
                    f"{self._prefix}state.{name}: stored for a parameter of shape {shape}, wanted "
                    f"{list(parameter.shape)}"
                )

    def _in_groups(self, groups: list[list[str]]) -> list[str]:
        prefix = f"{self._prefix}param_groups"
        return [f"{prefix}.{i}.{name}" for i, group in enumerate(groups) for name in group]

    def _master_names(self, parameters: Iterable[str]) -> list[str]:
        return [self._tensor_name(name, "master") for name in parameters]

    def _plan_state(
        self, incoming: Incoming, group: dict[str, Any], name: str, stored: dict[str, Any]
    ) -> None:
        parameter = self._parameters[name]
        live = self._optimizer.state[parameter] if parameter in self._optimizer.state else {}
        for key, encoded in stored.items():
            # Torch keeps step counters in CPU memory, but for optimizers that never leave the GPU.
            on_device = key != "step" or group.get("capturable") or group.get("fused")
            _plan_value(
                incoming, encoded, live.get(key), parameter.device if on_device else None
            )

    def finish(self, incoming: Incoming, stored: dict[str, Any]) -> None:
        for name, parameter in self._parameters.items():
            if name in stored["shapes"]:
                self._finish_state(incoming, parameter, stored["state"].get(name))
        for group, saved, _ in self._zip_groups(stored):
            group.update(incoming.decode(saved["options"]))
        # Lets the optimizer bring state of an older torch up to date, as load_state_dict() does.
        self._optimizer.__setstate__(
            {"state": self._optimizer.state, "param_groups": self._optimizer.param_groups}
        )

    def _finish_state(self, incoming: Incoming, parameter: torch.Tensor, stored: Any) -> None:
        if stored is None:
            self._optimizer.state.pop(parameter, None)
            return
        state = self._optimizer.state[parameter]
        state.clear()
        state.update({key: incoming.decode(encoded) for key, encoded in stored.items()})


def _plan_value(incoming: Incoming, encoded: Any, live: Any, device: Any = None) -> None:
    """Plans to read a stored value's tensors: in place where `live` is one like it."""
    reference = tensor_reference(encoded)
    if reference and isinstance(live, torch.Tensor) and incoming.fits(reference[0], live):
        incoming.into(reference[0], live)
        return
    for name, dtype in tensor_references(encoded):
        incoming.new(name, dtype, device)
