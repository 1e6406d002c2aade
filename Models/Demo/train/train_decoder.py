"""Stage 3: the decoder learns to read both towers; stage 4 (`--joint`) trains all parts together.

    python train_decoder.py --state STATE --data STATE/data --steps 8000           frozen towers
    python train_decoder.py --state STATE --data STATE/data --steps 10000 --joint  everything

Resumes from STATE/decoder.pt. With frozen towers the newest STATE/audio.pt and STATE/vision.pt are read at every start, so
those stages may go on meanwhile; with --joint the towers in STATE/decoder.pt are trained on, with their heads' losses beside,
but for those that --take names: they come from their stage's file.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Gemma4ForConditionalGeneration

import conversation
import lean
import pictures
import shape
import sound
import train_audio
import train_vision
import vocabulary
from conversation import Example
from training import Run, Schedule, log, soften_attention

AUDIO_BATCH, IMAGE_BATCH = 24, 16
JOINT_AUDIO, JOINT_IMAGES = 16, 8
FRESH_AUDIO, FRESH_IMAGES = 6, 3  # per step of that kind, while the towers are frozen
AUDIO_POOL, IMAGE_POOL = 4000, 1200
SHORT_UNTIL = 600


def initialised(ids: dict[str, int]) -> Gemma4ForConditionalGeneration:
    """A fresh model whose residual stream starts at unit size."""
    model = Gemma4ForConditionalGeneration(shape.build(ids))
    text = model.model.language_model
    nn.init.normal_(text.embed_tokens.weight, std=text.config.hidden_size**-0.5)
    nn.init.normal_(text.embed_tokens_per_layer.weight, std=text.config.hidden_size_per_layer_input**-0.5)
    soften_attention(text)
    for embedder in (model.model.embed_audio, model.model.embed_vision):
        weight = embedder.embedding_projection.weight
        nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    return model


def take_towers(folder: Path, modules: nn.ModuleDict, stages: list[str]) -> None:
    """Towers and heads as stages 1 and 2, "audio" and "vision", left them."""
    for stage in stages:
        tower = getattr(modules["model"].model, f"{stage}_tower")
        state = torch.load(folder / f"{stage}.pt", weights_only=True)["modules"]
        tower.load_state_dict({key.removeprefix("tower."): value for key, value in state.items() if key.startswith("tower.")})
        modules[f"{stage}_head"].load_state_dict({key.removeprefix("head."): value for key, value in state.items() if key.startswith("head.")})


class Source:
    """Examples, with what the towers make of fresh clips and pictures."""

    def __init__(self, modules: nn.ModuleDict, clips: sound.Clips, seed: int) -> None:
        self.modules, self.clips = modules, clips
        self.random, self.noise = random.Random(seed), np.random.default_rng(seed)
        self.audio_pool: list[tuple[torch.Tensor, str]] = []
        self.image_pool: list[tuple[torch.Tensor, pictures.Scene]] = []

    def clip(self, longest: int) -> tuple[np.ndarray, str]:
        while True:
            if self.random.random() < train_audio.SILENT:
                return sound.silence(self.noise), ""
            position = self.random.randrange(len(self.clips.entries))
            if len(self.clips.text(position).split()) <= longest:
                return sound.augmented(self.clips.samples(position), self.noise), self.clips.text(position)

    def hear(self, count: int, longest: int) -> tuple[list[tuple[torch.Tensor, str]], torch.Tensor]:
        """Soft tokens before the embedder [n, output_proj_dims] and text of fresh clips; and the CTC loss of the tower."""
        takes = [self.clip(longest) for _ in range(count)]
        tower = self.modules["model"].model.audio_tower
        output, mask = lean.audio_tower(tower, *sound.features([take for take, _ in takes]))
        labels = [[train_audio.CLASSES[word] for word in text.split()] for _, text in takes]
        loss = train_audio.ctc(self.modules["audio_head"](output), mask, labels)
        return [(row[valid], text) for row, valid, (_, text) in zip(output, mask, takes)], loss

    def see(self, count: int) -> tuple[list[tuple[torch.Tensor, pictures.Scene]], torch.Tensor]:
        """Soft tokens before the embedder [n, hidden] and scenes of fresh pictures; and the loss of the tower's cells."""
        scenes, pixels, positions = train_vision.batch(self.random, self.random.choice(pictures.CANVASES), count, 3)
        soft = lean.vision_tower(self.modules["model"].model.vision_tower, pixels, positions)
        loss, _ = train_vision.cell_loss(self.modules["vision_head"], soft, scenes)
        return list(zip(soft, scenes)), loss

    def remembered(self, pool: list, fresh: list, size: int, count: int) -> list:
        """`count` items of a pool that the fresh ones have joined."""
        for item in fresh:
            if len(pool) < size:
                pool.append(item)
            else:
                pool[self.random.randrange(size)] = item
        return self.random.sample(pool, min(count, len(pool)))

    def transcriptions(self, items: list[tuple[torch.Tensor, str]]) -> list[Example]:
        prompt = conversation.TRANSCRIPTION_PROMPTS[self.random.random() < 0.2]
        return [conversation.transcription(soft, text, prompt) for soft, text in items]

    def descriptions(self, items: list[tuple[torch.Tensor, pictures.Scene]]) -> list[Example]:
        examples = []
        for soft, scene in items:
            asked = (pictures.CAPTION_PROMPT, scene.caption()) if self.random.random() < 0.6 else pictures.question(scene, self.random)
            examples.append(conversation.picture(soft, *asked))
        return examples

    @torch.no_grad()
    def frozen(self, kind: str, longest: int) -> list[Example]:
        if kind == "audio":
            fresh, _ = self.hear(FRESH_AUDIO if len(self.audio_pool) > 200 else 200, longest)
            fresh = [(soft.half(), text) for soft, text in fresh]
            return self.transcriptions(self.remembered(self.audio_pool, fresh, AUDIO_POOL, AUDIO_BATCH))
        fresh, _ = self.see(FRESH_IMAGES if len(self.image_pool) > 60 else 12)
        fresh = [(soft.half(), scene) for soft, scene in fresh]
        return self.descriptions(self.remembered(self.image_pool, fresh, IMAGE_POOL, IMAGE_BATCH))

    def trained(self, kind: str) -> tuple[list[Example], torch.Tensor]:
        if kind == "audio":
            items, loss = self.hear(JOINT_AUDIO, 10)
            return self.transcriptions(items), loss
        items, loss = self.see(JOINT_IMAGES)
        return self.descriptions(items), loss


