"""The bitsnap command on good input: what goes in comes out, and what it tells is true."""

import json
import math
import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from command import (
    bitsnap,
    bitsnap_json,
    files_of,
    rank_file,
    read_metadata,
    read_safetensors,
    write_safetensors,
)

BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64},
    **{"I64": 64, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F4": 4},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8},
    **{"F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8},
}
SHAPES = [[], [0], [3, 0, 2], [1], [7, 3], [4, 1000], [2, 3, 4, 5]]


def every_dtype(seed):
    """Random bits, so NaN payloads, infinities and denormals too, of every dtype and odd shapes."""
    source = random.Random(seed)
    tensors = {}
    for dtype, bits in BITS.items():
        for shape in SHAPES:
            total = math.prod(shape) * bits
            if total % 8 == 0:
                data = source.randbytes(total // 8)
                tensors[f"{dtype}/{shape}"] = (dtype, shape, data)
    return tensors


def training_state(step):
    """The state of a little training run: weights in bf16 and Adam's states, moving slowly."""
    generator = torch.Generator().manual_seed(1)
    master = torch.randn(256, 128, generator=generator) * 0.02
    v = torch.rand(256, 128, generator=generator) * 1e-6
    drift = torch.Generator().manual_seed(2 + step)
    master += 1e-5 * step * torch.randn(256, 128, generator=drift)
    return {
        "model.layer.weight": master.bfloat16(),
        "optimizer.state.layer.weight.master": master,
        "optimizer.state.layer.weight.exp_avg": torch.randn(256, 128, generator=drift) * 1e-3,
        "optimizer.state.layer.weight.exp_avg_sq": v,
        "step": torch.tensor(step),
    }


@pytest.fixture
def saved(tmp_path):
    """A store with steps 10, 20 and 30, the last two deltas where that pays."""
    store = tmp_path / "store"
    for step in (10, 20, 30):
        save_file(training_state(step), tmp_path / f"{step}.safetensors")
        bitsnap("save", store, tmp_path / f"{step}.safetensors", "--step", step)
    return store


@pytest.mark.parametrize("profile", ["exact", "fast", "paper", "balanced"])
def test_two_parameters_of_the_same_bytes(tmp_path, profile):
    state = training_state(1)
    twins = {name.replace("layer", "twin"): tensor.clone() for name, tensor in state.items()}
    del twins["step"]
    file, out, store = tmp_path / "in.safetensors", tmp_path / "out.safetensors", tmp_path / "s"
    save_file({**state, **twins}, file)
    bitsnap("save", store, file, "--step", 1, "--profile", profile)
    bitsnap("restore", store, "-o", out, "--force")
    restored = load_file(out)
    for name in twins:
        if name.startswith("model.") or profile in ("exact", "fast"):
            assert torch.equal(restored[name], twins[name])


@pytest.mark.parametrize("profile", ["exact", "fast", "paper"])
def test_every_dtype_comes_back_bit_for_bit(tmp_path, profile):
    file, out, store = tmp_path / "in.safetensors", tmp_path / "out.safetensors", tmp_path / "s"
    for step, seed in enumerate([5, 5, 6]):  # new, unchanged, all changed
        tensors = every_dtype(seed)
        if profile == "paper":  # may lose bits of these
            tensors = {name: t for name, t in tensors.items() if t[0] != "F32"}
        write_safetensors(file, tensors)
        bitsnap("save", store, file, "--step", step, "--profile", profile)
        bitsnap("restore", store, "-o", out, "--force")
        assert read_safetensors(out) == read_safetensors(file) == tensors


def test_sharded_input(tmp_path):
    tensors = every_dtype(7)
    names = list(tensors)
    for i in (0, 1):
        shard = {name: tensors[name] for name in names[i::2]}
        write_safetensors(tmp_path / f"model-{i}.safetensors", shard)
    places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    bitsnap("save", tmp_path / "store", index, "--step", 1)
    bitsnap("restore", tmp_path / "store", "-o", tmp_path / "out.safetensors")
    assert read_safetensors(tmp_path / "out.safetensors") == tensors


def test_save_tells_what_it_did(tmp_path):
    store, file = tmp_path / "store", tmp_path / "state.safetensors"
    save_file(training_state(1), file)
    first = bitsnap_json("save", store, file, "--step", 1)
    assert first["step"] == 1 and first["base_step"] is None
    assert first["raw_bytes"] == 256 * 128 * 14 + 8
    assert first["stored_bytes"] == rank_file(store, 1).stat().st_size
    assert first["ratio"] == pytest.approx(first["raw_bytes"] / first["stored_bytes"])
    assert first["seconds"] > 0
    assert set(first["roles"]) == {"weight", "master", "exp_avg", "exp_avg_sq", "other"}
    assert first["roles"]["weight"]["raw_bytes"] == 256 * 128 * 2
    stored = sum(role["stored_bytes"] for role in first["roles"].values())
    assert 0 < stored < first["stored_bytes"]

    again = bitsnap_json("save", store, file, "--step", 2)
    assert again["base_step"] == 1 and again["stored_bytes"] < 10_000
    alone = bitsnap_json("save", store, file, "--step", 3, "--base", "none")
    assert alone["base_step"] is None
    chosen = bitsnap_json("save", store, file, "--step", 4, "--base", "1")
    assert chosen["base_step"] == 1
    text = bitsnap("save", store, file, "--step", 5).stdout
    assert text.startswith("step 5: 459 kB -> ") and "exp_avg_sq" in text


def test_same_bytes_for_any_number_of_threads(tmp_path):
    save_file(training_state(1), tmp_path / "state.safetensors")
    for threads in (1, 3):
        bitsnap("save", tmp_path / str(threads), tmp_path / "state.safetensors",
                *("--step", 1, "--threads", threads))
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_restore_takes_the_newest_or_the_asked_step(saved, tmp_path):
    out = tmp_path / "out.safetensors"
    for args, step in (((), 30), (("--step", "00000010"), 10)):
        told = bitsnap_json("restore", saved, "-o", out, "--force", *args)
        assert told["step"] == step and told["passed_over"] == [] and told["tensors"] == 5
        expected = training_state(step)
        restored = load_file(out)
        assert set(restored) == set(expected)
        assert all(torch.equal(restored[name], tensor) for name, tensor in expected.items())


def test_restore_by_role_needs_nothing_but_the_weights(tmp_path):
    """With every byte of the other tensors destroyed, the weights still come back."""
    for step in (1, 2):
        save_file(training_state(step), tmp_path / f"{step}.safetensors")
        bitsnap("save", tmp_path / "s", tmp_path / f"{step}.safetensors", "--step", step,
                "--profile", "balanced", "--base", "none" if step == 1 else 1)  # fmt: skip
    inspected = bitsnap_json("inspect", tmp_path / "s", "--step", 2)["tensors"]
    by_role = {t["role"]: t for t in inspected}
    assert by_role["weight"]["codec"] in ("delta", "bitmask")
    assert by_role["exp_avg"]["codec"] == "adam_delta"
    path = rank_file(tmp_path / "s", 2)
    data = bytearray(path.read_bytes())
    begin = 64  # the payloads begin behind the header and lie in the order of the index
    for tensor in inspected:
        end = begin + tensor["stored_bytes"]
        if tensor["role"] != "weight":
            data[begin:end] = bytes(end - begin)
        begin = end
    path.write_bytes(data)
    out = tmp_path / "out.safetensors"
    bitsnap("restore", tmp_path / "s", "--step", 2, "-o", out, "--role", "weight")
    want = training_state(2)
    got = load_file(out)
    assert list(got) == ["model.layer.weight"]
    assert torch.equal(got["model.layer.weight"], want["model.layer.weight"])
    bitsnap("restore", tmp_path / "s", "--step", 2, "-o", out, "--force", code=4)


def test_restore_chosen_tensors(saved, tmp_path):
    out = tmp_path / "out.safetensors"
    names = ["step", "optimizer.state.layer.weight.exp_avg"]
    bitsnap("restore", saved, "-o", out, "--tensor", names[0], "--tensor", names[1])
    assert set(load_file(out)) == set(names)
    error = bitsnap("restore", saved, "-o", out, "--tensor", "layer.weight.exp_avg", code=2).stderr
    assert "no tensor layer.weight.exp_avg; did you mean optimizer.state.layer.weight.exp_avg" in error


def test_metadata_survives(tmp_path):
    file, out, store = tmp_path / "in.safetensors", tmp_path / "out.safetensors", tmp_path / "store"
    for step, metadata in enumerate(
        [{"format": "pt", "ü": "\n\"quoted\""}, {"bitsnap.metadata": '{"version": 1}'}, None]
    ):
        write_safetensors(file, {"a": ("U8", [1], b"x")}, metadata)
        bitsnap("save", store, file, "--step", step)
        bitsnap("restore", store, "-o", out, "--force")
        assert read_metadata(out) == metadata
    # What the last but one carried is what another program had put into a snapshot.
    assert bitsnap_json("inspect", store, "--step", 1)["metadata"] == '{"version": 1}'


def test_inspect(saved):
    told = bitsnap_json("inspect", saved, "--step", 30)
    assert told["step"] == 30 and told["rank"] == 0 and told["profile"] == "exact"
    tensors = {tensor["name"]: tensor for tensor in told["tensors"]}
    weight = tensors["model.layer.weight"]
    assert weight["dtype"] == "BF16" and weight["shape"] == [256, 128]
    assert weight["role"] == "weight" and weight["raw_bytes"] == 65536
    assert weight["error"] is None and weight["codec"] and weight["why"]
    assert tensors["step"]["shape"] == [] and tensors["step"]["role"] == "other"
    text = bitsnap("inspect", saved).stdout
    assert "model.layer.weight" in text and "step 30, rank 0 of 1, profile exact" in text


def test_inspect_tells_the_error_of_lossy_tensors(tmp_path):
    save_file(training_state(1), tmp_path / "state.safetensors")
    bitsnap("save", tmp_path / "store", tmp_path / "state.safetensors", "--step", 1,
            *("--profile", "paper"))
    tensors = bitsnap_json("inspect", tmp_path / "store")["tensors"]
    errors = {tensor["role"]: tensor["error"] for tensor in tensors}
    assert errors["weight"] is None
    assert errors["exp_avg"] and all(value > 0 for value in errors["exp_avg"].values())


def test_ls(saved, tmp_path):
    steps = bitsnap_json("ls", saved)
    assert [step["step"] for step in steps] == [10, 20, 30]
    assert all(step["whole"] and step["ranks"] == [0] for step in steps)
    assert [step["newest_whole"] for step in steps] == [False, False, True]
    assert steps[0]["stored_bytes"] == rank_file(saved, 10).stat().st_size
    lines = bitsnap("ls", saved).stdout.splitlines()
    assert len(lines) == 5 and lines[3].split()[:2] == ["*", "30"]
    (tmp_path / "empty").mkdir()
    assert bitsnap_json("ls", tmp_path / "empty") == []


def test_ranks(tmp_path):
    store, out = tmp_path / "store", tmp_path / "out.safetensors"
    for rank in (1, 0):
        file = tmp_path / f"{rank}.safetensors"
        write_safetensors(file, {f"of-{rank}": ("U8", [2], bytes([rank, 7]))})
        assert rank == 1 or not bitsnap_json("ls", store)[0]["whole"]
        bitsnap("save", store, file, "--step", 1, "--rank", rank, "--world-size", 2)
    assert bitsnap_json("ls", store)[0]["ranks"] == [0, 1]
    assert "rank 1 of 2" in bitsnap("restore", store, "--rank", 1, "-o", out).stdout
    assert read_safetensors(out) == read_safetensors(tmp_path / "1.safetensors")


def test_verify(saved):
    told = bitsnap_json("verify", saved)
    assert told["sound"] and told["files"] == 3 and told["broken"] == []
    assert told["raw_bytes"] == 3 * (256 * 128 * 14 + 8)
    assert bitsnap_json("verify", saved, "--step", 20)["files"] == 1


def test_help_and_version():
    assert bitsnap("--version").stdout.startswith("bitsnap 0.")
    assert "restore" in bitsnap("--help").stdout
    assert "subcommand is required; see `bitsnap --help`" in bitsnap(code=2).stderr
    for command in ("save", "restore", "ls", "inspect", "verify"):
        text = bitsnap(command, "--help").stdout
        assert "--json" in text and f"bitsnap {command} runs/a" in text and "Exit codes" in text
