#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing; costs milliseconds when none is.
# One who may not install is told what to ask an administrator for.
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi

as_root=()
if ((EUID != 0)); then as_root=(sudo -n); fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  echo "These Debian packages are missing, and this user may not install them: ${missing[*]}" >&2
  echo "An administrator can: apt-get install ${missing[*]}" >&2
  exit 1
fi

echo "Installing Debian packages: ${missing[*]}" >&2
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
         apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
# Fresh machines know no package lists and old ones know vanished versions: update, but only then.
"${install[@]}" </dev/null || {
  "${as_root[@]}" apt-get update --quiet </dev/null
  "${install[@]}" </dev/null
}
