"""Stored clips -> batches of log-mel frames: augmentation, and transformers' features computed in one batch."""

import json
import random
from pathlib import Path

import numpy as np
import torch
from transformers import Gemma4AudioFeatureExtractor

RATE = 16_000
EXTRACTOR = Gemma4AudioFeatureExtractor()
WINDOW = torch.from_numpy(EXTRACTOR.window)
FILTERS = torch.from_numpy(EXTRACTOR.mel_filters).float()


class Clips:
    """All clips of some splits, as written by `speech.py`. Reads shards that are there; `refresh` looks for new ones."""

    def __init__(self, folder: str, *splits: str) -> None:
        self.folder, self.splits = Path(folder), splits
        self.shards: list[np.ndarray] = []
        self.entries: list[tuple[int, dict]] = []
        self.known: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        for path in sorted(path for split in self.splits for path in self.folder.glob(f"{split}-*.json")):
            if path.name not in self.known:
                self.known.add(path.name)
                self.entries += [(len(self.shards), entry) for entry in json.loads(path.read_text())]
                self.shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))

    def samples(self, position: int) -> np.ndarray:
        shard, entry = self.entries[position]
        return self.shards[shard][entry["start"] : entry["end"]].astype(np.float32) / 32768

    def text(self, position: int) -> str:
        return self.entries[position][1]["text"]


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with spectrum 1/f^exponent and unit power: 0 white, 1 pink, 2 brown."""
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size, np.float32))
    frequencies = np.arange(1, len(spectrum) + 1, dtype=np.float32)
    noise = np.fft.irfft(spectrum * frequencies ** (-exponent / 2))[:length].astype(np.float32)
    return noise / (noise.std() + 1e-9)


def noise_of_any_kind(length: int, rng: np.random.Generator) -> np.ndarray:
    """Unit-power noise without speech: coloured, hum, or clicks, at times with a slow envelope."""
    kind = rng.random()
    if kind < 0.75:
        noise = coloured_noise(length, rng.uniform(0, 2), rng)
    elif kind < 0.9:
        time = np.arange(length, dtype=np.float32) / RATE
        base = rng.uniform(45, 400)
        noise = sum(rng.random() / k * np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) for k in range(1, 7))
        noise = noise + 0.1 * rng.standard_normal(length, np.float32)
    else:
        noise = rng.standard_normal(length, np.float32) * (rng.random(length) < 0.002) + 0.01 * rng.standard_normal(length, np.float32)
    if rng.random() < 0.3:
        knots = rng.uniform(0.2, 1.5, 2 + length // RATE * 3)
        noise = noise * np.interp(np.linspace(0, len(knots) - 1, length), np.arange(len(knots)), knots)
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def at_snr(speech: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Speech plus unit-power noise at a ratio of mean powers."""
    power = np.mean(speech**2) + 1e-12
    return speech + noise * np.sqrt(power / 10 ** (decibels / 10)).astype(np.float32)


def resampled(speech: np.ndarray, factor: float) -> np.ndarray:
    """Plays `factor` times faster: pitch and formants rise with it, as if another speaker spoke."""
    positions = np.arange(0, len(speech) - 1, factor, dtype=np.float32)
    return np.interp(positions, np.arange(len(speech), dtype=np.float32), speech).astype(np.float32)


