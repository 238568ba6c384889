"""A run that is restored in a new process."""

import subprocess
import sys
from pathlib import Path

import torch
from torch_training import frozen


def test_a_new_process_goes_on_bit_for_bit(tmp_path):
    """20 steps, saved, restored elsewhere, 20 more: the bits of 40 uninterrupted steps."""
    script = """
import sys, torch
from torch_training import make_model, train
from bitsnap.torch import Checkpointer
torch.set_num_threads(1)
store, until, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
model = make_model(int(sys.argv[4]))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
ckpt = Checkpointer(store)
step = ckpt.restore(model=model, optimizer=optimizer, extra={"scheduler": scheduler}) or 0
if step:
    torch.set_rng_state(ckpt.extra["rng"])
else:
    torch.manual_seed(5)
for step in range(step, until):
    train(model, optimizer, 1)
    scheduler.step()
ckpt.save(until, model, optimizer, {"rng": torch.get_rng_state(), "scheduler": scheduler})
torch.save([model.state_dict(), optimizer.state_dict(), torch.get_rng_state()], out)
"""

    def run(store, until, seed):
        out = tmp_path / f"{store}-{until}.pt"
        arguments = [str(tmp_path / store), str(until), str(out), str(seed)]
        here = Path(__file__).parent
        subprocess.run([sys.executable, "-c", script, *arguments], check=True, cwd=here)
        return frozen(torch.load(out, weights_only=False))

    whole = run("whole", 40, seed=1)
    run("parts", 20, seed=1)
    assert run("parts", 40, seed=2) == whole
