"""`bitsnap bench`: its figures are those of a real save and restore, and it leaves nothing."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from command import BINARY, bitsnap, bitsnap_json, files_of, write_safetensors

RAM_DISK = Path("/dev/shm")
M, V = "optimizer.state.layer.weight.exp_avg", "optimizer.state.layer.weight.exp_avg_sq"
LOSSLESS = ("exact", "fast")


def training_state(seed):
    generator = torch.Generator().manual_seed(1)
    master = torch.randn(256, 128, generator=generator) * 0.02
    drift = torch.Generator().manual_seed(seed)
    master += 1e-4 * torch.randn(256, 128, generator=drift)
    return {
        "model.layer.weight": master.bfloat16(),
        "optimizer.state.layer.weight.master": master,
        M: torch.randn(256, 128, generator=drift) * 1e-3,
        V: torch.rand(256, 128, generator=drift) * 1e-6,
    }


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, path in enumerate(paths, start=2):
        save_file(training_state(seed), path)
    return paths


def temporary_folders():
    return sorted(RAM_DISK.glob("bitsnap-bench-*"))


def relative_error(x, y):
    return ((x.double() - y.double()).norm() / x.double().norm()).item()


def update(tensors):
    return tensors[M].double() / (tensors[V].double().sqrt() + 1e-8)


def test_every_profile_as_a_save_and_restore_measure_it(tmp_path, files):
    results = bitsnap_json("bench", *files, "--threads", 1)["results"]
    profiles = {result["profile"] for result in results}
    assert {"exact", "fast", "paper"} <= profiles
    assert len(results) == len(files) * len(profiles)
    for result in results:
        store, out = tmp_path / result["profile"], tmp_path / "out.safetensors"
        step = files.index(Path(result["file"]))
        base = "none" if step == 0 else 0
        assert result["base"] == (None if step == 0 else str(files[0]))
        options = ["--step", step, "--profile", result["profile"], "--base", base]
        saved = bitsnap_json("save", store, result["file"], *options)
        assert result["whole"]["stored_bytes"] == saved["stored_bytes"]
        assert result["whole"]["ratio"] == saved["ratio"]
        bitsnap("restore", store, "--step", step, "-o", out, "--force")
        before, after = load_file(result["file"]), load_file(out)
        inspected = bitsnap_json("inspect", store, "--step", step)["tensors"]
        for tensor in inspected:
            role = result["roles"][tensor["role"]]
            assert role["codecs"] == tensor["codec"]
            assert role["stored_bytes"] == saved["roles"][tensor["role"]]["stored_bytes"]
            name = tensor["name"]
            error = relative_error(before[name], after[name])
            assert role["relative_error"] == pytest.approx(error, rel=1e-6)
        error = relative_error(update(before), update(after))
        for role in ("exp_avg", "exp_avg_sq"):
            assert result["roles"][role]["update_error"] == pytest.approx(error, rel=1e-6)
            assert result["roles"][role]["timed_with"] == ["exp_avg", "exp_avg_sq"]
        if result["profile"] in LOSSLESS:
            assert error == 0
        assert result["roles"]["weight"]["relative_error"] == 0


def test_rates_are_of_the_bytes_that_were_timed(files):
    (result,) = bitsnap_json("bench", files[0], "--profile", "fast", "--threads", 1)["results"]
    for part in (result["whole"], *result["roles"].values()):
        for way in ("encode", "decode"):
            rate, share = part[f"{way}_gb_s"], part[f"{way}_of_memcpy"]
            assert rate > 0
            assert share == pytest.approx(rate / result["memcpy_gb_s"])


def test_profiles_are_chosen(tmp_path, files):
    saved = bitsnap_json("save", tmp_path / "store", files[0], "--step", 1, "--profile", "FAST")
    assert saved["profile"] == "fast"
    document = bitsnap_json("bench", files[0], "--profile", "fast", "--profile", "PAPER")
    assert [result["profile"] for result in document["results"]] == ["fast", "paper"]
    error = bitsnap_json("bench", files[0], "--profile", "none-such", code=2)["error"]
    assert "none-such" in error["message"]


def test_table_for_people(files):
    text = bitsnap("bench", *files, "--profile", "exact", "--profile", "paper").stdout
    assert "a.safetensors, standing alone" in text
    assert "b.safetensors, leaning on a.safetensors" in text
    assert text.count("exact") >= 2 and "update " in text and "memcpy: up to" in text


def test_weights_alone_and_odd_values(tmp_path):
    odd = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3e38]
    file = tmp_path / "w.safetensors"
    tensors = {"model.w": torch.tensor(odd * 1000), "model.none": torch.empty(0, 3)}
    save_file(tensors, file)
    for result in bitsnap_json("bench", file)["results"]:
        assert list(result["roles"]) == ["weight"]
        assert result["roles"]["weight"]["relative_error"] == 0
        assert result["roles"]["weight"]["update_error"] is None


def test_nothing_is_left(tmp_path, files):
    folders, before = temporary_folders(), files_of(tmp_path)
    bitsnap("bench", *files)
    other = tmp_path / "other"
    other.write_bytes(files[0].read_bytes()[:-1])
    bitsnap("bench", files[0], other, code=4)
    other.unlink()
    assert temporary_folders() == folders and files_of(tmp_path) == before


def test_interrupted_bench_leaves_nothing(tmp_path):
    size = 64 << 20
    write_safetensors(tmp_path / "big", {"w": ("F32", [size // 4], bytes(range(256)) * (size >> 8))})
    before = temporary_folders()
    pipe = subprocess.PIPE
    process = subprocess.Popen([BINARY, "bench", tmp_path / "big"], stdout=pipe, stderr=pipe)
    while temporary_folders() == before and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, told
    assert temporary_folders() == before and list(tmp_path.iterdir()) == [tmp_path / "big"]
