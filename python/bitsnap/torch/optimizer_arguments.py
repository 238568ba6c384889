"""What may be passed as `optimizer`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bitsnap.torch.keys import require_name

Optimizers = Optimizer | Sequence[Optimizer] | Mapping[str | int, Optimizer]

# Can be iterated over, but not to find optimizers, or not in an order, or only once.
_NO_LISTS = (str, bytes, set, frozenset, Iterator, torch.nn.Module, torch.Tensor)


def named_optimizers(optimizers: Optimizers | None) -> dict[str, Optimizer]:
    """By the key or the position under which each was passed; "" for one alone.

    TypeError for what is no optimizer.
    """
    if optimizers is None:
        return {}
    if isinstance(optimizers, Optimizer):
        return {"": optimizers}
    if isinstance(optimizers, Mapping) and not _is_state_dict(optimizers):
        items: Iterable[tuple[Any, Any]] = optimizers.items()
    elif isinstance(optimizers, Iterable) and not isinstance(optimizers, (*_NO_LISTS, Mapping)):
        items = enumerate(optimizers)
    else:
        raise _no_optimizer("optimizer", optimizers)
    named: dict[str, Optimizer] = {}
    for key, optimizer in items:
        name = str(key) if type(key) is int else require_name(key, "optimizer")
        if name in named:
            raise TypeError(f"optimizer has the keys {name!r} and {int(name)}; rename one of them")
        if not isinstance(optimizer, Optimizer):
            raise _no_optimizer(f"optimizer[{key!r}]", optimizer)
        named[name] = optimizer
    return named


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()


def _no_optimizer(which: str, found: Any) -> TypeError:
    kind = f"{type(found).__module__}.{type(found).__qualname__}".removeprefix("builtins.")
    what = f"a {kind}"
    remedy = (
        "pass a torch.optim.Optimizer, or a list or dict of them, and other objects with "
        "state_dict() and load_state_dict() in `extra`"
    )
    if isinstance(found, type):
        what = f"the class {found.__qualname__}"
        remedy = f"pass an object of it, such as {found.__name__}(model.parameters())"
    elif isinstance(found, (LRScheduler, torch.amp.GradScaler)):
        remedy = "pass it in `extra`, in save() and restore() alike"
    elif isinstance(found, torch.nn.Module):
        remedy = "pass modules as `model`"
    elif isinstance(found, (set, frozenset)):
        remedy = "it has no order: pass a list, or a dict"
    elif isinstance(found, Iterator):
        remedy = "it is used up by the first call: pass a list, or a dict"
    elif _is_state_dict(found):
        what, remedy = "a state dict", "pass the optimizer itself"
    else:
        for attribute in ("optimizer", "_optimizer"):
            if isinstance(getattr(found, attribute, None), Optimizer):
                remedy = f"pass the optimizer in it, `.{attribute}`"
                break
    return TypeError(f"{which} is {what}, no torch.optim.Optimizer; {remedy}")
