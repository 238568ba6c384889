"""Stores on file systems without links, flags of rename, locks, folder syncs or direct writes."""

import errno
import os
import random
import subprocess
from pathlib import Path

import pytest
from command import BINARY, bitsnap, bitsnap_json, read_safetensors, write_safetensors

LACKS = {
    "nothing": {},
    "nfs": {"NO_NOREPLACE": errno.EINVAL},
    "no-links": {"NO_LINK": errno.EPERM},
    "no-links-across": {"NO_LINK": errno.EXDEV},
    "no-links-unsupported": {"NO_LINK": errno.EOPNOTSUPP},
    "too-many-links": {"NO_LINK": errno.EMLINK},
    "smb": {"NO_NOREPLACE": errno.EINVAL, "NO_LINK": errno.EOPNOTSUPP},
    "fuse": {"NO_NOREPLACE": errno.ENOSYS, "NO_LINK": errno.ENOSYS},
    "exfat": {"NO_NOREPLACE": errno.EINVAL, "NO_LINK": errno.EPERM},
    "rename-eopnotsupp": {"NO_NOREPLACE": errno.EOPNOTSUPP},
    "folder-sync-einval": {"NO_FOLDER_SYNC": errno.EINVAL},
    "folder-sync-enosys": {"NO_FOLDER_SYNC": errno.ENOSYS},
    "folder-sync-eopnotsupp": {"NO_FOLDER_SYNC": errno.EOPNOTSUPP},
    "direct-write-einval": {"NO_DIRECT_WRITE": errno.EINVAL},
    "direct-write-eopnotsupp": {"NO_DIRECT_WRITE": errno.EOPNOTSUPP},
    "no-locks": {"NO_LOCK": errno.ENOLCK},
    "no-locks-enosys": {"NO_LOCK": errno.ENOSYS},
    "nothing-at-all": {
        "NO_NOREPLACE": errno.EINVAL,
        "NO_LINK": errno.ENOSYS,
        "NO_FOLDER_SYNC": errno.EINVAL,
        "NO_LOCK": errno.ENOSYS,
    },
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("plain_file_system.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def states(tmp_path):
    """Two states of which the second differs little from the first."""
    data = bytearray(random.Random(1).randbytes(200_000))
    paths = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    for path in paths:
        write_safetensors(path, {"w": ("BF16", [100_000], bytes(data))})
        data[0] ^= 1
    return paths


def save(shim, lacks, store, state, step, *more, code=0):
    environment = {**os.environ, "LD_PRELOAD": str(shim)}
    environment.update({name: str(value) for name, value in lacks.items()})
    command = [BINARY, "save", store, state, "--step", str(step), *more]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == code, result.stderr
    return result


def content_of(tmp_path, store, step):
    out = tmp_path / "out.safetensors"
    out.unlink(missing_ok=True)
    bitsnap("restore", store, "-o", out, "--step", step)
    return read_safetensors(out)


@pytest.mark.parametrize("lacks", LACKS.values(), ids=LACKS.keys())
def test_steps_are_saved_whatever_the_file_system_lacks(tmp_path, shim, states, lacks):
    store = tmp_path / "store"
    for step, state in enumerate(states, 1):
        save(shim, lacks, store, state, step)
        assert content_of(tmp_path, store, step) == read_safetensors(state)
        save(shim, lacks, store, state, step, code=2)  # it is there
        save(shim, lacks, store, state, step, "--overwrite")
        assert content_of(tmp_path, store, step) == read_safetensors(state)
    leans = bitsnap_json("ls", store)[1]["base_step"] is not None
    assert leans == ("NO_LINK" not in lacks)
    assert not list(store.glob("*/.*"))


def test_a_name_that_a_killed_save_had_claimed_is_no_rank_file(tmp_path, shim, states):
    store, lacks = tmp_path / "store", LACKS["smb"]
    save(shim, {**lacks, "KILLED_AT_RENAME": 1}, store, states[0], 1, code=9)
    claim = store / "step-00000001" / "rank-00000-of-00001.bsnap"
    assert claim.stat().st_size == 0
    save(shim, lacks, store, states[1], 1)
    assert content_of(tmp_path, store, 1) == read_safetensors(states[1])
