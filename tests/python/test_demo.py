"""The demo in small: a tiny model, but real processes, a real SIGKILL and a real store."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import demo_report  # noqa: E402
import train  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def torch_settings():
    """A training sets torch's threads, determinism and RNG; other tests keep their own."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def tiny_run(folder: Path, *, seed: int = 1) -> train.Run:
    words = f"--store {folder}/store --out {folder} --steps 20 --size tiny --seed {seed}"
    return train.Run(train.parse(words.split()))


def complete(run: train.Run, disturb=lambda training: None) -> None:
    run.resume()
    disturb(run.training)
    run.train()
    run.finish()


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("left_alone")
    complete(tiny_run(folder))
    return folder


def halfway(left_alone: Path, folder: Path) -> train.Run:
    """A new run with the store as it was after step 10 of 20."""
    shutil.copytree(left_alone / "store", folder / "store")
    shutil.rmtree(folder / "store" / "step-00000020")
    return tiny_run(folder)


def reseed(training: train.Training) -> None:
    torch.manual_seed(2)


def forget_momentum(training: train.Training) -> None:
    for state in training.optimizer.state.values():
        state["exp_avg"].zero_()


def masters_from_weights(training: train.Training) -> None:
    with torch.no_grad():
        for master, weight in zip(training.masters, training.model.parameters()):
            master.copy_(weight)


def test_demo_survives_sigkill(tmp_path):
    command = [sys.executable, EXAMPLES / "demo.py", "--size", "tiny", "--steps", "30"]
    done = subprocess.run([*command, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed by SIGKILL") == 2
    assert "bit-identical" in done.stdout
    assert "\r" not in done.stdout
    resumed = demo_report.events(tmp_path / "b" / "log.jsonl", "resume")
    assert resumed[0]["step"] == 10
    assert resumed[1]["step"] in (10, 20)  # the second kill races with the commit of step 20
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_demo_leaves_nothing_running(tmp_path, stop, code):
    command = [sys.executable, EXAMPLES / "demo.py", "--size", "tiny", "--steps", "1000000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A CI job started with `&` hands down an ignored SIGINT.
    as_in_a_shell = ["env", "--default-signal=INT"]
    with subprocess.Popen([*as_in_a_shell, *command, "--out", tmp_path], **pipes) as demo:
        while "step   10" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(stop)
        _, errors = demo.communicate(timeout=30)  # waits for the training's end of the pipe, too
    assert demo.returncode == code
    assert "Traceback" not in errors
    assert ("interrupted" in errors) == (stop == signal.SIGINT)


def test_resumed_run_is_bit_identical(left_alone, tmp_path):
    run = halfway(left_alone, tmp_path)
    complete(run)
    assert demo_report.events(tmp_path / "log.jsonl", "resume") == [{"event": "resume", "step": 10}]
    assert demo_report.verdict(left_alone, tmp_path) == []


@pytest.mark.parametrize(
    ("disturb", "shows_in"),
    [
        (reseed, "rng"),
        (forget_momentum, "optimizer.state.token.weight.exp_avg"),
        (masters_from_weights, "optimizer.state.token.weight.master"),
    ],
)
def test_incomplete_resume_is_detected(left_alone, tmp_path, disturb, shows_in):
    complete(halfway(left_alone, tmp_path), disturb)
    differences = demo_report.verdict(left_alone, tmp_path)
    assert any(line.startswith(f"{shows_in}: ") for line in differences)
    assert any(line.startswith("loss of step") for line in differences)


def test_other_seed_is_detected(left_alone, tmp_path):
    complete(tiny_run(tmp_path, seed=2))
    assert demo_report.verdict(left_alone, tmp_path)


def test_comparison_is_by_bits(tmp_path):
    nan = float("nan")
    a, b = tmp_path / "a", tmp_path / "b"
    save_file({"x": torch.tensor([0.0, nan]), "y": torch.zeros(2), "z": torch.zeros(1)}, a)
    save_file({"x": torch.tensor([-0.0, nan]), "y": torch.zeros(1), "w": torch.zeros(1)}, b)
    assert demo_report.differing_tensors(a, a) == []
    assert demo_report.differing_tensors(a, b) == [
        f"z: only in {a}",
        f"w: only in {b}",
        "x: 1 of 2 elements differ",
        "y: torch.float32 [2] against torch.float32 [1]",
    ]
