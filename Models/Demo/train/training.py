"""What the stages share: the model, the schedule, and a state that can be resumed at any moment."""

import json
import math
import os
import time
from pathlib import Path

import torch
from torch import nn

SAVE_EVERY_SECONDS = 180


class Schedule:
    """Warm-up, plateau, and a linear descent to zero over the last `descent` steps before `total`."""

    def __init__(self, peak: float, warmup: int, total: int, descent: int) -> None:
        self.peak, self.warmup, self.total, self.descent = peak, warmup, total, descent

    def rate(self, step: int) -> float:
        return self.peak * min(1.0, (step + 1) / self.warmup, max(0.0, (self.total - step) / self.descent))


class Run:
    """Modules, optimiser and step of one stage, written to `folder/stage.pt` every few minutes."""

    def __init__(self, folder: str, stage: str, modules: nn.ModuleDict, schedule: Schedule, decay: float = 0.01) -> None:
        self.path, self.modules, self.schedule = Path(folder) / f"{stage}.pt", modules, schedule
        parameters = [p for p in modules.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, fused=True)
        self.step, self.seconds = 0, 0.0
        self.started = self.saved = time.monotonic()
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            modules.load_state_dict(state["modules"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]

    def update(self, loss: torch.Tensor) -> float:
        """One step down the gradient of `loss`. Returns the gradient's norm."""
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0).item()
        if math.isfinite(norm):
            for group in self.optimiser.param_groups:
                group["lr"] = self.schedule.rate(self.step)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        if time.monotonic() - self.saved > SAVE_EVERY_SECONDS:
            self.save()
        return norm

    def finished(self) -> bool:
        return self.step >= self.schedule.total

    def save(self) -> None:
        now = time.monotonic()
        seconds = self.seconds + now - self.started
        state = {"modules": self.modules.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": seconds}
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)
        self.saved = now


def soften_attention(module: nn.Module) -> None:
    """Gemma 4 does not divide scores by the root of the head size; start as if it did, or attention starts out one-hot."""
    for name, part in module.named_modules():
        if name.endswith(("q_norm", "k_norm")):
            nn.init.constant_(part.weight, part.weight.numel() ** -0.25)


def log(folder: str, stage: str, **values) -> None:
    """One line of JSON to the terminal and to `folder/stage.log`."""
    line = json.dumps({"time": time.strftime("%H:%M:%S"), **values})
    print(line, flush=True)
    with open(Path(folder) / f"{stage}.log", "a") as file:
        file.write(line + "\n")
