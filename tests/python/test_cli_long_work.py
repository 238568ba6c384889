"""Saves and restores long enough to be interrupted, or to need a progress bar."""

import os
import pty
import signal
import subprocess
import time

import pytest

from command import BINARY, bitsnap, files_of, write_safetensors

BYTES = 256 << 20


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "big.safetensors"
    piece = os.urandom(1 << 20)
    write_safetensors(path, {"w": ("BF16", [BYTES // 2], piece * (BYTES >> 20))})
    return path


def start(*args, watch, terminal=subprocess.PIPE):
    """Starts the command and returns it once a temporary file of its is growing below `watch`."""
    process = subprocess.Popen(
        [BINARY, *map(str, args)], stdout=terminal, stderr=terminal, text=True
    )
    while process.poll() is None:
        if any(".tmp" in path.name and path.stat().st_size for path in paths(watch)):
            return process
    pytest.fail(f"ended before it could be watched: {process.communicate()}")


def paths(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_save_leaves_nothing(tmp_path, big_file, number):
    store = tmp_path / "store"
    write_safetensors(tmp_path / "small", {"w": ("U8", [1], b"x")})
    bitsnap("save", store, tmp_path / "small", "--step", 1)
    before = files_of(store)
    process = start("save", store, big_file, "--step", 2, "--threads", 1, watch=store)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 128 + number, told
    assert len(told.splitlines()) == 1 and files_of(store) == before


def test_interrupted_restore_leaves_nothing(tmp_path, big_file):
    store, out = tmp_path / "store", tmp_path / "out"
    out.mkdir()
    bitsnap("save", store, big_file, "--step", 1, "--profile", "fast")
    process = start("restore", store, "-o", out / "o.safetensors", "--threads", 1, watch=out)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert paths(out) == []


def test_progress_bar_only_on_a_terminal(tmp_path, big_file):
    ours, theirs = pty.openpty()
    process = start("save", tmp_path / "store", big_file, "--step", 1, "--threads", 1,
                    watch=tmp_path / "store", terminal=theirs)
    os.close(theirs)
    process.send_signal(signal.SIGSTOP)  # long enough, however fast this machine is
    time.sleep(0.7)
    process.send_signal(signal.SIGCONT)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"save [" in shown and b" of 268 MB" in shown and b"/s" in shown
    assert b"\r\x1b[Kstep 1: 268 MB" in shown  # it is gone before the result comes
    quiet = bitsnap("save", tmp_path / "store", big_file, "--step", 2, "--threads", 1)
    assert quiet.stderr == ""
