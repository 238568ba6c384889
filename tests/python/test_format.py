"""docs/format.md against the golden files: its reader reads them, its example is one of them."""

import re
import struct
from pathlib import Path

import naive_reader
import pytest
import xxhash

ROOT = Path(__file__).parents[2]


def golden(sample):
    return {v: (ROOT / f"tests/golden/v{v}-{sample}.bsnap").read_bytes() for v in naive_reader.VERSIONS}


TINY, FULL = golden("tiny"), golden("full")
each_version = pytest.mark.parametrize("version", naive_reader.VERSIONS)


def test_worked_example_is_the_golden_file():
    text = (ROOT / "docs/format.md").read_text()
    example = text.split("## A complete file", 1)[1].split("```")[1]
    data = bytearray()
    for line in example.strip().splitlines():
        offset, digits = re.match(r"([0-9a-f]{3})  ((?:[0-9a-f]{2} ?)+)", line).groups()
        assert int(offset, 16) == len(data), line
        data += bytes.fromhex(digits)
    assert bytes(data) == TINY[max(TINY)]


@each_version
def test_tiny(version):
    snapshot = naive_reader.read(TINY[version])
    assert (snapshot.step, snapshot.rank, snapshot.world_size) == (7, 1, 3)
    assert snapshot.save_id == 0x1122334455667788
    assert snapshot.base is None
    (tensor,) = snapshot.tensors
    assert (tensor["name"], tensor["dtype"], tensor["shape"]) == (b"w", 10, [2])
    (payload,) = tensor["payloads"]
    ((codec, _, _, raw_checksum),) = tensor["blocks"]
    assert codec == 0  # raw: the payload is the content
    assert raw_checksum == xxhash.xxh3_64_intdigest(payload)
    assert struct.unpack("<HH", payload) == (0x3F80, 0xC000)  # 1.0 and -2.0


@each_version
def test_full(version):
    snapshot = naive_reader.read(FULL[version])
    assert (snapshot.step, snapshot.rank, snapshot.world_size) == (500, 2, 4)
    assert snapshot.base == (490, 0x0123456789ABCDEF, 0xFEDCBA9876543210)
    assert snapshot.metadata == b"any bytes: \0\xff"
    tensors = {t["name"]: t for t in snapshot.tensors}
    assert list(tensors) == [
        b"model.weight",
        b"optimizer.state.exp_avg",
        b"head.weight",
        b"frozen",
        b"frozen.copy",
        b"step",
        b"constant",
        b"empty",
        b"not UTF-8: \xff",
        b"v",
        b"m",
        b"master",
    ]
    assert tensors[b"model.weight"]["base_tensor"] == 3
    assert len(tensors[b"model.weight"]["blocks"]) == 3
    assert tensors[b"optimizer.state.exp_avg"]["data_offset"] == 64
    assert tensors[b"optimizer.state.exp_avg"]["error"][0] == (b"mse", 1e-9)
    assert tensors[b"head.weight"]["storage"] == naive_reader.SAME_AS_TENSOR
    assert tensors[b"frozen.copy"]["same_as"] == 3
    assert tensors[b"frozen"]["storage"] == naive_reader.SAME_AS_BASE
    assert tensors[b"empty"]["blocks"] == []
    assert tensors[b"constant"]["payloads"] == [b""]
    assert tensors[b"v"]["second"] == 10 and len(tensors[b"v"]["blocks"]) == 2
    assert tensors[b"v"]["params"] == b"\x01\x02"
    assert tensors[b"m"]["storage"] == naive_reader.SECOND_OF_PAIR
    assert tensors[b"m"]["same_as"] == 9
    assert tensors[b"master"]["peer"] == 0


@each_version
@pytest.mark.parametrize("golden", [TINY, FULL], ids=["tiny", "full"])
def test_every_damaged_byte_is_seen(golden, version):
    golden = golden[version]
    for i in range(len(golden)):
        damaged = bytearray(golden)
        damaged[i] ^= 1
        with pytest.raises(AssertionError):
            naive_reader.read(bytes(damaged))
