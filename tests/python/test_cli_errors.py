"""The bitsnap command on bad input: one clear message, the right exit code, the store unharmed."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess

import pytest

from command import BINARY, bitsnap, bitsnap_json, files_of, rank_file, write_safetensors

USAGE, IO, CORRUPT, NO_BASE = 2, 3, 4, 5


def noise(seed, size=200_000):
    return {"model.w": ("F16", [size // 2], random.Random(seed).randbytes(size))}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.safetensors"
    write_safetensors(path, noise(1))
    return path


@pytest.fixture
def store(tmp_path, file):
    """Step 1 stands alone, step 2 leans on it."""
    for step in (1, 2):
        bitsnap("save", tmp_path / "store", file, "--step", step)
    assert bitsnap_json("ls", tmp_path / "store")[1]["base_step"] == 1
    return tmp_path / "store"


def refused(*args, code, says, store=None):
    """The error is told for people and for programs, and the store stays as it was."""
    before = files_of(store) if store else None
    text = bitsnap(*args, code=code)
    assert says in text.stderr and text.stdout == "" and len(text.stderr.splitlines()) == 1
    told = bitsnap_json(*args, code=code)
    assert says in told["error"]["message"] and told["error"]["kind"]
    assert before == (files_of(store) if store else None)


@contextlib.contextmanager
def mounted(folder, options):
    """A RAM disk, where this user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("may not mount a RAM disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "args, says",
    [
        (["frobnicate"], "frobnicate"),
        (["save", "s", "f"], "--step is required"),
        (["save", "s", "f", "--step", "-1"], "'-1' is not a whole number"),
        (["save", "s", "f", "--step", "1e3"], "'1e3' is not a whole number"),
        (["save", "s", "f", "--step", "0x10"], "'0x10' is not a whole number"),
        (["save", "s", "f", "--step", "18446744073709551616"], "is not a whole number"),
        (["save", "s", "f", "--step", "1", "--rank", "4294967296"], "is not a whole number"),
        (["save", "s", "f", "--step", "1", "--profile", "best"], "best"),
        (["save", "s", "f", "--step", "1", "--base", "newest"], "auto, none or a step"),
        (["save", "s", "f", "--step", "1", "--fast"], "--fast"),
        (["restore", "s"], "output is required"),
        (["verify"], "STORE is required"),
        (["ls", "s", "extra"], "extra"),
    ],
)
def test_usage(args, says):
    refused(*args, code=USAGE, says=says)


def test_there_is_no_such_thing(store, file, tmp_path):
    out = tmp_path / "out.safetensors"
    refused("ls", tmp_path / "nowhere", code=USAGE, says="nowhere: no such store")
    refused("save", tmp_path / "new", tmp_path / "no.safetensors", "--step", 1, code=USAGE, says="no.")
    assert not (tmp_path / "new").exists()
    refused("restore", store, "--step", 7, "-o", out, code=USAGE, says="has no step 7")
    refused("restore", store, "--rank", 3, "-o", out, code=USAGE, says="no rank 3")
    refused("verify", store, "--step", 7, code=USAGE, says="has no step 7")
    refused("inspect", store, "--step", 7, code=USAGE, says="has no step 7")
    (tmp_path / "empty").mkdir()
    refused("restore", tmp_path / "empty", "-o", out, code=USAGE, says="no snapshot")
    assert "no steps in" in bitsnap("ls", tmp_path / "empty").stdout
    assert "nothing to verify" in bitsnap("verify", tmp_path / "empty").stdout
    assert not out.exists()


def test_store_is_a_file(file, tmp_path):
    refused("save", file, file, "--step", 1, code=USAGE, says="a store is a directory")
    refused("ls", file, code=USAGE, says="a store is a directory")


def test_step_exists(store, file):
    refused("save", store, file, "--step", 2, code=USAGE, says="saved already", store=store)
    write_safetensors(file, noise(2))
    bitsnap("save", store, file, "--step", 2, "--overwrite")
    assert bitsnap_json("verify", store)["sound"]


def test_wrong_world_size(store, file):
    for rank in ("--rank", 2, "--world-size", 2), ("--world-size", 0), ("--rank", 1):
        refused("save", store, file, "--step", 3, *rank, code=USAGE, says="rank", store=store)
    args = ("--rank", 1, "--world-size", 2)
    refused("save", store, file, "--step", 2, *args, code=USAGE, says="1 rank", store=store)


def test_base_that_cannot_be(store, file):
    for base, says, code in ((9, "step 9", NO_BASE), (3, "its own base", USAGE), (2, "leans", USAGE)):
        refused("save", store, file, "--step", 3, "--base", base, code=code, says=says, store=store)


