"""What commands save: tensors that follow from a save's number, as safetensors files."""

import json
import random
import struct

ELEMENTS = 20_000
OPTIMIZER = "optimizer."
NUMBER = "save"
# The moments change every so many saves only, so that some lean on a base and some do not.
SLOW = 3


def content_of(number, rank):
    """The tensors of a save, from its number alone: name -> (dtype, shape, bytes)."""
    weight = bytearray(random.Random(rank).randbytes(2 * ELEMENTS))
    changes = random.Random(number)
    for position in changes.sample(range(0, 2 * ELEMENTS, 2), ELEMENTS // 100):
        weight[position] ^= 1
    moments = random.Random(number // SLOW).randbytes(4 * ELEMENTS)
    return {
        "model.w": ("BF16", [ELEMENTS], bytes(weight)),
        OPTIMIZER + "state.w.exp_avg": ("F32", [ELEMENTS], moments),
        OPTIMIZER + "state.w.exp_avg_sq": ("F32", [ELEMENTS], moments[::-1]),
        NUMBER: ("U64", [1], struct.pack("<Q", number)),
    }


def number_of(tensors):
    return struct.unpack("<Q", tensors[NUMBER][2])[0]


def is_thin(tensors):
    return not any(name.startswith(OPTIMIZER) for name in tensors)


def is_the_save(tensors, rank):
    """Whether it is the save that its number says, to the bit; optimizer states may be gone."""
    want = content_of(number_of(tensors), rank)
    if is_thin(tensors):
        want = {name: tensor for name, tensor in want.items() if not name.startswith(OPTIMIZER)}
    return tensors == want


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        end = offset + len(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    body = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }
