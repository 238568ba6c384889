"""One real run, from warm-up to fine-tuning: the policy decides anew at each save, from the data."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from command import bitsnap_json

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from gpt import Config, Training  # noqa: E402

CONFIG = Config(
    steps=60, warmup=20, final_lr=3e-5, layers=2, width=128, heads=4, context=64, threads=1
)
TUNING = Config(
    steps=1, warmup=0, final_lr=1e-6, layers=2, width=128, heads=4, context=64, threads=1,
    peak_lr=1e-6, beta2=0.999,
)  # fmt: skip


class Walk:
    def __init__(self, folder):
        self.folder = folder
        self.step = 0
        self.training = Training(CONFIG, seed=1)

    def train(self, steps):
        for _ in range(steps):
            self.training.train_step()
        self.step += steps

    def save(self, tensors=None, profile="exact", base="auto"):
        path = self.folder / "state.safetensors"
        save_file(tensors or self.training.tensors(), path)
        report = bitsnap_json(
            "save", self.folder / profile, path, "--step", self.step, "--profile", profile,
            "--base", base,
        )  # fmt: skip
        tensors = bitsnap_json("inspect", self.folder / profile, "--step", self.step)["tensors"]
        return report, {t["name"]: t for t in tensors}

    def ratio(self, report, role="weight"):
        return report["roles"][role]["raw_bytes"] / report["roles"][role]["stored_bytes"]


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    torch_settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield Walk(tmp_path_factory.mktemp("walk"))
    torch.set_num_threads(torch_settings[0])
    torch.use_deterministic_algorithms(torch_settings[1])


def test_decisions_change_with_the_run(walk):
    weight = "model.blocks.0.up.weight"
    # Warm-up. Nothing to lean on: byte planes, and masters as what they have beyond the weights.
    walk.train(10)
    first, tensors = walk.save()
    assert first["base_step"] is None
    assert tensors[weight]["codec"].startswith("planes")
    assert tensors["optimizer.state.blocks.0.up.weight.master"]["codec"] == "residual"
    assert walk.ratio(first, "master") > 1.9

    # Right after, almost every weight has changed, and yet the ULP difference is small.
    walk.train(10)
    report, tensors = walk.save()
    early = walk.ratio(report)

    # In the tail of the schedule less changes from save to save.
    walk.train(40)
    walk.save(base="none")
    walk.train(1)
    report, tensors = walk.save()
    assert report["base_step"] is not None
    assert tensors[weight]["codec"].startswith("delta")
    tail = walk.ratio(report)
    assert tail > 2 * early and tail > 3
    assert "delta" in tensors[weight]["why"] and "planes" in tensors[weight]["why"]

    # Fine-tuning: most weights stay as they are from step to step.
    walk.training.start_phase(TUNING)
    walk.train(20)
    walk.save(base="none")
    walk.train(1)
    tuned, _ = walk.save()
    assert tuned["base_step"] == walk.step - 1
    assert walk.ratio(tuned) > 3 * tail
    assert walk.ratio(tuned, "exp_avg_sq") > walk.ratio(first, "exp_avg_sq")

    # A jump: leaning on what was would save nothing, so this becomes the next base.
    walk.training.train_step()
    walk.step += 1
    shaken = {n: t + 0.01 * torch.randn_like(t) for n, t in walk.training.tensors().items()
              if t.dim() > 0}  # fmt: skip
    rebased, _ = walk.save(shaken)
    assert rebased["base_step"] is None
    assert "less than a twentieth" in rebased["base_reason"]


def test_what_does_not_move_costs_nothing(walk):
    """Frozen and tied tensors, idle experts, rows of embeddings that were never seen."""
    walk.step += 100
    state = {name: tensor.clone() for name, tensor in walk.training.tensors().items()}
    state["model.tied"] = state["model.head.weight"].clone()
    state["model.expert.weight"] = torch.randn(512, 128).bfloat16()
    state["optimizer.state.expert.weight.exp_avg"] = torch.zeros(512, 128)
    state["optimizer.state.expert.weight.exp_avg_sq"] = torch.zeros(512, 128)
    for profile in ("exact", "balanced"):
        walk.save(state, profile, base="none")
    walk.train(1)
    moved = {**state, **walk.training.tensors()}
    moved["model.tied"] = moved["model.head.weight"].clone()
    frozen = "model.blocks.1.down.weight"
    moved[frozen] = state[frozen]
    for profile in ("exact", "balanced"):
        report, tensors = walk.save(moved, profile)
        assert report["base_step"] == walk.step - 1
        for name in (frozen, "model.tied", "model.expert.weight"):
            assert tensors[name]["stored_bytes"] == 0, name
        for key in ("exp_avg", "exp_avg_sq"):
            idle = tensors[f"optimizer.state.expert.weight.{key}"]
            assert idle["stored_bytes"] <= idle["raw_bytes"] / 1000
            assert not idle["error"] or idle["error"]["update_error"] == 0
