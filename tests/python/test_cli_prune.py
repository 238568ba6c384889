"""bitsnap prune and bitsnap repair: options, what they print, exit codes."""

import random
import shutil

import pytest

from test_cli_errors import mounted

from command import bitsnap, bitsnap_json, files_of, rank_file, read_safetensors, write_safetensors

USAGE, IO = 2, 3


def state(step):
    """Weights of which a few differ from step to step, and Adam's moments."""
    weight = bytearray(random.Random(0).randbytes(40_000))
    for position in random.Random(step).sample(range(0, 40_000, 2), 100):
        weight[position] ^= 1
    moments = random.Random(step).randbytes(80_000)
    return {
        "model.w": ("BF16", [20_000], bytes(weight)),
        "optimizer.state.w.exp_avg": ("F32", [20_000], moments),
        "optimizer.state.w.exp_avg_sq": ("F32", [20_000], moments[::-1]),
        "optimizer.state.w.step": ("F32", [], bytes(4)),
        "rng": ("U8", [16], bytes(range(16))),
    }


@pytest.fixture
def store(tmp_path):
    for step in range(10, 70, 10):
        write_safetensors(tmp_path / "in", state(step))
        bitsnap("save", tmp_path / "store", tmp_path / "in", "--step", step, "--base", "none")
    return tmp_path / "store"


def steps(store):
    return [entry["step"] for entry in bitsnap_json("ls", store)]


def restored(store, step, folder):
    bitsnap("restore", store, "--step", step, "-o", folder / "out", "--force")
    return read_safetensors(folder / "out")


def disk_use(store):
    files = {path.stat().st_ino: path.stat().st_size for path in store.glob("step-*/*")}
    return sum(files.values())


def test_dry_run_tells_and_changes_nothing(store, tmp_path):
    before = files_of(store)
    args = ("prune", store, "--keep-last", 2, "--keep-every", 20)
    told = bitsnap_json(*args, "--dry-run")
    assert told["dry_run"] and told["kept"] == [20, 40, 50, 60]
    assert [entry["step"] for entry in told["removed"]] == [10, 30]
    text = bitsnap(*args, "-n").stdout
    assert "would remove" in text and "4 of 6 whole step(s) kept: 20 40 50 60" in text
    assert files_of(store) == before

    used = disk_use(store)
    done = bitsnap_json(*args)
    assert {**done, "dry_run": True} == told
    assert used - disk_use(store) == done["bytes"] > 0
    assert steps(store) == [20, 40, 50, 60]
    assert restored(store, 20, tmp_path) == state(20)


def test_dropping_optimizer_state(store, tmp_path):
    used = disk_use(store)
    done = bitsnap_json("prune", store, "--keep-last", 3, "--drop-optimizer-older-than", 15)
    assert done["kept"] == [40, 50, 60]
    assert [entry["step"] for entry in done["optimizer_dropped"]] == [40]
    assert 0 <= used - disk_use(store) - done["bytes"] < 1000
    weights = {name: state(40)[name] for name in ("model.w", "rng")}
    assert restored(store, 40, tmp_path) == weights
    assert restored(store, 50, tmp_path) == state(50)
    assert bitsnap_json("verify", store)["sound"]


def test_a_base_is_left_alone_and_said_so(store, tmp_path):
    write_safetensors(tmp_path / "in", state(70))
    bitsnap("save", store, tmp_path / "in", "--step", 70, "--base", 10)
    for link in store.glob("step-00000070/*base*"):
        link.unlink()
    text = bitsnap("prune", store, "--keep-last", 1).stdout
    assert "left alone: step 10: step 70 leans on it" in text
    assert steps(store) == [10, 70]
    assert restored(store, 70, tmp_path) == state(70)


@pytest.mark.parametrize(
    "options, says",
    [
        ((), "nothing said about what to keep"),
        (("--keep-last", 0), "at least 1"),
        (("--keep-every", 0, "--keep-last", 1), "at least 1"),
        (("--keep-last", "all"), "not a whole number"),
    ],
)
def test_usage(store, options, says):
    before = files_of(store)
    assert says in bitsnap("prune", store, *options, code=USAGE).stderr
    assert files_of(store) == before


def test_no_such_store(tmp_path):
    for command in (("prune", "--keep-last", 1), ("repair",)):
        name, *options = command
        assert "no such store" in bitsnap(name, tmp_path / "no", *options, code=USAGE).stderr


def test_repair(store):
    assert bitsnap("repair", store, "--min-age", 0).stdout == "nothing to repair\n"
    sound = {path: content for path, content in files_of(store).items() if "00000060" not in path}
    rank_file(store, 60).write_bytes(b"torn")
    shutil.copy(rank_file(store, 10), store / "step-00000010/.rank-00000-of-00001.bsnap.tmp-7-1")
    args = ("repair", store)
    assert bitsnap_json(*args)["repaired"] == [
        {"path": "LATEST", "bytes": 0, "why": "the newest whole step is 50"}
    ]
    assert "a save may be running" in bitsnap(*args).stdout

    before = files_of(store)
    told = bitsnap_json(*args, "--min-age", 0, "--dry-run")
    assert files_of(store) == before
    assert [item["path"] for item in told["repaired"]] == [
        "step-00000010/.rank-00000-of-00001.bsnap.tmp-7-1", "step-00000060"
    ]
    assert told["bytes"] == 4 + rank_file(store, 10).stat().st_size and told["left"] == []
    assert bitsnap_json(*args, "--min-age", 0) == {**told, "dry_run": False}
    assert files_of(store) == {**sound, "LATEST": b"step-00000050\n"}


def test_a_full_disk(tmp_path):
    """Neither a save nor a rewrite that finds no room does harm, and pruning makes room."""
    with mounted(tmp_path / "small", "size=700k") as disk:
        store, file = disk / "store", tmp_path / "in"

        def save(step, code=0):
            write_safetensors(file, state(step))
            return bitsnap("save", store, file, "--step", step, "--base", "none", code=code)

        for step in (1, 2, 3):
            save(step)
        assert "step-00000004" in save(4, code=IO).stderr
        fill = disk / "fill"
        with open(fill, "wb", buffering=0) as hole:
            while (free := shutil.disk_usage(disk).free) > 4096:
                hole.write(bytes(free - 4096))
        before = files_of(store)
        dropped = bitsnap("prune", store, "--drop-optimizer-older-than", 0, code=IO)
        assert "free some space" in dropped.stderr and files_of(store) == before
        assert bitsnap("repair", store, "--min-age", 0).stdout == "nothing to repair\n"
        fill.unlink()

        assert bitsnap_json("prune", store, "--keep-last", 2)["kept"] == [2, 3]
        save(4)
        for step in (2, 3, 4):
            assert restored(store, step, tmp_path) == state(step)
