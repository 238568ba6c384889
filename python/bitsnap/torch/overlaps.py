"""Tensors that lie in the same memory, and whether it can hold what is stored of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from bitsnap.torch.tensors import identity, memory_of, new_tensor


def sharing_memory(places: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Groups of names whose tensors' memory overlaps, also of one that overlaps itself.

    Of tensors without addresses only the very same objects are known to. May also group what only
    lies interleaved; contradictions() finds nothing there.
    """
    ranges = []
    objects: dict[int, list[str]] = {}
    for name, place in places.items():
        if (memory := memory_of(place)) is not None:
            ranges.append((*memory, name))
        else:
            objects.setdefault(id(place), []).append(name)
    groups: list[list[str]] = []
    reached = None
    for device, first, end, name in sorted(ranges, key=lambda each: (str(each[0]), each[1])):
        if reached is not None and reached[0] == device and first < reached[1]:
            groups[-1].append(name)
            reached = device, max(end, reached[1])
        else:
            groups.append([name])
            reached = device, end
    shared = [g for g in groups if len(g) > 1 or may_overlap_itself(places[g[0]])]
    return shared + [names for names in objects.values() if len(names) > 1]


def may_overlap_itself(tensor: torch.Tensor) -> bool:
    """Whether elements of it may share memory, as those of expand() do."""
    reached = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape)):
        if size > 1 and stride <= reached:
            return True
        reached += (size - 1) * stride
    return False


def fill(target: torch.Tensor, value: torch.Tensor) -> None:
    """As copy_(), also where elements of `target` share memory: one of them stays."""
    for dimension, stride in enumerate(target.stride()):
        if stride == 0 and target.shape[dimension] > 1:
            target, value = target.narrow(dimension, 0, 1), value.narrow(dimension, 0, 1)
    # Leaving inference mode turns gradients on.
    with torch.inference_mode(target.is_inference()), torch.no_grad():
        target.copy_(value)


class _Written:
    """Memory like that of some tensors, to try what becomes of their values there."""

    def __init__(self, places: list[torch.Tensor]) -> None:
        ranges = [memory_of(place) for place in places]
        self._first = min(first for _, first, _ in ranges)
        self._bytes = new_tensor((max(end for *_, end in ranges) - self._first,), torch.uint8)

    def view(self, place: torch.Tensor) -> torch.Tensor:
        """Its elements' bytes, in a last dimension."""
        size = place.element_size()
        strides = [stride * size for stride in place.stride()]
        offset = place.data_ptr() - self._first
        return self._bytes.as_strided((*place.shape, size), (*strides, 1), offset)


def contradictions(
    places: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, str]]:
    """Pairs of names of which the memory cannot hold both values; twice the same name for one
    that contradicts itself."""
    firsts: dict[object, str] = {}
    for name, place in places.items():
        first = firsts.setdefault(identity(place), name)
        contents = [_content(places, values, each) for each in {first: None, name: None}]
        if not torch.equal(contents[0], contents[-1]):
            yield first, name
    names = list(firsts.values())
    if memory_of(places[names[0]]) is None:
        return
    if len(names) > 1 or may_overlap_itself(places[names[0]]):
        yield from _contradictions_of_views(names, places, values)


def _contradictions_of_views(
    names: list[str], places: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, str]]:
    written = _Written([places[name] for name in names])
    views = {name: written.view(places[name]) for name in names}
    contents = {name: _content(places, values, name) for name in names}

    def spoils(name: str, *others: str) -> bool:
        for each in (name, *others):
            fill(views[each], contents[each])
        return not torch.equal(views[name], contents[name])

    for name in names:
        fill(views[name], contents[name])
    for name in [n for n in names if not torch.equal(views[n], contents[n])]:
        if spoils(name):
            yield name, name
        else:
            yield name, next((other for other in names if spoils(name, other)), name)


def _content(
    places: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor], name: str
) -> torch.Tensor:
    """The bytes that its memory is to hold, in the form of _Written.view()."""
    value = values[name]
    if places[name].is_conj():
        value = value.conj().resolve_conj()
    if places[name].is_neg():
        value = value.neg()
    flat = value.contiguous().reshape(-1).view(torch.uint8)
    return flat.reshape(*places[name].shape, places[name].element_size())