def test_missing_base(store, tmp_path):
    for path in (rank_file(store, 1), *store.glob("step-00000002/*base*")):
        path.unlink()
    out = tmp_path / "out.safetensors"
    refused("restore", store, "--step", 2, "-o", out, code=NO_BASE, says="base, step 1")
    assert bitsnap_json("verify", store, code=1)["broken"][-1]["kind"] == "missing base"
    assert bitsnap("restore", store, "-o", out, code=NO_BASE).stdout == ""


def test_replaced_base(store, file, tmp_path):
    for path in store.glob("step-00000002/*base*"):
        path.unlink()
    write_safetensors(file, noise(3))
    bitsnap("save", store, file, "--step", 1, "--overwrite")
    refused("restore", store, "--step", 2, "-o", tmp_path / "o", code=NO_BASE, says="replaced")


@pytest.fixture
def two_bases(store, file):
    """Steps 2 and 3 that each stand alone."""
    shutil.rmtree(store)
    for step in (2, 3):
        bitsnap("save", store, file, "--step", step, "--base", "none")
    return store


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_byte, cut, empty])
def test_damaged_snapshot(two_bases, tmp_path, damage):
    damage(rank_file(two_bases, 3))
    out = tmp_path / "out.safetensors"
    refused("restore", two_bases, "--step", 3, "-o", out, code=CORRUPT, says="rank-00000-of-00001")
    assert not list(tmp_path.glob("*out.safetensors*"))
    broken = bitsnap_json("verify", two_bases, code=1)["broken"]
    assert [entry["step"] for entry in broken] == [3] and broken[0]["kind"] in ("corrupt", "truncated")
    assert "step 3: " in bitsnap("verify", two_bases, code=1).stdout
    # Without --step the newest sound one comes, and what was passed over is told.
    told = bitsnap_json("restore", two_bases, "-o", out)
    assert told["step"] == 2 and told["passed_over"][0]["step"] == 3
    assert "passed over step 3" in bitsnap("restore", two_bases, "-o", out, "--force").stderr


def test_nothing_sound_left(two_bases, tmp_path):
    for step in (2, 3):
        cut(rank_file(two_bases, step))
    out = tmp_path / "out.safetensors"
    assert "none of its 2 step" in bitsnap("restore", two_bases, "-o", out, code=CORRUPT).stderr
    assert not out.exists()


def test_too_little_memory_is_that_steps_failure(two_bases, tmp_path):
    """With a step whose index needs more than there is, the others are listed and restored."""
    many = {f"{i:040}": ("U8", [0], b"") for i in range(100_000)}
    write_safetensors(tmp_path / "many", many)
    bitsnap("save", two_bases, tmp_path / "many", "--step", 4)

    def run(*args):
        limit = (48 << 20, 48 << 20)
        return subprocess.run(
            [BINARY, *map(str, args)], capture_output=True, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        )  # fmt: skip

    listed = run("ls", two_bases, "--json")
    assert listed.returncode == 0, listed.stderr
    whole, told = [(step["step"], step["whole"]) for step in json.loads(listed.stdout)], listed.stdout
    assert whole == [(2, True), (3, True), (4, False)] and "too little memory" in told
    restored = run("restore", two_bases, "-o", tmp_path / "out")
    assert restored.returncode == 0 and "passed over step 4" in restored.stderr, restored.stderr
    asked = run("restore", two_bases, "-o", tmp_path / "o", "--step", 4)
    assert asked.returncode == IO and "too little memory" in asked.stderr


