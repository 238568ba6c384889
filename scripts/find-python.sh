#!/usr/bin/env bash
# Prints the first Python that can carry .venv: `python3` on PATH, else Debian's. At least 3.10 (torch's
# own floor), able to make virtual environments and to build extensions. Fails when there is none.
set -euo pipefail

for python in python3 /usr/bin/python3; do
  if "$python" - 2>/dev/null <<'PYTHON'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (sys.version_info >= (3, 10) and os.path.exists(header)))
PYTHON
  then
    echo "$python"
    exit
  fi
done
exit 1
