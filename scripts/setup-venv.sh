#!/usr/bin/env bash
# Makes .venv in the checkout, with what requirements-dev.txt asks for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$(scripts/find-python.sh) || {
  echo "BitSnap's tests need Python 3.10 or newer, with venv and headers; none was found" >&2
  exit 1
}
# An interrupted first try or a removed interpreter leaves a venv that cannot run.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
