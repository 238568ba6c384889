"""What saving a state that lies on a GPU costs the training (`make bench-device`).

A bf16 model with Adam's fp32 pair, as a training has it. Of each way: for how long the call blocks
(best and worst of the saves after the first), and the same as a multiple of copying the state once
into pinned memory.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import torch

from bitsnap.torch import Checkpointer


def make_state(parameters: int, tensors: int = 64) -> dict[str, torch.Tensor]:
    each = parameters // tensors
    state = {}
    for i in range(tensors):
        weight = torch.randn(each, device="cuda") * 0.02
        state[f"{i}.weight"] = weight.bfloat16()
        state[f"{i}.exp_avg"] = torch.randn(each, device="cuda") * 1e-4
        state[f"{i}.exp_avg_sq"] = (torch.randn(each, device="cuda") * 1e-4).square()
    return state


def seconds(work) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def pinned_copy(state) -> float:
    to = {
        name: torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        for name, value in state.items()
    }

    def copy():
        for name, value in state.items():
            to[name].copy_(value, non_blocking=True)

    return min(seconds(copy) for _ in range(3))


def blocking(folder: Path, state, saves: int, **settings) -> list[float]:
    taken = []
    with Checkpointer(folder, keep_last=1, **settings) as ckpt:
        for step in range(saves):
            for name, value in state.items():
                if name.endswith("weight"):
                    value.mul_(1.0001)
            taken.append(seconds(lambda: ckpt.save(step, model=state)))
            ckpt.wait()
    shutil.rmtree(folder)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parameters", type=int, default=300_000_000)
    parser.add_argument("--saves", type=int, default=4)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench/device.py needs a GPU that torch can use", file=sys.stderr)
        return 1
    state = make_state(arguments.parameters)
    size = sum(value.nbytes for value in state.values())
    once = pinned_copy(state)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, state {size / 1e9:.2f} GB")
    print(f"copy into pinned memory: {once:.3f} s, {size / once / 1e9:.1f} GB/s")
    arguments.folder.mkdir(parents=True)
    taken = [seconds(lambda: torch.save(state, arguments.folder / "state.pt")) for _ in range(2)]
    print(f"torch.save: first {taken[0]:.3f} s, then {taken[1]:.3f} s, {taken[1] / once:.1f} times")
    for engine in ("thread", "agent"):
        for profile in ("fast", "exact"):
            taken = blocking(
                arguments.folder / "store", state, arguments.saves, engine=engine, profile=profile
            )
            best, worst = min(taken[1:]), max(taken[1:])
            print(
                f"bitsnap {engine} {profile}: first {taken[0]:.3f} s, then {best:.3f} to "
                f"{worst:.3f} s, {best / once:.1f} times"
            )
    shutil.rmtree(arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