def augmented(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random take of a clip: speed, margins, and all of `recorded`."""
    if rng.random() < 0.8:
        speech = resampled(speech, rng.uniform(0.84, 1.2))
    before, after = rng.uniform(0.02, 0.5), rng.uniform(0.12, 0.5)
    return recorded(np.pad(speech, (int(before * RATE), int(after * RATE))), rng)


def word_list(words: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """One random take of single words in a row, and the sample at which each ends."""
    parts, ends = [np.zeros(int(rng.uniform(0.02, 0.3) * RATE), np.float32)], []
    for word in words:
        parts.append(resampled(word, rng.uniform(0.85, 1.25)) * np.float32(rng.uniform(0.5, 1)))
        ends.append(sum(len(part) for part in parts))
        parts.append(np.zeros(int(rng.uniform(0.01, 0.12) * RATE), np.float32))
    parts.append(np.zeros(int(rng.uniform(0.15, 0.3) * RATE), np.float32))
    return recorded(np.concatenate(parts), rng), ends


def recorded(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Speech as some microphone takes it somewhere: room, channel, noise, codec, level."""
    size = 1 << (len(speech) + 4000 - 1).bit_length()
    if rng.random() < 0.6:
        # Room and channel in one filter: decaying echoes, and a smooth random tilt of the spectrum.
        response = np.zeros(4000, np.float32)
        response[0] = 1
        if rng.random() < 0.5:
            seconds = rng.uniform(0.05, 0.35)
            tail = rng.standard_normal(4000, np.float32) * np.exp(-6.9 * np.arange(4000) / RATE / seconds)
            response += (tail * rng.uniform(0.02, 0.18)).astype(np.float32)
            response[0] = 1
        transfer = np.fft.rfft(response, size)
        knots = rng.uniform(-8, 8, 6)
        transfer *= 10 ** (np.interp(np.linspace(0, 5, len(transfer)), np.arange(6), knots) / 20)
        if rng.random() < 0.15:  # a telephone's band
            hertz = np.linspace(0, RATE / 2, len(transfer))
            transfer *= 1 / (1 + (hertz / 3400) ** 16) * (hertz > 200)
        speech = np.fft.irfft(np.fft.rfft(speech, size) * transfer, size)[: len(speech)].astype(np.float32)
    speech = speech / (np.abs(speech).max() + 1e-9)
    if rng.random() < 0.65:
        speech = at_snr(speech, noise_of_any_kind(len(speech), rng), rng.uniform(3, 35))
        speech = speech / (np.abs(speech).max() + 1e-9)
    if rng.random() < 0.1:  # mu-law with 8 bits, as telephones code it
        code = np.round(np.sign(speech) * np.log1p(255 * np.abs(speech)) / np.log(256) * 127)
        speech = np.sign(code) * (256 ** (np.abs(code) / 127) - 1) / 255
    return (speech * 10 ** (rng.uniform(-26, -0.5) / 20)).astype(np.float32)


def silence(rng: np.random.Generator) -> np.ndarray:
    """A clip in which nobody speaks."""
    length = int(rng.uniform(0.3, 4) * RATE)
    if rng.random() < 0.15:
        return np.zeros(length, np.float32)
    return noise_of_any_kind(length, rng) * np.float32(10 ** (rng.uniform(-75, -12) / 20))


def features(clips: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """What `Gemma4AudioFeatureExtractor` gives for these clips: frames [B, T, 128] and which of them are valid [B, T].

    T is a multiple of 4 here, so that a batch fits the tower without a remainder; frames beyond a clip are 0 and masked.
    """
    counts = torch.tensor([max((len(clip) - 1) // 160, 0) for clip in clips])
    total = int(-(-counts.max() // 48) * 48)
    padded = torch.zeros(len(clips), 160 + 160 * (total + 1))
    for row, clip in enumerate(clips):
        clip = clip[: 160 * (total + 1)]
        padded[row, 160 : 160 + len(clip)] = torch.from_numpy(clip)
    frames = padded.unfold(-1, 320, 160)[:, :total] * WINDOW
    magnitudes = torch.fft.rfft(frames, n=512).abs()
    mask = torch.arange(total)[None] < counts[:, None]
    return torch.log(magnitudes @ FILTERS + 0.001) * mask[..., None], mask


def warped(frames: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Log-mel frames [T, 128] with the frequency axis bent at random, as by a vocal tract of another shape."""
    knots = np.array([0, 25, 50, 75, 100, 127], np.float32)
    moved = knots + np.array([0, *rng.uniform(-5, 5, 4), 0], np.float32) + knots * np.float32(rng.uniform(-0.05, 0.05))
    source = torch.from_numpy(np.interp(np.arange(128, dtype=np.float32), knots, moved.clip(0, 126.99)).astype(np.float32))
    low = source.long()
    return torch.lerp(frames[:, low], frames[:, low + 1], source - low)


def check_features() -> None:
    """Our batch against transformers' extractor on clips of several lengths."""
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(n).astype(np.float32) * 0.1 for n in (4000, 16000, 16001, 33333)]
    ours, mask = features(clips)
    theirs = EXTRACTOR(clips, return_tensors="pt")
    frames = min(ours.shape[1], theirs["input_features"].shape[1])
    assert torch.equal(mask[:, :frames], theirs["input_features_mask"][:, :frames].bool())
    torch.testing.assert_close(ours[:, :frames], theirs["input_features"][:, :frames], atol=2e-5, rtol=0)


if __name__ == "__main__":
    check_features()
    print("features equal transformers'")
