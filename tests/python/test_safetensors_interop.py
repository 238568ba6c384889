"""The C++ safetensors reader and writer beside the reference implementation."""

import json
import random
import struct

import safetensors
import torch
from safetensors.torch import load_file, save_file

from command import bitsnap, read_metadata

CORRUPT = 4


def restored(tmp_path, file):
    out = tmp_path / "out.safetensors"
    bitsnap("save", tmp_path / "store", file, "--step", 1)
    bitsnap("restore", tmp_path / "store", "-o", out)
    return out


def some_tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{seed}/größe.{dtype}": torch.randn(3, 5, generator=generator).to(dtype)
        for dtype in (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool)
    }


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        assert got[name].dtype == tensor.dtype and got[name].shape == tensor.shape
        assert torch.equal(got[name].view(torch.uint8), tensor.view(torch.uint8)), name


def test_shards_as_transformers_writes_them(tmp_path):
    weight_map, want = {}, {}
    for number in (1, 2):
        shard = f"model-0000{number}-of-00002.safetensors"
        tensors = some_tensors(number)
        save_file(tensors, tmp_path / shard, {"format": "pt"})
        weight_map |= dict.fromkeys(tensors, shard)
        want |= tensors
    index = tmp_path / "model.safetensors.index.json"
    text = {"metadata": {"total_size": 1234}, "weight_map": weight_map}
    index.write_text(json.dumps(text, indent=2) + "\n")

    out = restored(tmp_path, index)
    assert_same(load_file(out), want)
    assert read_metadata(out)["format"] == "pt"


def test_unaligned_data_is_read_by_the_reference(tmp_path):
    # The reference sorts by element size; a file written in another order is as valid.
    body = b"abc" + struct.pack("<2f", 1, -2) + struct.pack("<q", 7)
    header = {
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
        "c": {"dtype": "I64", "shape": [], "data_offsets": [11, 19]},
    }
    text = json.dumps(header).encode()
    file = tmp_path / "in.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)
    got = load_file(restored(tmp_path, file))
    assert got["a"].tolist() == [97, 98, 99]
    assert got["b"].tolist() == [1, -2]
    assert got["c"].item() == 7


def reference_reads(content):
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        return False
    return True


def test_refuses_whatever_the_reference_refuses(tmp_path):
    source = tmp_path / "good.safetensors"
    save_file(some_tensors(1), source, {"format": "pt"})
    good = source.read_bytes()
    (length,) = struct.unpack_from("<Q", good)
    file = tmp_path / "in.safetensors"
    chance = random.Random(1)
    refused = 0
    for number in range(150):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 2)):
            bad[8 + chance.randrange(length)] = chance.choice(b'0123456789{}[]",:\\ Ftn-.\xff')
        if reference_reads(bytes(bad)):
            continue
        refused += 1
        file.write_bytes(bad)
        told = bitsnap("save", tmp_path / "store", file, "--step", number, code=CORRUPT)
        assert str(file) in told.stderr
    assert refused > 75
    assert not (tmp_path / "store").exists()
