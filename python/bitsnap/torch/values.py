"""Nested Python values as JSON, exact in value and type, with their tensors set apart.

JSON's own types stand for themselves; everything else is {"$": kind, "v": payload}. Tensors and
numpy arrays become references to tensors of the snapshot. There is no pickle.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

# Far below Python's recursion limit; a value that contains itself runs into it.
_MAX_DEPTH = 100

# Stores a tensor under a name like the given one, and returns the name.
StoreTensor = Callable[[str, torch.Tensor], str]


def _tag(kind: str, payload: Any) -> dict[str, Any]:
    return {"$": kind, "v": payload}


def _hex_of_doubles(*values: float) -> str:
    return struct.pack(f"<{len(values)}d", *values).hex()


# As json.dumps(), which would make an encoder for each call.
to_json: Callable[[Any], str] = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def object_of(members: Mapping[str, str]) -> str:
    """A JSON object, of members that are JSON."""
    return f"{{{','.join([f'{to_json(key)}:{value}' for key, value in members.items()])}}}"


def has_state(value: Any) -> bool:
    """Whether `value` is an object, such as a scheduler, that can save and load its state."""
    methods = (getattr(value, name, None) for name in ("state_dict", "load_state_dict"))
    return not isinstance(value, type) and all(map(callable, methods))


def encode(value: Any, path: str, store_tensor: StoreTensor) -> Any:
    """`value` as JSON. TypeError, naming the path, for what cannot be stored."""
    return _Encoder(store_tensor).encode(value, path, 0)


def encode_key(key: Any, path: str) -> Any:
    """The key of a dict, as encode(), which must be no tensor."""

    def refuse(name: str, tensor: torch.Tensor) -> str:
        raise TypeError(f"{name}: a tensor cannot be a key here; pass text or a number")

    return _Encoder(refuse).key(key, f"{path} (a key)", 0)


def join_pairs(pairs: list[tuple[Any, Any]], path: str) -> Any:
    """A dict as JSON, of its keys and encoded values."""
    if all(type(key) is str and key != "$" for key, _ in pairs):
        return dict(pairs)
    return _tag("dict", [[encode_key(key, path), value] for key, value in pairs])


def split_pairs(encoded: dict[str, Any]) -> list[tuple[Any, Any]]:
    """What join_pairs() was given."""
    if encoded.get("$") == "dict" and isinstance(encoded.get("v"), list):
        return [(decode(key, {}), value) for key, value in encoded["v"]]
    return list(encoded.items())


class _Encoder:
    def __init__(self, store_tensor: StoreTensor) -> None:
        self._store_tensor = store_tensor
        self._hashed = 0  # how many keys and sets are around what is encoded

    def encode(self, value: Any, path: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise TypeError(f"{path}: nested deeper than {_MAX_DEPTH} levels, or contains itself")
        encoder = _SCALARS.get(type(value))
        if encoder:
            return encoder(value)
        if isinstance(value, torch.Tensor):
            return self._tensor(value, path)
        if type(value) in _SEQUENCES:
            return self._sequence(value, path, depth)
        if type(value) in (dict, OrderedDict, Counter):
            return self._mapping(value, path, depth)
        numpy = sys.modules.get("numpy")
        if numpy and type(value) is numpy.ndarray:
            return self._array(numpy, value, path)
        if numpy and isinstance(value, numpy.generic) and value.dtype.kind in "biufcmM":
            return _tag("numpy", [value.dtype.str, value.tobytes().hex()])
        if has_state(value) and not self._hashed:  # its state_dict() cannot be hashed
            return self.encode(value.state_dict(), path, depth + 1)
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(
            f"{path}: cannot store a {kind}; BitSnap writes no pickles. Pass tensors, numpy "
            "arrays, numbers, strings, bytes, None, plain containers of them, or objects with "
            "state_dict() and load_state_dict()"
        )

    def key(self, value: Any, path: str, depth: int) -> Any:
        """Of a dict or a set."""
        self._hashed += 1
        encoded = self.encode(value, path, depth)
        self._hashed -= 1
        return encoded

    def _tensor(self, value: torch.Tensor, path: str) -> Any:
        dtype = str(value.dtype).removeprefix("torch.")
        return _tag("tensor", [self._store_tensor(path, value), dtype])

    def _array(self, numpy: Any, value: Any, path: str) -> Any:
        array = numpy.asarray(value, order="C")
        try:
            tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        except (TypeError, ValueError) as error:
            message = f"{path}: cannot store a numpy array of {value.dtype}: {error}"
            raise TypeError(message) from error
        return _tag("array", self._tensor(tensor, path)["v"])

    def _sequence(self, value: Any, path: str, depth: int) -> Any:
        kind = _SEQUENCES[type(value)]
        encode = self.key if kind in ("set", "frozenset") else self.encode
        scalars = _SCALARS.get  # lists of numbers may be long
        items = [
            encoder(item)
            if (encoder := scalars(type(item)))
            else encode(item, f"{path}.{i}", depth + 1)
            for i, item in enumerate(value)
        ]
        if kind in ("set", "frozenset"):
            items.sort(key=json.dumps)  # same set, same bytes
        return _tag(kind, items) if kind else items

    def _mapping(self, value: Any, path: str, depth: int) -> Any:
        pairs = [
            [self.key(k, f"{path} (a key)", depth + 1), self.encode(v, f"{path}.{k}", depth + 1)]
            for k, v in value.items()
        ]
        plain = type(value) is dict and all(type(key) is str for key in value)
        if plain and "$" not in value:
            return dict(pairs)
        return _tag(type(value).__name__, pairs)


_SEQUENCES = {list: None, tuple: "tuple", set: "set", frozenset: "frozenset", torch.Size: "Size"}

_SCALARS: dict[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    str: lambda value: value,
    int: lambda value: value if -(2**63) <= value < 2**63 else _tag("int", hex(value)),
    float: lambda value: (
        value if math.isfinite(value) else _tag("float", _hex_of_doubles(value))
    ),
    complex: lambda value: _tag("complex", _hex_of_doubles(value.real, value.imag)),
    bytes: lambda value: _tag("bytes", base64.b64encode(value).decode()),
    bytearray: lambda value: _tag("bytearray", base64.b64encode(value).decode()),
    torch.dtype: lambda value: _tag("dtype", str(value).removeprefix("torch.")),
    torch.device: lambda value: _tag("device", str(value)),
}


def dtype_named(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"this torch has no dtype {name!r}; update torch to read this snapshot")
    return dtype


def tensor_reference(encoded: Any) -> tuple[str, torch.dtype] | None:
    """The name and dtype of the tensor that `encoded` stands for, if it is one."""
    if isinstance(encoded, dict) and encoded.get("$") in ("tensor", "array"):
        name, dtype = encoded["v"]
        return name, dtype_named(dtype)
    return None


def tensor_references(encoded: Any) -> Iterator[tuple[str, torch.dtype]]:
    """All of them, however deep."""
    reference = tensor_reference(encoded)
    if reference:
        yield reference
    elif isinstance(encoded, (list, dict)):
        for item in encoded.values() if isinstance(encoded, dict) else encoded:
            yield from tensor_references(item)


def decode(encoded: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The value that encode() was given; `tensors` holds what was referred to, by name."""
    if isinstance(encoded, list):
        return [decode(item, tensors) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if "$" not in encoded:
        return {key: decode(value, tensors) for key, value in encoded.items()}
    kind, payload = encoded["$"], encoded["v"]
    if kind == "tensor":
        return tensors[payload[0]]
    if kind == "array":
        return tensors[payload[0]].numpy()
    if kind in _LEAVES:
        return _LEAVES[kind](payload)
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](decode(payload, tensors))
    raise ValueError(f"a value of unknown kind {kind!r}; update bitsnap to read this snapshot")


def _numpy_scalar(payload: list[str]) -> Any:
    import numpy

    dtype, content = payload
    return numpy.frombuffer(bytes.fromhex(content), dtype=numpy.dtype(dtype))[0]


def _doubles(text: str) -> tuple[float, ...]:
    content = bytes.fromhex(text)
    return struct.unpack(f"<{len(content) // 8}d", content)


_LEAVES: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": lambda text: _doubles(text)[0],
    "complex": lambda text: complex(*_doubles(text)),
    "bytes": base64.b64decode,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "dtype": dtype_named,
    "device": torch.device,
    "numpy": _numpy_scalar,
}

_CONTAINERS: dict[str, Callable[[list], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "Size": torch.Size,
    "dict": dict,
    "OrderedDict": OrderedDict,
    "Counter": lambda pairs: Counter(dict(pairs)),
}
