"""What a store of training runs holds, found out in a process that uses torch and then ends."""

import training
from leftovers import Broken

import bitsnap


def parse(line):
    """What one of the below told; a number, or several."""
    try:
        numbers = [int(word) for word in line.split()]
    except ValueError:
        raise Broken(line) from None
    return numbers if len(numbers) > 1 else numbers[0]


def restore_newest(tell, path, ranks):
    """The number of the save that each rank gets, 0 for none."""
    store, restored, before = bitsnap.Store(path, create=True), [], None
    while len({*restored}) != 1 and restored != before:  # an agent may go on saving
        before = restored
        restored = [_restore_newest(store, rank) for rank in range(ranks)]
    if len({*restored}) > 1:  # damaged for some: the newest that all can read
        lowest = min(step for step, _ in restored)
        steps = [info.step for info in store.list() if not info.abandoned and info.step <= lowest]
        shared = (_number_of_all(store, step, ranks) for step in reversed(steps))
        restored = [(0, next(number for number in shared if number is not None))]
    for _, number in restored:
        tell(str(number))


def _restore_newest(store, rank):
    """Its step and number."""
    restored = []

    def use(snapshot):
        restored.append(_number_of(snapshot, rank))

    try:
        store.restore_newest(use, rank=rank)
    except bitsnap.NotFound:
        return 0, 0
    return restored[-1]


def _number_of(snapshot, rank):
    number = training.stored_number(snapshot, rank)
    if number is None:
        raise Broken(f"step {snapshot.step}, rank {rank}: other bits came back")
    return snapshot.step, number


def list_whole(tell, path, ranks):
    """Of each step that all ranks can read: its number, its save's, and whether it is thin."""
    store = bitsnap.Store(path)
    for info in store.list():
        number = _number_of_all(store, info.step, ranks)
        if number is not None:
            tell(f"{info.step} {number} {int(training.is_thin(store.open_step(info.step)))}")


def _number_of_all(store, step, ranks):
    """None where some rank cannot read it."""
    try:
        numbers = [_number_of(store.open_step(step, rank), rank)[1] for rank in range(ranks)]
    except bitsnap.BitSnapError:
        return None
    return numbers[0]
