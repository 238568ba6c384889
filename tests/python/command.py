"""Runs the built `bitsnap` command, and makes and reads its files, for the tests beside this."""

import json
import os
import struct
import subprocess
from pathlib import Path

import safetensors

BINARY = Path(os.environ.get("BITSNAP", Path(__file__).parents[2] / "build/release/bitsnap"))


def bitsnap(*args, code=0):
    """Runs the command and checks its exit code."""
    result = subprocess.run(
        [BINARY, *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert result.returncode == code, f"exit {result.returncode}\n{result.stdout}{result.stderr}"
    return result


def bitsnap_json(*args, code=0):
    """The one document that the command prints with --json."""
    return json.loads(bitsnap(*args, "--json", code=code).stdout)


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> (dtype, shape, bytes). By hand: no package writes every dtype."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        end = offset + len(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(data for _, _, data in tensors.values())
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    """As the reference implementation reads it: name -> (dtype, shape, bytes)."""
    return {
        name: (tensor["dtype"], list(tensor["shape"]), bytes(tensor["data"]))
        for name, tensor in safetensors.deserialize(Path(path).read_bytes())
    }


def read_metadata(path):
    with safetensors.safe_open(path, "np") as file:
        return file.metadata()


def files_of(folder):
    """Every file below a folder with its content, every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in Path(folder).rglob("*")
    }


def rank_file(store, step, rank=0, world_size=1):
    return Path(store) / f"step-{step:08}" / f"rank-{rank:05}-of-{world_size:05}.bsnap"
