"""Stage 1: the audio tower alone, with losses over whole words whose heads are thrown away afterwards.

    python train_audio.py --state STATE --data STATE/data --steps 6000

Resumes from STATE/audio.pt if that is there; `--from-joint` goes on with the tower that stage 4 has in STATE/decoder.pt. Until step `WORDS_UNTIL` it hears single words in rows, whose ends are known,
and learns to name each for three soft tokens behind its end; then whole utterances with a CTC loss. The convolutions stay
random here (stage 4 trains the second), so that their outputs can be kept and used several times.
"""

import argparse
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel

import lean
import sound
from figures import edits
from lexicon import VOCABULARY
from shape import audio_configuration
from training import Run, Schedule, log

TOKENS_PER_BATCH = 1200  # 48 seconds of sound
WORDS_UNTIL = 800
FRESH_PER_STEP = 8
POOL = 5000
SILENT = 0.04  # share of clips without speech
NAMED_FOR = 3  # soft tokens that name a word behind its end
CLASSES = {word: number + 1 for number, word in enumerate(VOCABULARY)}  # 0 is CTC's blank


class WordHead(nn.Module):
    """Normalised features -> words, as the decoder will see them after `embed_audio`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(width, len(VOCABULARY) + 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.linear(F.rms_norm(hidden.float(), (self.width,), eps=1e-6))


class Pool:
    """Augmented clips behind the tower's convolutions, each used a few times before a fresh take replaces it.

    An item is features [n, 1024], labels, and the class of every soft token where that is known.
    """

    def __init__(self, front: nn.Module, seed: int) -> None:
        self.front, self.random, self.noise = front, random.Random(seed), np.random.default_rng(seed)
        self.items: list[tuple[torch.Tensor, list[int], torch.Tensor | None]] = []

    def words(self, clips: sound.Clips) -> tuple[np.ndarray, list[int], list[int]]:
        """One to three single words in a row, and their ends in samples."""
        positions = [self.random.randrange(len(clips.entries)) for _ in range(self.random.choice([1, 2, 2, 3]))]
        take, ends = sound.word_list([clips.samples(n) for n in positions], self.noise)
        return take, [CLASSES[clips.text(n)] for n in positions], ends

    def utterance(self, clips: sound.Clips) -> tuple[np.ndarray, list[int], None]:
        position = self.random.randrange(len(clips.entries))
        return sound.augmented(clips.samples(position), self.noise), [CLASSES[word] for word in clips.text(position).split()], None

    def add(self, count: int, clips: sound.Clips, single: bool) -> None:
        """`count` fresh takes, with warped frequencies, and random bands of time and frequency hidden (SpecAugment)."""
        takes = []
        for _ in range(count):
            if self.random.random() < SILENT:
                takes.append((sound.silence(self.noise), [], [] if single else None))
            else:
                takes.append(self.words(clips) if single else self.utterance(clips))
        takes.sort(key=lambda take: len(take[0]))
        for start in range(0, count, 8):
            some = takes[start : start + 8]
            frames, mask = sound.features([take for take, _, _ in some])
            for row in frames:
                if self.random.random() < 0.6:
                    row.copy_(sound.warped(row, self.noise))
                for _ in range(2):
                    width, low = self.random.randint(0, 12), self.random.randint(0, 116)
                    row[:, low : low + width] = -4.0
                width, begin = self.random.randint(0, 8), self.random.randint(0, len(row) - 1)
                row[begin : begin + width] = -4.0
            with torch.no_grad():
                features, mask = lean.subsample(self.front, frames, mask)
            for row, valid, (_, labels, ends) in zip(features, mask, some):
                row = row[valid].clone()
                named = None
                if ends is not None:
                    named = torch.zeros(len(row), dtype=torch.long)
                    for label, end in zip(labels, ends):
                        named[end // 640 + 1 : end // 640 + 1 + NAMED_FOR] = label
                item = row, labels, named
                if len(self.items) < POOL:
                    self.items.append(item)
                else:
                    self.items[self.random.randrange(POOL)] = item

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, list[list[int]], torch.Tensor | None]:
        """Clips of similar length: features [B, n, 1024], mask [B, n], labels, and the classes [B, n] if known."""
        first = self.random.choice(self.items)
        pivot = len(first[0])
        some = [first, *self.random.sample(self.items, min(len(self.items), 600))]
        chosen = [item for item in some if 0.7 * pivot - 6 < len(item[0]) <= pivot + 3][: max(TOKENS_PER_BATCH // (pivot + 3), 2)]
        total = max(len(item[0]) for item in chosen)
        batch = torch.zeros(len(chosen), total, chosen[0][0].shape[1], dtype=lean.FAST)
        named = torch.full((len(chosen), total), -100)
        mask = torch.zeros(len(chosen), total, dtype=torch.bool)
        for row, (features, _, classes) in enumerate(chosen):
            batch[row, : len(features)] = features
            mask[row, : len(features)] = True
            if classes is not None:
                named[row, : len(features)] = classes
        return batch, mask, [labels for _, labels, _ in chosen], None if chosen[0][2] is None else named


def naming(logits: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every soft token's class; 0, nothing ended here, counts less."""
    weight = torch.ones(logits.shape[-1])
    weight[0] = 0.2
    return F.cross_entropy(logits.flatten(0, 1), named.flatten(), weight)


