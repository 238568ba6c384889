"""A small GPT in mixed precision: bf16 weights, fp32 masters, AdamW, text every machine has."""

import functools
import math
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

VOCABULARY = 256  # bytes
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Config:
    steps: int  # the length of the learning rate's schedule; `final_lr` holds after it
    warmup: int
    final_lr: float
    layers: int = 4
    width: int = 256
    heads: int = 4
    context: int = 128  # tokens
    batch: int = 8  # sequences
    threads: int = 2
    peak_lr: float = 3e-4
    beta2: float = 0.95

    def learning_rate(self, step: int) -> float:
        """Linear warm-up to the peak, then a cosine down to `final_lr` at `steps`."""
        if step < self.warmup:
            return self.peak_lr * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        return self.final_lr + (self.peak_lr - self.final_lr) * (1 + math.cos(math.pi * done)) / 2


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attention(self, x: Tensor) -> Tensor:
        batch, context, width = x.shape
        split = self.qkv(x).view(batch, context, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.project(mixed.transpose(1, 2).reshape(batch, context, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, VOCABULARY, bias=False)
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


@functools.cache
def python_source() -> Tensor:
    """The bytes of the standard library's source, in the order of the files' names."""
    root = Path(sysconfig.get_path("stdlib"))
    installed = {"site-packages", "dist-packages"}
    files = sorted(p for p in root.rglob("*.py") if not installed & set(p.parts))
    return torch.frombuffer(bytearray(b"".join(p.read_bytes() for p in files)), dtype=torch.uint8)


class Training:
    """Everything a run is made of. The state is the model, the optimizer and torch's RNG."""

    def __init__(self, config: Config, seed: int) -> None:
        # The number of threads decides the order in which floats are summed, hence their bits.
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(seed)
        self.text = python_source()
        initial = GPT(config)
        self.masters = [p.detach().clone() for p in initial.parameters()]
        self.model = initial.bfloat16()
        self.start_phase(config)

    def start_phase(self, config: Config) -> None:
        """Goes on with the weights as they are: a new schedule and a new optimizer."""
        self.config = config
        self.optimizer = torch.optim.AdamW(
            self.masters, betas=(0.9, config.beta2), weight_decay=0.1, fused=True
        )
        self.step = 0

    def train_step(self) -> float:
        """One step of the optimizer; returns the loss before it."""
        inputs, targets = self._batch()
        # bf16 weights, fp32 arithmetic: few CPUs multiply bf16 fast.
        weights = {
            name: p.detach().float().requires_grad_() for name, p in self.model.named_parameters()
        }
        logits = functional_call(self.model, weights, (inputs,))
        loss = F.cross_entropy(logits.view(-1, VOCABULARY), targets.reshape(-1))
        gradients = torch.autograd.grad(loss, list(weights.values()))
        self._update(gradients)
        self.step += 1
        return loss.item()

    def weights16(self) -> Tensor:
        """A copy of all 16-bit weights, as integers, to compare by bits."""
        return torch.cat([p.detach().view(torch.int16).flatten() for p in self.model.parameters()])

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint under the names that BitSnap's roles are inferred from."""
        named = {}
        for (name, weight), master in zip(self.model.named_parameters(), self.masters):
            named[f"model.{name}"] = weight.detach()
            named[f"optimizer.state.{name}.master"] = master
            for key, value in self.optimizer.state[master].items():
                named[f"optimizer.state.{name}.{key}"] = value
        return named

    def _batch(self) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(self.text) - self.config.context, (self.config.batch, 1))
        tokens = self.text[starts + torch.arange(self.config.context + 1)].long()
        return tokens[:, :-1], tokens[:, 1:]

    def _update(self, gradients: tuple[Tensor, ...]) -> None:
        for master, gradient in zip(self.masters, gradients):
            master.grad = gradient
        torch.nn.utils.clip_grad_norm_(self.masters, GRADIENT_NORM)
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate(self.step)
        self.optimizer.step()
        with torch.no_grad():
            for weight, master in zip(self.model.parameters(), self.masters):
                weight.copy_(master)
