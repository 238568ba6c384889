"""Texts in a file that are no UTF-8: the file is read all the same, and nothing raises."""

import struct

import numpy as np
import pytest
import xxhash

import bitsnap
from bitsnap import Store, Tensor

FOOTER = 64


def with_bytes(path, old, new):
    """Replaces bytes of a plain index and makes all checksums right."""
    data = bytearray(path.read_bytes())
    begin = len(data) - FOOTER - struct.unpack_from("<Q", data, len(data) - FOOTER)[0]
    index = bytes(data[begin:-FOOTER])
    assert data[-FOOTER + 40] == 0 and old in index and len(old) == len(new)
    index = index.replace(old, new)
    data[begin:-FOOTER] = index
    named = xxhash.xxh3_128_intdigest(bytes(data[:64]) + index)
    hashes = (xxhash.xxh3_64_intdigest(index), named & (2**64 - 1), named >> 64)
    struct.pack_into("<QQQ", data, len(data) - FOOTER + 16, *hashes)
    footer = bytes(data[-FOOTER : -FOOTER + 48])
    struct.pack_into("<Q", data, len(data) - FOOTER + 48, xxhash.xxh3_64_intdigest(footer))
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store", create=True)
    store.save([Tensor("name", "U8", [3], np.arange(3, dtype=np.uint8), "other", "group")], 1)
    return store


@pytest.mark.parametrize("text", [b"name", b"group", b"exact"], ids=["name", "group", "profile"])
def test_any_bytes_in_a_text(store, tmp_path, text):
    path = tmp_path / "store/step-00000001/rank-00000-of-00001.bsnap"
    with_bytes(path, text, b"\xff" + text[1:])
    (step,) = store.list()
    assert step.whole and store.verify().broken == []
    snapshot = store.open_step(1)
    (tensor,) = snapshot.tensors
    assert "\udcff" in tensor.name + tensor.group + snapshot.profile
    out = bytearray(3)
    snapshot.read_into([(tensor.name, out)])
    assert out == b"\0\1\2"
    with pytest.raises(bitsnap.NotFound, match="no tensor"):
        snapshot.read_into([("\udcfe", out)])


def test_any_bytes_in_a_message(store, tmp_path):
    """A tensor without a possible size is named in what list() says."""
    path = tmp_path / "store/step-00000001/rank-00000-of-00001.bsnap"
    with_bytes(path, b"name", b"n\xffme")
    with_bytes(path, struct.pack("<HQ", 1, 3), struct.pack("<HQ", 1, 2**62))
    (step,) = store.list()
    assert not step.whole and "\udcff" in step.why_not
    with pytest.raises(bitsnap.Corrupt, match=r"n\\xffme"):
        store.open_step(1)
