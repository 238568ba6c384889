"""What a process and those that it starts use, as /proc tells."""

import os
from pathlib import Path


def processes_below(root: int) -> list[int]:
    found = [root]
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def memory_of(process: int) -> tuple[int, int]:
    """Bytes of its own, and of memory that it may share."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    fields = dict(line.split(":", 1) for line in lines)
    own, shared = (int(fields.get(f, "0").split()[0]) << 10 for f in ("RssAnon", "RssShmem"))
    return own, shared


def processor_seconds() -> float:
    """Of this process and all below it, those that ended included."""
    ticks = 0
    for process in processes_below(os.getpid()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # user and system, its own and of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")
