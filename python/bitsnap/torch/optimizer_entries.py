"""What optimizers keep of each parameter, as JSON, made once for saves that look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from bitsnap.torch.outgoing import Outgoing
from bitsnap.torch.tensors import PLAIN_TYPES
from bitsnap.torch.values import encode, join_pairs, to_json

# Adam's names for its moments, the same in all of its relatives.
_ROLES = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


class _Entry(NamedTuple):
    """Of a tensor in the state of a parameter. What looks like it gets the same name and text."""

    dtype: torch.dtype
    name: str
    role: str
    text: str  # key and value


class Kept:
    """What the last save of an optimizer made, for the next one."""

    def __init__(self) -> None:
        # Of each parameter its name as JSON, and its entries by key.
        self._entries: dict[str, tuple[str, dict[str, _Entry]]] = {}
        self._texts: dict[str, tuple[Any, str]] = {}

    def to_json(self, what: str, value: Any) -> str:
        """`value`, of text and whole numbers, as JSON; most often as it was."""
        kept = self._texts.get(what)
        if kept is None or kept[0] != value:
            kept = self._texts[what] = (value, to_json(value))
        return kept[1]

    def save_states(
        self, outgoing: Outgoing, prefix: str, states: Mapping[str, Mapping[Any, Any]]
    ) -> str:
        """The states of parameters, by name, as JSON."""
        last, self._entries = self._entries, {}
        texts = []
        for parameter, state in states.items():
            known = last.get(parameter) or (to_json(parameter), {})
            self._entries[parameter] = known
            saver = _StateSaver(outgoing, f"{prefix}{parameter}", parameter, known[1])
            texts.append(f"{known[0]}:{saver.save(state)}")
        return f"{{{','.join(texts)}}}"


class _StateSaver:
    """Of one parameter."""

    def __init__(
        self, outgoing: Outgoing, path: str, parameter: str, entries: dict[str, _Entry]
    ) -> None:
        self._outgoing = outgoing
        self._path = path
        self._parameter = parameter
        self._entries = entries

    def save(self, state: Any) -> str:
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{self._path} is a {type(state).__name__}, no dict: pass the optimizer in "
                "`extra`, which calls its state_dict()"
            )
        if any(type(key) is not str or key == "$" for key in state):
            pairs = [(key, self._encode(key, value)) for key, value in state.items()]
            return to_json(join_pairs(pairs, self._path))
        return f"{{{','.join([self._member(key, value) for key, value in state.items()])}}}"

    def _member(self, key: str, value: Any) -> str:
        if type(value) not in PLAIN_TYPES:
            return f"{to_json(key)}:{to_json(self._encode(key, value))}"
        entry = self._entries.get(key)
        if entry and entry.dtype is value.dtype:
            if self._outgoing.add_if_free(entry.name, value, entry.role, self._parameter):
                return entry.text
        encoded = self._encode(key, value)
        text = f"{to_json(key)}:{to_json(encoded)}"
        name, _ = encoded["v"]
        self._entries[key] = _Entry(value.dtype, name, self._role(key, value), text)
        return text

    def _role(self, key: Any, value: Any) -> str:
        is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
        return _ROLES.get(key, "other") if is_float else "other"

    def _encode(self, key: Any, value: Any) -> Any:
        role = self._role(key, value)

        def add(name: str, tensor: torch.Tensor) -> str:
            return self._outgoing.add(name, tensor, role, self._parameter)

        return encode(value, f"{self._path}.{key}", add)
