"""Deaths and failures at chosen system calls: builds the library of strike.cc and asks for them."""

import ctypes
import errno
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("strike.cc")
LIBRARY = Path(__file__).parents[2] / "build/soak/strike.so"
CHANGES_OF_A_SAVE = 20  # about so many
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)


def library():
    """The path of the library, built when it is not there or older than its source."""
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < SOURCE.stat().st_mtime:
        LIBRARY.parent.mkdir(parents=True, exist_ok=True)
        new = LIBRARY.with_name(f"strike-{os.getpid()}.so")
        command = ["g++", "-std=c++20", "-O1", "-shared", "-fPIC", SOURCE, "-o", new, "-ldl"]
        subprocess.run(command, check=True)
        new.rename(LIBRARY)
    return LIBRARY


def kill(random, changes=CHANGES_OF_A_SAVE):
    return f"{random.randint(1, changes)} kill {random.randint(0, 1)}"


def fail(random, changes=CHANGES_OF_A_SAVE):
    return f"{random.randint(1, changes)} fail {random.choice(ERRORS)}"


def slow(random):
    return f"{random.randint(1, 1 << 20)} slow {random.choice((2, 20))}"


class Strikes:
    """What happens to those who change one store, and what has happened."""

    def __init__(self, store, log):
        self._store, self._log = Path(store), Path(log)

    def environment(self, strike=None):
        """Of a process to be started, which `strike` is to hit."""
        names = {"SOAK_STORE": str(self._store), "SOAK_LOG": str(self._log)}
        if strike is not None:
            names |= {"SOAK_STRIKE": strike, "LD_PRELOAD": str(library())}
        return {**os.environ, **names}

    def here(self, strike):
        """Hits this process, which was started with the library and is a child of the storm's."""
        os.environ.update(SOAK_STORE=str(self._store), SOAK_LOG=str(self._log))
        ctypes.CDLL(None).SoakStrike(strike.encode())

    def take(self):
        """The calls that were hit since the last time."""
        if not self._log.exists():
            return []
        calls = [line.split()[1] for line in self._log.read_text().splitlines()]
        self._log.unlink()
        return calls