def test_a_world_of_billions_is_not_counted(tmp_path, file):
    """A number in a name is no work: not where other directories hold the other ranks either."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "PARTIAL").touch()
    for args in ("save", tmp_path / "s", file, "--step", 1, "--world-size", 2**32 - 1), ("ls", tmp_path / "s"):
        subprocess.run([BINARY, *map(str, args)], check=True, timeout=20, capture_output=True)
    assert bitsnap_json("ls", tmp_path / "s")[0]["whole"]


def header(text):
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63) + b"{}",
        header(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}') + b"abc",
        header(b"[" * 100_000),
        header(b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
        header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
               b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}') + b"x",
        header(b'{"\xff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}') + b"x",
    ],
    ids=["empty", "2^63", "cut", "nested", "overflow", "duplicate", "not-utf-8"],
)
def test_bad_safetensors(tmp_path, content):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content)
    args = ("save", tmp_path / "store", bad, "--step", 1)
    refused(*args, code=CORRUPT, says="bad.safetensors")
    assert not (tmp_path / "store").exists()


def test_full_disk(tmp_path, file):
    with mounted(tmp_path / "small", "size=300k") as disk:
        bitsnap("save", disk / "store", file, "--step", 1, "--base", "none")
        args = ("save", disk / "store", file, "--step", 2, "--base", "none")
        refused(*args, code=IO, says="step-00000002", store=disk / "store")
        refused("restore", disk / "store", "-o", disk / "out", code=IO, says="out")
        assert not list(disk.glob("*out*"))
        assert bitsnap_json("verify", disk / "store")["sound"]


def test_read_only_store(tmp_path, file, store):
    with mounted(tmp_path / "disk", "size=4m") as disk:
        shutil.copytree(store, disk / "store")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        args = ("save", disk / "store", file, "--step", 3)
        refused(*args, code=IO, says="step-00000003", store=disk / "store")
        refused("save", disk / "new", file, "--step", 3, code=IO, says="new")
        bitsnap("restore", disk / "store", "-o", tmp_path / "out.safetensors")


def test_output_that_cannot_be_written(store, tmp_path):
    """Trouble with the output is no reason to pass over a sound step."""
    refused("restore", store, "-o", tmp_path / "no/such/folder", code=USAGE, says="there is no folder")
    assert "passed over" not in bitsnap("restore", store, "-o", tmp_path / "no/such", code=USAGE).stderr
    refused("restore", store, "-o", tmp_path, code=USAGE, says="a directory")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_stdout_that_is_full(store):
    with open("/dev/full", "w") as full:
        result = subprocess.run([BINARY, "ls", store], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == IO and "stdout" in result.stderr


def test_names_do_not_reach_the_terminal_raw(tmp_path):
    write_safetensors(tmp_path / "f", {"evil\u001b[31m": ("U8", [1], b"x")})
    bitsnap("save", tmp_path / "store", tmp_path / "f", "--step", 1)
    assert "evil\\x1b[31m" in bitsnap("inspect", tmp_path / "store").stdout


def test_nothing_in_a_name_acts_on_a_terminal(tmp_path):
    """Control characters of both kinds, ends of lines, and what turns or hides text."""
    bad = "\n\r\x07\x7f\x85\x9b\u200b\u200f\u202e\u2066\u2029\u061c\ufeff"
    write_safetensors(tmp_path / "f", {f"a{bad}é": ("U8", [1], b"x")})
    bitsnap("save", tmp_path / "store", tmp_path / "f", "--step", 1)
    told = bitsnap("inspect", tmp_path / "store").stdout
    wrong = bitsnap("restore", tmp_path / "store", "-o", tmp_path / "o", "--tensor", bad, code=2).stderr
    for text in (told, wrong):
        assert not set(bad) - {"\n"} & set(text)
    assert "a\\x0a\\x0d\\x07\\x7f\\u0085\\u009b\\u200b" in told and "\\u2066" in told and "é" in told
    assert len(wrong.splitlines()) == 1
    document = bitsnap("inspect", tmp_path / "store", "--json").stdout
    assert document.isascii() and json.loads(document)["tensors"][0]["name"] == f"a{bad}é"


@pytest.fixture
def endless():
    """A pipe whose reader has gone, as after `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("restore_signals", [True, False], ids=["default", "as Python leaves it"])
def test_readers_that_have_gone(store, tmp_path, endless, restore_signals):
    """Neither stdout nor stderr may end the work, or the process."""
    def run(*args, **files):
        files = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **files}
        command = [BINARY, *map(str, args)]
        return subprocess.run(command, restore_signals=restore_signals, **files)

    gone = run("inspect", store, stdout=endless)
    assert gone.returncode == 128 + signal.SIGPIPE and gone.stderr == b""
    assert run("inspect", store, stdout=endless, stderr=endless).returncode == 128 + signal.SIGPIPE
    assert run("ls", tmp_path / "nowhere", stderr=endless).returncode == USAGE
    assert run("--help", stdout=endless).returncode == 128 + signal.SIGPIPE
    cut(rank_file(store, 2))
    passed = run("restore", store, "-o", tmp_path / "o", stderr=endless)
    assert passed.returncode == 0 and (tmp_path / "o").exists()


def test_standard_files_that_are_closed(file, tmp_path):
    """No file of the store takes the place of stdout or stderr, and gets what is told."""
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        store = tmp_path / closed
        saved = subprocess.run(["sh", "-c", f'"$0" "$@" {closed}', BINARY, "save", store, file, "--step", "1"])
        assert saved.returncode == (IO if ">&-" in closed.replace("2>&-", "") else 0)
        assert bitsnap_json("verify", store)["sound"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_stderr_that_is_full(tmp_path):
    with open("/dev/full", "w") as full:
        result = subprocess.run([BINARY, "ls", tmp_path / "nowhere"], stderr=full)
    assert result.returncode == USAGE
