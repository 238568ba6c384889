"""The `bitsnap` command that comes with the package."""

import os
import sys
from pathlib import Path

EXECUTABLE = Path(__file__).parent / "bin" / "bitsnap"


def main() -> None:
    os.execv(EXECUTABLE, ["bitsnap", *sys.argv[1:]])