def answers(model: nn.Module, batches: conversation.Batches, examples: list[Example]) -> tuple[torch.Tensor, float]:
    """Loss of the answers, and the share of them that greedy decoding would give word for word."""
    prefix, ids, soft_mask, at, labels = batches(examples)
    kind = examples[0].kind
    soft = torch.zeros(0, model.config.text_config.hidden_size)
    if kind != "text":
        embed = model.model.embed_audio if kind == "audio" else model.model.embed_vision
        soft = embed(torch.cat([example.soft.float() for example in examples]))
    logits = lean.answer_logits(model, prefix, ids, soft, soft_mask, at)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=conversation.IGNORED)
    right = (logits.argmax(-1) == labels) | (labels == conversation.IGNORED)
    return loss, right.all(-1).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--descent", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--joint", action="store_true")
    parser.add_argument("--take", nargs="*", choices=["audio", "vision"], default=[])
    parser.add_argument("--audio-share", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(3)
    folder = Path(options.state)

    ids = vocabulary.write(folder / "tokenizer", shape.VOCABULARY_SIZE)
    batches = conversation.Batches(folder / "tokenizer/tokenizer.json")
    model = initialised(ids)
    heads = {
        "audio_head": train_audio.WordHead(model.config.audio_config.output_proj_dims),
        "vision_head": train_vision.CellHead(model.config.vision_config.hidden_size),
    }
    modules = nn.ModuleDict({"model": model, **heads})
    model.model.audio_tower.subsample_conv_projection.layer0.requires_grad_(False)
    run = Run(options.state, "decoder", modules, Schedule(options.rate, 200, options.steps, options.descent))
    take_towers(folder, modules, options.take if options.joint else ["audio", "vision"])
    if not options.joint:
        for part in (model.model.audio_tower, model.model.vision_tower, *heads.values()):
            part.requires_grad_(False)

    source = Source(modules, sound.Clips(f"{options.data}/speech", "train", "natural"), seed=run.step)
    averages: dict[str, float] = {}
    while not run.finished():
        chance = source.random.random()
        kind = "text" if chance < 0.02 else "audio" if chance < 0.02 + options.audio_share else "image"
        beside = 0.0
        if kind == "text":
            examples = [conversation.greeting(source.random) for _ in range(4)]
        elif options.joint:
            examples, beside = source.trained(kind)
        else:
            examples = source.frozen(kind, 2 if run.step < SHORT_UNTIL else 10)
        loss, exact = answers(model, batches, examples)
        norm = run.update(loss + 0.3 * beside)
        for name, value in ((kind, loss.item()), (f"{kind}_exact", exact)):
            averages[name] = value if name not in averages else 0.95 * averages[name] + 0.05 * value
        if run.step % 50 == 0:
            log(options.state, "decoder", step=run.step, norm=round(norm, 2), **{name: round(value, 3) for name, value in averages.items()})
            source.clips.refresh()
    run.save()


if __name__ == "__main__":
    main()
