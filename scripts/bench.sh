#!/usr/bin/env bash
# Runs the C++ benchmarks. End to end they write to a RAM disk; as root, to one of huge pages made for
# the purpose, since with 4 KiB pages the kernel's page handling is most of what is measured.
set -euo pipefail
cd "$(dirname "$0")/.."

build/release/kernels_bench "$@"

ramdisk=$(mktemp -d /tmp/bitsnap-ramdisk-XXXXXX)
finish() {
  umount "$ramdisk" 2>/dev/null || true
  rmdir "$ramdisk"
}
trap finish EXIT
if mount -t tmpfs -o huge=always,size=4g tmpfs "$ramdisk" 2>/dev/null; then
  echo "RAM disk of huge pages:"
  BITSNAP_BENCH_DIR=$ramdisk build/release/store_bench "$@"
  BITSNAP_BENCH_DIR=$ramdisk build/release/state_bench
fi
echo "/dev/shm:"
BITSNAP_BENCH_DIR=/dev/shm build/release/store_bench "$@"
BITSNAP_BENCH_DIR=/dev/shm build/release/state_bench
