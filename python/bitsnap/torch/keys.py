"""Keys that become names of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# What wrappers put into the names of a module's tensors, and how to get at the module inside.
_WRAPPERS = {
    "module": ("DistributedDataParallel", "model.module"),
    "_orig_mod": ("torch.compile", "model._orig_mod"),
}

# Far below what a snapshot's index allows.
_MAX_LABEL = 1000


def require_name(name: Any, what: str) -> str:
    """`name`, as plain text. TypeError where it is none, or cannot be written as UTF-8.

    `what` says whose name it is.
    """
    if type(name) is str and name.isascii():
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"{what} has the key {repr(name)[:80]}, a {type(name).__name__}; keys here become "
            "names of tensors: pass text"
        )
    name = str.__str__(name)  # without what a subclass, such as an Enum, makes of it
    if not is_utf8(name):
        raise TypeError(f"{what} has the key {name!r}, which is not valid UTF-8; rename it")
    return name


def is_utf8(text: str) -> bool:
    """False where surrogates stand alone, as in the names of files that are not UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def label(path: str) -> str:
    """A name for a tensor that is found by reference: like `path`, but short and valid UTF-8."""
    if path.isascii() and len(path) <= _MAX_LABEL:
        return path
    return path[:_MAX_LABEL].encode("utf-8", "backslashreplace").decode()


def wrapper_hint(stored: Iterable[str], wanted: Iterable[str]) -> str | None:
    """What to do where only the names of a wrapped module keep `stored` and `wanted` apart."""
    stored, wanted = set(stored), set(wanted)
    ours = {_unwrapped(name) for name in wanted - stored}
    theirs = {_unwrapped(name) for name in stored - wanted}
    if not ours & theirs:
        return None
    only_wanted = _wrappers_in(wanted - stored) - _wrappers_in(stored - wanted)
    for name in sorted(only_wanted):
        wrapper, inside = _WRAPPERS[name]
        return (
            f"the names of what was passed have {name!r} in them, which {wrapper} adds, and the "
            f"stored ones have not: pass the module inside, {inside}, here and to save()"
        )
    for name in sorted(_wrappers_in(stored - wanted)):
        wrapper, inside = _WRAPPERS[name]
        return (
            f"the stored names have {name!r} in them, which {wrapper} adds: pass "
            f"model={{{name!r}: model}} for this step, and the module inside, {inside}, to save()"
        )
    return None


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _wrappers_in(names: Iterable[str]) -> set[str]:
    return {part for name in names for part in name.split(".")} & _WRAPPERS.keys()
