"""Bytes to send, a part at a time, so that a large file never lies in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Bytes of all parts but the last.
PART = 16 << 20


@dataclass(frozen=True)
class Content:
    size: int
    _read: Callable[[int, memoryview], None]  # fills memory with the bytes from a place on

    def parts(self) -> Iterator[bytearray]:
        """Always `size` bytes: zeros, which no checksum takes for good, where reading fails."""
        for first in range(0, self.size, PART):
            part = bytearray(min(PART, self.size - first))
            self._read(first, memoryview(part))
            yield part

    def whole(self) -> bytearray:
        content = bytearray(self.size)
        self._read(0, memoryview(content))
        return content


def in_memory(buffer: Any) -> Content:
    content = memoryview(buffer).cast("B")

    def read(first: int, out: memoryview) -> None:
        out[:] = content[first : first + len(out)]

    return Content(len(content), read)


def on_disk(path: Path, size: int, until: ExitStack) -> Content:
    """Opens the file at once, since it may be removed before it is read; closed by `until`."""
    file = until.enter_context(path.open("rb", buffering=0))

    def read(first: int, out: memoryview) -> None:
        try:
            file.seek(first)
            while len(out) and (count := file.readinto(out)):
                out = out[count:]
        except OSError:
            out[:] = bytes(len(out))

    return Content(size, read)
