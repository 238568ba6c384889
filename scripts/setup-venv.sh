#!/usr/bin/env bash
# Makes .venv in the checkout, with what requirements-dev.txt asks for. The interpreter is the
# first `python3` that can: the one on PATH, else Debian's, whose missing parts get installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# At least 3.10 (torch's own floor), able to make virtual environments and to build extensions.
suits() {
  "$1" - 2>/dev/null <<'PYTHON'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (sys.version_info >= (3, 10) and os.path.exists(header)))
PYTHON
}

python=python3
if ! suits "$python"; then
  python=/usr/bin/python3
  suits "$python" || scripts/setup-debian.sh python3-venv python3-dev
  suits "$python" || { echo "$python is too old: BitSnap needs Python 3.10 or newer" >&2; exit 1; }
fi

# An interrupted first try or a removed interpreter leaves a venv that cannot run.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
