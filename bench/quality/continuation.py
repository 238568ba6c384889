"""A run that goes on after step S: left alone, restored from a snapshot, or damaged on purpose."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from bitsnap.torch import Checkpointer
from gpt import VOCABULARY, Config, Training, python_source

RUN_SEED = 1
OTHER_SEED = 2  # of what a restored run starts with before it is restored
PIECE = 1 << 16  # bytes of text
HELD_OUT_PIECES = 64  # one of so many
EPS = 1e-8  # AdamW's


@dataclass(frozen=True)
class Settings:
    """Everything that decides the losses, apart from the profiles."""

    config: Config
    start: int  # the step that runs are restored at
    marks: tuple[int, ...]  # steps after it at which the loss is measured
    restore_every: int  # steps, of the run that is restored again and again
    orders: int  # data orders of the uninterrupted continuation; 0 is the run's own
    held_out: int  # sequences


@cache
def texts() -> tuple[Tensor, Tensor]:
    """What is trained on, and what is held out: every so-manieth piece of the whole."""
    text = python_source()
    pieces = text[: len(text) // PIECE * PIECE].view(-1, PIECE)
    held_out = torch.arange(len(pieces)) % HELD_OUT_PIECES == 0
    return pieces[~held_out].flatten(), pieces[held_out].flatten()


def new_training(settings: Settings, seed: int) -> Training:
    training = Training(settings.config, seed)
    training.text = texts()[0]
    return training


def held_out_loss(training: Training, settings: Settings) -> float:
    """Of the 16-bit weights, on the same sequences each time; leaves the RNG alone."""
    text, context = texts()[1], settings.config.context
    starts = torch.linspace(0, len(text) - context - 1, settings.held_out).long()[:, None]
    weights = {name: p.detach().float() for name, p in training.model.named_parameters()}
    total = 0.0
    with torch.no_grad():
        for part in starts.split(32):
            tokens = text[part + torch.arange(context + 1)].long()
            logits = functional_call(training.model, weights, (tokens[:, :-1],))
            targets = tokens[:, 1:].reshape(-1)
            total += F.cross_entropy(logits.view(-1, VOCABULARY), targets, reduction="sum").item()
    return total / (settings.held_out * context)


def digest(training: Training) -> str:
    """Of every bit of the state."""
    content = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for tensor in training.tensors().values():
        content.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def write_trunk(training: Training, path: Path) -> None:
    """Without BitSnap, which must not be its own witness."""
    state = {
        "step": training.step,
        "rng": torch.get_rng_state(),
        "model": training.model.state_dict(),
        "masters": training.masters,
        "optimizer": training.optimizer.state_dict(),
    }
    torch.save(state, path)


def read_trunk(settings: Settings, path: Path) -> Training:
    state = torch.load(path, weights_only=True)
    training = new_training(settings, OTHER_SEED)
    training.step = state["step"]
    training.model.load_state_dict(state["model"])
    with torch.no_grad():
        for master, stored in zip(training.masters, state["masters"]):
            master.copy_(stored)
    training.optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return training


def updates(training: Training) -> list[Tensor]:
    """What Adam would do next, bias correction and learning rate apart, in fp64."""
    states = (training.optimizer.state[master] for master in training.masters)
    return [s["exp_avg"].double() / (s["exp_avg_sq"].double().sqrt() + EPS) for s in states]


def update_change(before: Training, after: Training) -> dict[str, float]:
    """The worst tensor's ||u - û|| / ||u||, and by how much û is longer along u in all.

    An error that keeps the scale at 1 is noise; one that does not changes the learning rate.
    """
    pairs = list(zip(updates(before), updates(after)))
    error = max(((u - restored).norm() / u.norm()).item() for u, restored in pairs)
    along = sum((u * restored).sum() for u, restored in pairs)
    scale = (along / sum(u.square().sum() for u, _ in pairs)).item()
    return {"measured_error": error, "scale": scale}


@dataclass
class Restorer:
    """Saves a run with a profile and goes on with another model that is restored from it."""

    settings: Settings
    profile: str
    folder: Path
    saves: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, training: Training) -> Training:
        report = (
            Checkpointer(self.folder, self.profile, engine="sync")
            .save(
                training.step,
                model=training.model,
                optimizer=training.optimizer,
                extra={"rng": torch.get_rng_state()},
            )
            .result()
        )
        restored = new_training(self.settings, OTHER_SEED)
        checkpointer = Checkpointer(self.folder)
        restored.step = checkpointer.restore(model=restored.model, optimizer=restored.optimizer)
        torch.set_rng_state(checkpointer.extra["rng"])
        snapshot = checkpointer.store.open_step(restored.step)
        stated = [t.error["update_error"] for t in snapshot.tensors if "update_error" in t.error]
        self.saves.append(
            {
                "raw_bytes": report.raw_bytes,
                "stored_bytes": report.stored_bytes,
                "base_step": report.base_step,
                "stated_error": max(stated, default=None),
                **update_change(training, restored),
            }
        )
        return restored


def drop_optimizer(training: Training) -> Training:
    training.optimizer.state.clear()
    return training


def nudge_masters(training: Training) -> Training:
    """By one ULP: what remains of it after some steps is chaos, not damage."""
    with torch.no_grad():
        for master in training.masters:
            master.copy_(torch.nextafter(master, torch.zeros_like(master)))
    return training


def choose_order(order: int) -> None:
    """Of the data from here on."""
    if order > 0:
        torch.manual_seed(1000 + order)


def go_on(
    training: Training,
    settings: Settings,
    restore: Callable[[Training], Training] | None = None,
) -> dict:
    """The losses at the marks and a digest of the end; with `restore`, through it now and then."""
    losses, last = {}, settings.marks[-1]
    for done in range(1, last + 1):
        training.train_step()
        if done in settings.marks:
            losses[str(done)] = held_out_loss(training, settings)
        if restore and done % settings.restore_every == 0 and done < last:
            training = restore(training)
    return {"losses": losses, "digest": digest(training)}