def ctc(logits: torch.Tensor, mask: torch.Tensor, labels: list[list[int]]) -> torch.Tensor:
    targets = torch.tensor([label for line in labels for label in line])
    lengths = torch.tensor([len(line) for line in labels])
    losses = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, mask.sum(-1), lengths, reduction="none", zero_infinity=True)
    return (losses / lengths.clamp(min=1)).mean()


def greedy(logits: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    lines = []
    for row, count in zip(logits.argmax(-1).tolist(), mask.sum(-1).tolist()):
        lines.append([label for n, label in enumerate(row[:count]) if label and (n == 0 or row[n - 1] != label)])
    return lines


def error_rate(lines: list[list[int]], truths: list[list[int]]) -> float:
    """Word errors per word."""
    return sum(map(edits, lines, truths)) / max(sum(map(len, truths)), 1)


def held_out(tower: nn.Module, head: WordHead, clips: sound.Clips, count: int, snr: float | None) -> float:
    """Word error rate of greedy CTC on the first `count` held-out clips."""
    rng, lines, truths = np.random.default_rng(7), [], []
    for start in range(0, count, 20):
        positions = range(start, min(start + 20, count, len(clips.entries)))
        takes = [np.pad(clips.samples(n), (3200, 4800)) for n in positions]
        if snr is not None:
            takes = [sound.at_snr(take, sound.coloured_noise(len(take), 1, rng), snr) * 0.5 for take in takes]
        with torch.no_grad():
            output, mask = lean.audio_tower(tower, *sound.features(takes))
            lines += greedy(head(output), mask)
        truths += [[CLASSES[word] for word in clips.text(n).split()] for n in positions]
    return error_rate(lines, truths)


def take_joint(path: str, modules: nn.ModuleDict) -> None:
    """Tower and head as the training of all parts left them."""
    state = torch.load(path, weights_only=True)["modules"]
    for part, prefix in (("tower", "model.model.audio_tower."), ("head", "audio_head.")):
        modules[part].load_state_dict({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--descent", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--from-joint", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    tower = AutoModel.from_config(audio_configuration())
    front = tower.subsample_conv_projection
    lean.start_front(front)
    for part in (front.layer0, front.layer1):
        part.requires_grad_(False)
    modules = nn.ModuleDict({"tower": tower, "head": WordHead(tower.config.output_proj_dims), "middle": WordHead(tower.config.hidden_size)})
    print("difference from transformers", lean.check_audio(tower))
    run = Run(options.state, "audio", modules, Schedule(options.rate, 200, options.steps, options.descent))

    if options.from_joint:
        take_joint(f"{options.state}/decoder.pt", modules)
    words, clips, test = (sound.Clips(f"{options.data}/speech", *splits) for splits in (["words"], ["train", "natural"], ["test"]))
    pool = Pool(front, seed=run.step)
    average = None
    while not run.finished():
        single = run.step < WORDS_UNTIL
        if run.step == WORDS_UNTIL:
            pool.items.clear()
            average = None
        pool.add(FRESH_PER_STEP if len(pool.items) > 400 else 400, words if single else clips, single)
        features, mask, labels, named = pool.batch()
        layers, output = lean.conformer(tower, features, mask)
        final, middle = modules["head"](output), modules["middle"](layers[1])
        if single:
            loss = naming(final, named) + 0.3 * naming(middle, named)
        else:
            loss = ctc(final, mask, labels) + 0.3 * ctc(middle, mask, labels)
        norm = run.update(loss)
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if run.step % 50 == 0:
            wer = {"batch": round(error_rate(greedy(final, mask), labels), 3)}
            if run.step % 400 == 0:
                test.refresh()
                wer |= {"clean": round(held_out(tower, modules["head"], test, 120, None), 3), "snr10": round(held_out(tower, modules["head"], test, 120, 10), 3)}
            clips.refresh()
            words.refresh()
            log(options.state, "audio", step=run.step, loss=round(average, 3), norm=round(norm, 2), **wer)
    run.save()


if __name__ == "__main__":
    main()
