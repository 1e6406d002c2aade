"""Makes the held-out set: recordings and pictures that training never saw, and a manifest of what is asked and expected.

    python held_out.py --data STATE/data --out STATE/held-out

Fixed seeds; needs the test split of `speech.py` and, for the human recordings, Debian's asterisk-core-sounds-en-wav.
`manifest.json` is a list of {"file", "task", "group", "prompt", "expected"}; `evaluate.py` adds transformers' tokens.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

import pictures
import sound
from lexicon import DAYS, MONTHS
from vocabulary import TRANSCRIPTION_PROMPT

ASTERISK = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
SPOKEN, SILENT, CAPTIONS, QUESTIONS, HUMAN = 1000, 100, 150, 200, 60


def write(samples: np.ndarray, path: Path) -> None:
    soundfile.write(path, np.clip(samples, -1, 1), sound.RATE, subtype="PCM_16")


def speech(data: str, out: Path) -> list[dict]:
    """Clean clips, the same clips at 10 dB, and clips without speech."""
    clips, rng, items = sound.Clips(f"{data}/speech", "test"), np.random.default_rng(2024), []

    def add(name: str, samples: np.ndarray, group: str, text: str) -> None:
        write(samples, out / name)
        items.append({"file": name, "task": "transcribe", "group": group, "prompt": TRANSCRIPTION_PROMPT, "expected": text})

    for n in range(SPOKEN):
        take = np.pad(clips.samples(n), (3200, 4800))
        engine = clips.entries[n][1]["voice"].split()[0]
        add(f"clean-{n:03}.wav", take, f"clean {engine}", clips.text(n))
        noisy = sound.at_snr(take, sound.coloured_noise(len(take), 1.0, rng), 10)
        add(f"noisy-{n:03}.wav", noisy / np.abs(noisy).max() * 0.7, f"10 dB {engine}", clips.text(n))
    for n in range(SILENT):
        add(f"silent-{n:03}.wav", sound.silence(rng), "no speech", "")
    return items


def human(out: Path) -> list[dict]:
    """One to five words of a human speaker (8 kHz prompts of Asterisk), joined with short pauses."""
    words = {str(n): f"digits/{n}" for n in range(10)} | {"and": "vm-and", "hello": "hello", "minute": "minute", "next": "vm-next", "no": "vm-no"}
    words |= {day: f"digits/day-{(n + 1) % 7}" for n, day in enumerate(DAYS)} | {month: f"digits/mon-{n}" for n, month in enumerate(MONTHS)}
    words |= {word: f"digits/{word}" for word in ("today", "tomorrow", "yesterday")}
    recorded = {}
    for word, name in words.items():
        path = ASTERISK / f"{name}.wav"
        if path.exists():
            samples, rate = soundfile.read(path, dtype="float32")
            recorded[word] = resample_poly(samples, sound.RATE // rate, 1).astype(np.float32)
    rng, items = random.Random(2025), []
    for n in range(HUMAN if recorded else 0):
        text = rng.choices(sorted(recorded), k=rng.randint(1, 5))
        parts = [np.zeros(3200, np.float32)]
        for word in text:
            parts += [recorded[word], np.zeros(rng.randint(800, 2400), np.float32)]
        write(np.concatenate([*parts, np.zeros(3200, np.float32)]), out / f"human-{n:03}.wav")
        items.append({"file": f"human-{n:03}.wav", "task": "transcribe", "group": "human", "prompt": TRANSCRIPTION_PROMPT, "expected": " ".join(text)})
    return items


def images(out: Path) -> list[dict]:
    rng, items = random.Random(2026), []
    for n in range(CAPTIONS):
        scene = pictures.scene(rng)
        pictures.draw(scene, rng).save(out / f"picture-{n:03}.png")
        items.append({"file": f"picture-{n:03}.png", "task": "caption", "group": "caption", "prompt": pictures.CAPTION_PROMPT, "expected": scene.caption()})
    for n in range(QUESTIONS):
        scene = pictures.scene(rng)
        pictures.draw(scene, rng).save(out / f"question-{n:03}.png")
        prompt, answer = pictures.question(scene, rng)
        group = "count" if answer.isdigit() else "colour"
        items.append({"file": f"question-{n:03}.png", "task": "question", "group": group, "prompt": prompt, "expected": answer})
    return items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    items = speech(options.data, out) + human(out) + images(out)
    (out / "manifest.json").write_text(json.dumps(items, indent=1) + "\n")
    print(len(items), "items in", out)


if __name__ == "__main__":
    main()
