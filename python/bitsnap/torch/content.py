"""What a snapshot holds besides tensors: its metadata."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

import bitsnap
from bitsnap.torch.tensors import form, new_tensor, shape_from
from bitsnap.torch.transfer import Incoming
from bitsnap.torch.values import decode, has_state, object_of, tensor_references, to_json

_FORMAT = "bitsnap.torch"
_VERSION = 1
_OPTIMIZER_PARTS = {
    "shapes": dict,
    "has_model": bool,
    "masters": list,
    "groups": list,
    "state": dict,
}


class UnusableContent(bitsnap.Corrupt, ValueError):
    """The metadata are another program's, or made up: a fault of that step alone."""


def content_to_json(content: Mapping[str, str]) -> bytes:
    """The metadata, of parts that are JSON."""
    tags = {"format": to_json(_FORMAT), "version": to_json(_VERSION)}
    return object_of({**tags, **content}).encode()


def content_of(snapshot: bitsnap.Snapshot) -> dict[str, Any]:
    """What content_to_json() was given, decoded; errors say why this run cannot use it."""
    try:
        content = json.loads(snapshot.metadata)
        version = content["version"] if content["format"] == _FORMAT else None
    except (ValueError, TypeError, KeyError, RecursionError):
        version = None
    if version is None:
        raise UnusableContent(
            f"step {snapshot.step} was not saved by bitsnap.torch; read it with bitsnap.Store"
        )
    if version != _VERSION:
        raise bitsnap.UnsupportedVersion(
            f"step {snapshot.step} was saved by a newer bitsnap.torch (format {version}); update "
            "bitsnap to read it"
        )
    if not _is_complete(content):
        raise UnusableContent(
            f"step {snapshot.step}: its metadata lacks what bitsnap.torch stores there; restore "
            "another step"
        )
    with decoding(snapshot):
        _require_values(content, {tensor.name: tensor for tensor in snapshot.tensors})
    return content


def _is_complete(content: dict[str, Any]) -> bool:
    """What restore() takes for granted."""
    optimizers = content.get("optimizers")
    return (
        isinstance(content.get("model"), dict)
        and isinstance(content.get("module_metadata", {}), dict)
        and "extra" in content
        and isinstance(optimizers, dict)
        and all(map(_is_complete_optimizer, optimizers.values()))
    )


def _is_complete_optimizer(stored: Any) -> bool:
    if not isinstance(stored, dict) or not isinstance(stored.get("kind", ""), str):
        return False
    if not all(isinstance(stored.get(part), kind) for part, kind in _OPTIMIZER_PARTS.items()):
        return False
    if not all(isinstance(group, dict) and "options" in group for group in stored["groups"]):
        return False
    names = [stored["masters"], *(group.get("params") for group in stored["groups"])]
    return all(isinstance(each, list) and all(type(name) is str for name in each) for each in names)


def _require_values(content: dict[str, Any], stored: Mapping[str, bitsnap.StoredTensor]) -> None:
    """Raises where values, of whatever kind, cannot be decoded or are not what they must be."""
    values = [*content["model"].values(), content["extra"]]
    dicts = list(content.get("module_metadata", {}).values())
    for optimizer in content["optimizers"].values():
        dicts += optimizer["state"].values()
        dicts += [group["options"] for group in optimizer["groups"]]
    names = set()
    for name, dtype in tensor_references([values, dicts]):
        names.add(name)
        # Pruning drops optimizers' tensors.
        if name not in stored and name.startswith("optimizer."):
            continue
        has = stored[name].dtype, tuple(stored[name].shape)
        if form(shape_from(has[1], dtype), dtype) != has:
            raise ValueError(f"{name} is {has[0]} and said to be {dtype}")
    placeholders = dict.fromkeys(names, new_tensor((0,), torch.uint8))
    decode(values, placeholders)
    for each in dicts:
        if not isinstance(decode(each, placeholders), dict):
            raise TypeError(f"{each!r} is no dict")


@contextmanager
def decoding(snapshot: bitsnap.Snapshot) -> Iterator[None]:
    """Around what only depends on the snapshot: what goes wrong there is its fault."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UnusableContent(
            f"step {snapshot.step}: its metadata cannot be decoded ({error!r}); restore another step"
        ) from error


_NOTHING = object()


def find_loads(
    incoming: Incoming, wanted: Any, stored: Any, path: str
) -> Iterator[tuple[Any, Any]]:
    """The objects in `wanted` that load a state, each with what is stored for it."""
    if isinstance(wanted, Mapping) and not has_state(wanted):
        children = list(wanted.items())
    elif isinstance(wanted, (list, tuple)):
        children = list(enumerate(wanted))
    elif not has_state(wanted):
        if isinstance(wanted, torch.Tensor):
            warnings.warn(
                f"bitsnap: {path}: tensors in `extra` are not filled; take what was saved from the "
                "Checkpointer's `extra`, or save and restore it in `model`",
                RuntimeWarning,
                stacklevel=2,
            )
        return
    elif stored is _NOTHING:
        incoming.add_problem(f"{path}: wanted, but not stored")
        return
    else:
        yield wanted, stored
        return
    for key, child in children:
        yield from find_loads(incoming, child, _child(stored, key), f"{path}.{key}")


def _child(stored: Any, key: Any) -> Any:
    try:
        return stored[key]
    except (TypeError, KeyError, IndexError):
        return _NOTHING
