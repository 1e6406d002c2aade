"""Stage 2: the vision tower alone. For each soft token it learns to say what lies in its 48x48 pixels; the heads are thrown away.

    python train_vision.py --state STATE --steps 3000

Resumes from STATE/vision.pt. The first `SMALL_UNTIL` steps use small pictures, which cost a quarter.
"""

import argparse
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel

import lean
import pictures
from shape import vision_configuration
from training import Run, Schedule, log, soften_attention

SMALL_UNTIL = 1200
BATCH_SMALL, BATCH = 32, 12
KINDS = {"shape": len(pictures.SHAPES), "colour": len(pictures.COLOURS), "size": len(pictures.SIZES)}


class CellHead(nn.Module):
    """Normalised soft tokens, as `embed_vision` takes them -> logits of shape, colour, size and of a noisy background."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(width, sum(count + 1 for count in KINDS.values()) + 1)

    def forward(self, soft: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = self.linear(F.rms_norm(soft, (self.width,), eps=1e-6))
        return logits.split([count + 1 for count in KINDS.values()] + [1], dim=-1)


def batch(rng: random.Random, canvas: tuple[int, int], count: int, most: int) -> tuple[list[pictures.Scene], torch.Tensor, torch.Tensor]:
    """Scenes of one canvas, their patches [count, N, 768] and positions [N, 2]."""
    scenes = [pictures.scene(rng, canvas, most) for _ in range(count)]
    pixels = torch.from_numpy(np.stack([pictures.patches(pictures.draw(scene, rng)) for scene in scenes]))
    return scenes, pixels, torch.from_numpy(pictures.positions(*canvas))


def cell_loss(head: CellHead, soft: torch.Tensor, scenes: list[pictures.Scene]) -> tuple[torch.Tensor, float]:
    """Cross entropy, and the share of occupied cells named right in all three respects."""
    labels = torch.from_numpy(np.stack([pictures.cell_labels(scene) for scene in scenes]))
    noisy = torch.tensor([scene.noisy for scene in scenes], dtype=torch.float32)
    *logits, noise = head(soft)
    occupied = labels[..., 0] > 0
    weight = torch.where(occupied, 1.0, 0.15)
    loss = sum((F.cross_entropy(part.flatten(0, 1), labels[..., n].flatten(), reduction="none") * weight.flatten()).sum() for n, part in enumerate(logits))
    loss = loss / weight.sum() + F.binary_cross_entropy_with_logits(noise.mean((1, 2)), noisy)
    right = torch.stack([part.argmax(-1) == labels[..., n] for n, part in enumerate(logits)]).all(0)
    return loss, right[occupied].float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--descent", type=int, default=600)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(2)

    tower = AutoModel.from_config(vision_configuration())
    nn.init.normal_(tower.patch_embedder.position_embedding_table, std=0.02)
    soften_attention(tower)
    modules = nn.ModuleDict({"tower": tower, "head": CellHead(tower.config.hidden_size)})
    print("difference from transformers", lean.check_vision(tower))
    run = Run(options.state, "vision", modules, Schedule(options.rate, 200, options.steps, options.descent))
    rng = random.Random(run.step)
    average = rate = None
    while not run.finished():
        if run.step < SMALL_UNTIL:
            scenes, pixels, positions = batch(rng, rng.choice([(192, 192), (240, 192), (192, 240)]), BATCH_SMALL, 2)
        else:
            scenes, pixels, positions = batch(rng, rng.choice(pictures.CANVASES), BATCH, 3)
        loss, right = cell_loss(modules["head"], lean.vision_tower(tower, pixels, positions), scenes)
        norm = run.update(loss)
        average = loss.item() if average is None else 0.95 * average + 0.05 * loss.item()
        rate = right if rate is None else 0.95 * rate + 0.05 * right
        if run.step % 25 == 0:
            log(options.state, "vision", step=run.step, loss=round(average, 3), right=round(rate, 3), norm=round(norm, 2))
    run.save()


if __name__ == "__main__":
    main()
