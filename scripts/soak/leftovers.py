"""What nobody may leave behind."""

import os
import re
import time
from pathlib import Path


class Broken(AssertionError):
    """A promise was not kept."""


def check_names(store, ranks, newest):
    """A store that nobody saves into holds whole steps, their links to bases, and LATEST.

    `newest` is the step that LATEST must name.
    """
    steps = sorted(store.glob("step-*"))
    if sorted(store.iterdir()) != [store / "LATEST", *steps]:
        raise Broken(f"left over in the store: {os.listdir(store)}")
    if (store / "LATEST").read_text() != f"step-{newest:08}\n":
        raise Broken(f"LATEST names another step than the newest, {newest}")
    for folder in steps:
        names = sorted(path.name for path in folder.iterdir())
        links = [name for name in names if re.fullmatch(r"rank-\d{5}-of-\d{5}\.base-.*", name)]
        links += [name for name in names if name == "ABANDONED"]
        files = [f"rank-{rank:05}-of-{ranks:05}.bsnap" for rank in range(ranks)]
        if sorted(files + links) != names:
            raise Broken(f"left over in {folder.name}: {names}")


def agents_of(store):
    """The agents' process ids: their command line names the store."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"agent" in words and os.fsencode(store) in words:
            found.append(int(process.name))
    return found


def check_machine(store, runtime, shared_memory, patience=10):
    """No agent, hence none of its memory; nothing in its folder; /dev/shm as it was."""
    deadline = time.monotonic() + patience
    while agents_of(store) and time.monotonic() < deadline:
        time.sleep(0.01)
    if agents := agents_of(store):
        raise Broken(f"agents left over: {agents}")
    if left := [str(path) for path in runtime.rglob("*")]:
        raise Broken(f"left over in the runtime folder: {left}")
    # Benchmarks and fuzzers put stores there.
    names = (name for name in os.listdir("/dev/shm") if "bitsnap" in name)
    new = {name for name in names if not re.search("bench|fuzz", name)} - shared_memory
    if new:
        raise Broken(f"left over in /dev/shm: {new}")
