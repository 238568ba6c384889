"""The state of torch optimizers, by the names of the parameters that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from bitsnap.torch.adam import groups_like_adams
from bitsnap.torch.loading import load_optimizer, loads_itself
from bitsnap.torch.models import ModelState
from bitsnap.torch.naming import ParameterNamer
from bitsnap.torch.optimizer_arguments import Optimizers, named_optimizers
from bitsnap.torch.optimizer_entries import Kept
from bitsnap.torch.optimizer_kind import kind_of, why_other_kind
from bitsnap.torch.outgoing import Measured, Outgoing
from bitsnap.torch.transfer import Incoming, compare_names
from bitsnap.torch.values import (
    join_pairs,
    object_of,
    split_pairs,
    tensor_reference,
    tensor_references,
    to_json,
)

def optimizer_states(optimizers: Optimizers | None, model: ModelState) -> list[OptimizerState]:
    """One for each, by the key or the position under which it was passed; "" for one alone."""
    named = named_optimizers(optimizers)
    if not named:
        return []
    namer = ParameterNamer(model)
    return [OptimizerState(name, optimizer, namer) for name, optimizer in named.items()]


class OptimizerState:
    """What is stored of one optimizer."""

    def __init__(self, name: str, optimizer: Optimizer, namer: ParameterNamer) -> None:
        self.name = name
        self.optimizer = optimizer
        self._prefix = f"optimizer.{name}." if name else "optimizer."
        self._namer = namer
        self._has_model = namer.has_model
        self._loads_itself = loads_itself(optimizer)
        self._masters: dict[str, str] = {}  # role by name, of parameters that are not the model's
        self._parameters: dict[str, torch.Tensor] = {}
        self._groups: list[list[str]] = []
        self._sources: list[dict[str, Any] | None] = []  # set by plan()
        self._name_parameters(namer)

    def measure(self, measured: Measured) -> None:
        """What there is, and of Adam what the first step will add."""
        self.save(measured, Kept())
        for group in groups_like_adams(self.optimizer):
            for parameter in group["params"]:
                if parameter.requires_grad and parameter not in self.optimizer.state:
                    measured.expect(parameter, 3 if group.get("amsgrad") else 2)
                    measured.expect(torch.zeros((), device="cpu"), 1)  # its number of steps

    def _name_parameters(self, namer: ParameterNamer) -> None:
        groups = [group["params"] for group in self.optimizer.param_groups]
        # The model's own go first, so that no master copy claims their names.
        names = {id(p): namer.name_of(p) for group in groups for p in group}
        for group in groups:
            self._groups.append([self._add(p, names[id(p)], namer) for p in group])

    def _add(self, parameter: torch.Tensor, name: str | None, namer: ParameterNamer) -> str:
        own = name is None and self._has_model
        if own:
            name = namer.claim_like(parameter)
            role = "master" if name and parameter.is_floating_point() else "other"
        name = name or namer.new_name(f"param_{len(self._parameters)}")
        while name in self._parameters:  # a view of the same memory
            name += "~"
        if own:
            self._masters[name] = role
        self._parameters[name] = parameter
        return name

    def _tensor_name(self, parameter: str, key: str) -> str:
        return f"{self._prefix}state.{parameter}.{key}"

    def save(self, outgoing: Outgoing, kept: Kept) -> str:
        """What plan() takes, as JSON."""
        self._refuse_unknown_state()
        for name, role in self._masters.items():
            outgoing.add_named(
                self._tensor_name(name, "master"), self._parameters[name], role, name
            )
        states, shown = self._shown()
        options = [self._save_options(outgoing, i, group) for i, group in enumerate(shown)]
        groups = [
            f'{{"params":{kept.to_json(f"group {i}", names)},"options":{to_json(options[i])}}}'
            for i, names in enumerate(self._groups)
        ]
        return object_of(
            {
                "kind": to_json(kind_of(self.optimizer)),
                "shapes": kept.to_json(
                    "shapes", {name: list(p.shape) for name, p in self._parameters.items()}
                ),
                "has_model": to_json(self._has_model),
                "masters": kept.to_json("masters", list(self._masters)),
                "groups": f"[{','.join(groups)}]",
                "state": kept.save_states(
                    outgoing,
                    f"{self._prefix}state.",
                    {name: states[p] for name, p in self._parameters.items() if p in states},
                ),
            }
        )

    def _refuse_unknown_state(self) -> None:
        kind = type(self.optimizer).__name__
        known = {id(parameter) for parameter in self._parameters.values()}
        for key in self.optimizer.state:
            if id(key) in known:
                continue
            if isinstance(key, torch.Tensor):
                raise TypeError(
                    f"{self._prefix}state: {kind} keeps state of {self._namer.describe(key)}, "
                    "which is in none of its param_groups; add it with add_param_group(), or "
                    "drop the state: del optimizer.state[parameter]"
                )
            raise TypeError(
                f"{self._prefix}state: {kind} keeps state[{key!r}], which belongs to none of its "
                "parameters; pass it in `extra`"
            )
        if not _may_add_to_its_state(self.optimizer):
            return
        unknown = sorted(set(self.optimizer.state_dict()) - {"state", "param_groups"})
        if unknown:
            raise TypeError(
                f"{kind} keeps {', '.join(map(str, unknown))} besides its parameters' state; pass "
                "it in `extra`, which calls its state_dict()"
            )

    def _shown(self) -> tuple[Mapping[torch.Tensor, Any], list[dict[str, Any]]]:
        """State by parameter, and groups: as hooks on its state_dict() make them, if there are."""
        if not _may_add_to_its_state(self.optimizer):
            return self.optimizer.state, self.optimizer.param_groups
        shown = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        strange = sorted(shown["state"].keys() - range(len(parameters)), key=str)
        if strange or len(shown["param_groups"]) != len(self._groups):
            raise TypeError(
                f"{self._prefix}state: the state_dict() of {type(self.optimizer).__name__} is not "
                "of torch's form; pass the optimizer in `extra`, which calls its state_dict()"
            )
        states = {parameters[index]: state for index, state in shown["state"].items()}
        return states, shown["param_groups"]

    def _save_options(self, outgoing: Outgoing, index: int, group: dict[str, Any]) -> Any:
        path = f"{self._prefix}group.{index}"
        options = [
            (key, outgoing.encode(value, f"{path}.{key}"))
            for key, value in group.items()
            if key != "params"
        ]
        return join_pairs(options, path)

    def plan(self, incoming: Incoming, stored: dict[str, Any], strict: bool) -> None:
        if not self._is_there(incoming, stored):
            incoming.add_problem(
                f"{self._prefix}state: was dropped from this old step by pruning; restore a newer "
                "step, or only the model"
            )
            return
        other_kind = self._compare_kind(incoming, stored, strict)
        by_name = self._has_model and stored["has_model"]
        if not by_name and not self._take_names(incoming, stored):
            return
        if not self._compare(incoming, stored, strict) or other_kind:
            return
        for name in self._masters:
            if name in stored["masters"]:
                incoming.into(self._tensor_name(name, "master"), self._parameters[name])
        # Which stored group's options each group takes; absent: it keeps its own.
        self._sources = self._find_sources(stored, by_name and not strict)
        groups = [f"{self._prefix}param_groups.{i}" for i in range(len(self._groups))]
        incoming.leave_out(g for g, source in zip(groups, self._sources) if source is None)
        for group, source, names in zip(
            self.optimizer.param_groups, self._sources, self._groups, strict=True
        ):
            for key, encoded in split_pairs(source["options"]) if source else ():
                _plan_value(incoming, encoded, None if self._loads_itself else group.get(key))
            for name in names:
                self._plan_state(incoming, group, name, stored["state"].get(name, {}))

    def _compare_kind(self, incoming: Incoming, stored: dict[str, Any], strict: bool) -> bool:
        """Whether what is stored is another kind's, which then is a problem."""
        options = [
            {key for key, _ in split_pairs(group["options"])} for group in stored["groups"]
        ]
        found = why_other_kind(self.optimizer, stored.get("kind"), options)
        if found is None or (found[1] and not strict):
            return False
        why, may_fit = found
        remedy = (
            "restore into the kind that saved it, or only the model"
            if not may_fit
            else "restore into the kind that saved it, only the model, or take its state all the "
            "same with strict=False"
        )
        incoming.add_problem(f"{self._prefix}kind: {why}; {remedy}", only_strict=may_fit)
        return True

    def _is_there(self, incoming: Incoming, stored: dict[str, Any]) -> bool:
        encoded = [stored["state"], [group["options"] for group in stored["groups"]]]
        names = [name for name, _ in tensor_references(encoded)]
        names += self._master_names(stored["masters"])
        return all(name in incoming.stored for name in names)

    def _find_sources(
        self, stored: dict[str, Any], by_parameters: bool
    ) -> list[dict[str, Any] | None]:
        """For each group the stored one that is its: of the same parameters, or at its place."""
        if not by_parameters:
            return stored["groups"]
        holders = {name: group for group in stored["groups"] for name in group["params"]}
        sources = []
        for names in self._groups:
            found = {id(holders[name]): holders[name] for name in names if name in holders}
            sources.append(found.popitem()[1] if len(found) == 1 else None)
        return sources

    def _take_names(self, incoming: Incoming, stored: dict[str, Any]) -> bool:
        """Without a model, parameters are told by their order, as in torch's state dicts.

        False, and a problem, where there are others than stored.
        """
        groups = [group["params"] for group in stored["groups"]]
        sizes = [[len(group) for group in side] for side in (groups, self._groups)]
        if sizes[0] != sizes[1]:
            incoming.add_problem(
                f"{self._prefix}param_groups: stored {len(groups)}, wanted {len(self._groups)}, of "
                f"{sizes[0]} and {sizes[1]} parameters, which are told by their order alone; make "
                "the groups as they were, with add_param_group(), or pass the model to save() and "
                "restore() alike"
            )
            return False
        new_names = dict(zip(sum(self._groups, []), sum(groups, []), strict=True))
        self._parameters = {new_names[name]: p for name, p in self._parameters.items()}
        self._groups = groups
        if not self._has_model:
            self._masters = dict.fromkeys(stored["masters"], "master")
        else:
            self._masters = {new_names[name]: role for name, role in self._masters.items()}
        return True

    def _compare(self, incoming: Incoming, stored: dict[str, Any], strict: bool) -> bool:
        """Whether parameters and groups fit; what does not is a problem."""
        saved = [group["params"] for group in stored["groups"]]
        fits = True
        if strict and len(saved) != len(self._groups):
            fits = False
            incoming.add_problem(
                f"{self._prefix}param_groups: stored {len(saved)}, wanted {len(self._groups)}; "
                "make the groups as they were, with add_param_group(), before restoring",
                only_strict=True,
            )
        else:
            parameters = [self._in_groups(groups, strict) for groups in (saved, self._groups)]
            masters = map(self._master_names, (stored["masters"], self._masters))
            fits = compare_names(incoming, *parameters, strict)
            fits &= compare_names(incoming, *masters, strict)
        for name, parameter in self._parameters.items():
            shape = stored["shapes"].get(name, list(parameter.shape))
            if shape != list(parameter.shape):
                fits = False
                incoming.add_problem(
                    f"{self._prefix}state.{name}: stored for a parameter of shape {shape}, wanted "
                    f"{list(parameter.shape)}"
                )
        return fits

    def _in_groups(self, groups: list[list[str]], are_told: bool) -> list[str]:
        """All parameters, with the numbers of their groups where those `are_told`."""
        prefix = f"{self._prefix}param_groups"
        return [
            f"{prefix}.{i}.{name}" if are_told else f"{self._prefix}state.{name}"
            for i, group in enumerate(groups)
            for name in group
        ]

    def _master_names(self, parameters: Iterable[str]) -> list[str]:
        return [self._tensor_name(name, "master") for name in parameters]

    def _plan_state(
        self, incoming: Incoming, group: dict[str, Any], name: str, stored: dict[str, Any]
    ) -> None:
        parameter = self._parameters[name]
        live = {} if self._loads_itself else self.optimizer.state.get(parameter, {})
        for key, encoded in split_pairs(stored):
            # Torch keeps step counters in CPU memory, but for optimizers that never leave the GPU.
            on_device = key != "step" or group.get("capturable") or group.get("fused")
            _plan_value(
                incoming, encoded, live.get(key), parameter.device if on_device else "cpu"
            )

    def finish(self, incoming: Incoming, stored: dict[str, Any]) -> None:
        if self._loads_itself:
            load_optimizer(self.optimizer, self._state_dict(incoming, stored))
            return
        for name, parameter in self._parameters.items():
            if name in stored["shapes"]:
                self._finish_state(incoming, parameter, stored["state"].get(name))
        for group, source in zip(self.optimizer.param_groups, self._sources, strict=True):
            group.update(_decode_pairs(incoming, source["options"]) if source else {})
        # Lets the optimizer bring state of an older torch up to date, as load_state_dict() does.
        self.optimizer.__setstate__(
            {"state": self.optimizer.state, "param_groups": self.optimizer.param_groups}
        )

    def _state_dict(self, incoming: Incoming, stored: dict[str, Any]) -> dict[str, Any]:
        """What is stored, and where nothing is, what is there, in torch's form."""
        names = [name for group in self._groups for name in group]
        state = {}
        for index, name in enumerate(names):
            encoded = stored["state"].get(name)
            if encoded is not None:
                state[index] = _decode_pairs(incoming, encoded)
            elif name not in stored["shapes"] and self._parameters[name] in self.optimizer.state:
                state[index] = self.optimizer.state[self._parameters[name]]
        groups, first = [], 0
        for group, source in zip(self.optimizer.param_groups, self._sources, strict=True):
            after = first + len(group["params"])
            options = _decode_pairs(incoming, source["options"]) if source else {}
            groups.append({**group, **options, "params": list(range(first, after))})
            first = after
        return {"state": state, "param_groups": groups}

    def _finish_state(self, incoming: Incoming, parameter: torch.Tensor, stored: Any) -> None:
        if stored is None:
            self.optimizer.state.pop(parameter, None)
            return
        state = self.optimizer.state.setdefault(parameter, {})
        state.clear()
        state.update(_decode_pairs(incoming, stored))


def _may_add_to_its_state(optimizer: Optimizer) -> bool:
    """Whether its state_dict(), which takes long, may be more than state and param_groups."""
    hooks = ("_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks")
    if "state_dict" in vars(optimizer) or any(getattr(optimizer, hook, None) for hook in hooks):
        return True
    return type(optimizer).state_dict is not Optimizer.state_dict


def _decode_pairs(incoming: Incoming, encoded: Any) -> dict[Any, Any]:
    return {key: incoming.decode(value) for key, value in split_pairs(encoded)}


def _plan_value(incoming: Incoming, encoded: Any, live: Any, device: Any = "cpu") -> None:
    """Plans to read a stored value's tensors: in place where `live` is one like it."""
    reference = tensor_reference(encoded)
    if reference and isinstance(live, torch.Tensor) and incoming.fits(reference[0], live):
        incoming.into(reference[0], live)
        return
    for name, dtype in tensor_references(encoded):
        incoming.new(name, dtype, device)
