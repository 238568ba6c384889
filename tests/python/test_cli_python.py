"""The bitsnap command on snapshots that the Python package wrote."""

import pytest

from bitsnap import Store, Tensor
from command import bitsnap, bitsnap_json, read_metadata, read_safetensors


def save(folder, tensors, metadata=b""):
    Store(folder, create=True).save(tensors, 1, metadata=metadata)


@pytest.mark.parametrize("metadata", ['{"version": 1}', "any ünïcode", '{"safetensors": [1]}'])
def test_foreign_metadata_is_kept(tmp_path, metadata):
    store, out = tmp_path / "store", tmp_path / "out.safetensors"
    save(store, [Tensor("a", "U8", [2], b"xy")], metadata.encode())
    bitsnap("restore", store, "-o", out)
    assert read_metadata(out) == {"bitsnap.metadata": metadata}
    bitsnap("save", store, out, "--step", 2)
    assert bitsnap_json("inspect", store)["metadata"] == metadata


def test_metadata_that_is_no_text(tmp_path):
    store, out = tmp_path / "store", tmp_path / "out.safetensors"
    save(store, [Tensor("a", "U8", [2], b"xy")], b"\xff\x00")
    assert "metadata is no text" in bitsnap("restore", store, "-o", out).stderr
    assert read_safetensors(out) == {"a": ("U8", [2], b"xy")} and read_metadata(out) is None


def test_dtype_that_safetensors_lacks(tmp_path):
    store, out = tmp_path / "store", tmp_path / "out.safetensors"
    save(store, [Tensor("c", "C128", [1], bytes(16)), Tensor("a", "U8", [2], b"xy")])
    error = bitsnap("restore", store, "-o", out, code=2).stderr
    assert "C128" in error and '"c"' in error and not out.exists()
    bitsnap("restore", store, "-o", out, "--tensor", "a")
