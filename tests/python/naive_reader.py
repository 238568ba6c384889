"""A second reader of .bsnap files, laid out like docs/format.md, without any of BitSnap's code.

Slow and plain on purpose: it holds document and library together. Raises AssertionError for a
damaged file; of the document's other rules it checks only some.
"""

import struct
from dataclasses import dataclass
from math import prod

import xxhash
import zstandard

VERSIONS = (3,)

# Bits of an element, by the dtype's code.
BITS = [8, 8, 8, 16, 16, 32, 32, 64, 64, 16, 16, 32, 64, 64, 128, 4, 6, 6, 8, 8, 8, 8, 8]
BLOCKS, SAME_AS_BASE, SAME_AS_TENSOR, SECOND_OF_PAIR = range(4)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, size):
        assert size <= len(self.data) - self.at, "ends early"
        self.at += size
        return self.data[self.at - size : self.at]

    def get(self, fields):
        values = struct.unpack("<" + fields, self.raw(struct.calcsize("<" + fields)))
        return values[0] if len(values) == 1 else values

    def text(self):
        return self.raw(self.get("H"))


@dataclass
class Snapshot:
    step: int
    rank: int
    world_size: int
    save_id: int
    block_bytes: int
    profile: bytes
    metadata: bytes
    base: tuple  # step, low and high half of the hash; None: stands alone
    tensors: list  # of dicts
    index_hash: tuple  # low and high half
    lineage: tuple = None  # run, order, parent (step, save_id) or None, [(run, up_to)]


def read(data):
    assert len(data) >= 128, "ends early"
    header, footer = data[:64], data[-64:]
    step, rank, world_size, save_id = read_header(header)
    raw, index_start, index_hash = read_index_bytes(data, header, footer)
    snapshot = parse_index(raw)
    check_placement(snapshot.tensors, data, index_start)
    snapshot.step, snapshot.rank = step, rank
    snapshot.world_size, snapshot.save_id = world_size, save_id
    snapshot.index_hash = index_hash
    return snapshot


def read_header(header):
    c = Cursor(header)
    assert c.raw(8) == b"\x89BSNAP\r\n"
    version, rank, world_size, zero, step, save_id = c.get("IIIIQQ")
    assert zero == 0 and c.raw(16) == bytes(16)
    assert c.get("Q") == xxhash.xxh3_64_intdigest(header[:56])
    assert version in VERSIONS and rank < world_size
    return step, rank, world_size, save_id


def read_index_bytes(data, header, footer):
    c = Cursor(footer)
    stored_bytes, raw_bytes, stored_checksum, low, high = c.get("QQQQQ")
    coding, *zeros, version, checksum = c.get("BBBBIQ")
    assert c.raw(8) == b"BSNAPEND" and version in VERSIONS and zeros == [0, 0, 0]
    assert checksum == xxhash.xxh3_64_intdigest(footer[:48])
    start = len(data) - 64 - stored_bytes
    assert start >= 64
    stored = data[start:-64]
    assert stored_checksum == xxhash.xxh3_64_intdigest(stored)
    raw = [bytes, zstandard.ZstdDecompressor().decompress][coding](stored)
    assert len(raw) == raw_bytes
    assert (high << 64 | low) == xxhash.xxh3_128_intdigest(header + raw)
    return raw, start, (low, high)


def parse_index(raw):
    c = Cursor(raw)
    block_bytes, profile = c.get("I"), c.text()
    metadata = c.raw(c.get("I"))
    base = c.get("QQQ") if c.get("B") else None
    tensors = [parse_tensor(Cursor(c.raw(c.get("I"))), i) for i in range(c.get("I"))]
    blocked = [t["bytes"] * (1 + (t["second"] is not None)) * (t["storage"] == BLOCKS) for t in tensors]
    counts = [-(-b // block_bytes) for b in blocked]
    columns = [[c.get(field) for _ in range(sum(counts))] for field in "BIQQ"]
    rows = iter(zip(*columns))
    end = 64
    for tensor, count in zip(tensors, counts):
        tensor["blocks"] = [next(rows) for _ in range(count)]
        if count:
            tensor["data_offset"] = (end + tensor["data_offset"]) % 2**64
            end = tensor["data_offset"] + sum(size for _, size, _, _ in tensor["blocks"])
    lineage = parse_lineage(c)
    return Snapshot(0, 0, 0, 0, block_bytes, profile, metadata, base, tensors, None, lineage)


def parse_lineage(c):
    while len(c.data) - c.at >= 8:
        tag, section = c.raw(4), Cursor(c.raw(c.get("I")))
        if tag == b"LINE":
            run, order, has_parent, *parent, ancestors = section.get("QQBQQI")
            return run, order, tuple(parent) if has_parent else None, [
                section.get("QQ") for _ in range(ancestors)
            ]
    return None


def parse_tensor(c, number):
    t = {"name": c.text(), "group": c.text(), "why": c.text()}
    t["dtype"], t["role"], t["storage"], has_base, base = c.get("BBBBI")
    t["base_tensor"] = (number + base) % 2**32 if has_base else None
    t["same_as"], t["data_offset"] = c.get("IQ")
    t["shape"] = [c.get("Q") for _ in range(c.get("H"))]
    t["error"] = [(c.text(), c.get("d")) for _ in range(c.get("H"))]
    bits = BITS[t["dtype"]] * prod(t["shape"])
    assert bits % 8 == 0
    t["bytes"] = bits // 8
    has_second, second, has_peer, peer, t["params"] = 0, 0, 0, 0, b""
    if c.at < len(c.data):
        has_second, second, has_peer, peer, params_bytes = c.get("BIBII")
        t["params"] = c.raw(params_bytes)
    t["second"] = (number + second) % 2**32 if has_second else None
    t["peer"] = (number + peer) % 2**32 if has_peer else None
    return t


def check_placement(tensors, data, index_start):
    end = 64
    with_blocks = [t for t in tensors if t["blocks"]]
    size = lambda t: sum(block[1] for block in t["blocks"])
    for tensor in sorted(with_blocks, key=lambda t: (t["data_offset"], size(t))):
        assert tensor["data_offset"] == end
        tensor["payloads"] = []
        for _, coded_bytes, coded_checksum, _ in tensor["blocks"]:
            payload = data[end : end + coded_bytes]
            assert coded_checksum == xxhash.xxh3_64_intdigest(payload)
            tensor["payloads"].append(payload)
            end += coded_bytes
    assert end == index_start
