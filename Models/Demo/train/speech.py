"""Speaks utterances with Debian's synthesisers and stores them as 16 kHz shards.

    python speech.py --out DATA/speech --split words --shards 6
    python speech.py --out DATA/speech --split train --shards 8
    python speech.py --out DATA/speech --split natural --shards 16
    python speech.py --out DATA/speech --split test --shards 1

A shard is `NAME.npy` (all samples of 1000 utterances, int16) and `NAME.json` (first sample, last sample, text, voice).
`words` are single words; `natural` has few voices of espeak-ng and many of those that were cut from recordings. The voices of `test` are heard in no other split: see `TEST_VARIANTS`.
Needs: espeak-ng, flite, festival with festvox-kallpc16k, festvox-kdlpc16k, festvox-us-slt-hts.
"""

import argparse
import ctypes
import json
import multiprocessing
import random
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from lexicon import VOCABULARY, spoken, utterance

RATE = 16_000
PER_SHARD = 1000

ACCENTS = ["en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-us-nyc", "en-gb-scotland", "en-029", "en-gb-x-gbclan"]
VARIANTS = """
f1 f2 f3 f5 m1 m2 m3 m4 m6 m7 m8 Alex Alicia Andrea Andy Denis Diogo Gene Gene2 Henrique Jacky Lee Marco Mario Mike Nguyen
adam anika antonio aunty benjamin boris caleb ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta
klatt klatt2 klatt3 klatt4 marcelo max michel miguel norbert paul pedro quincy rob robert sandro shelby steph steph2 steph3
travis zac
""".split()
FLITE = ["kal", "kal16", "awb", "rms", "slt"]
FESTIVAL = ["kal_diphone", "cmu_us_slt_arctic_hts"]

# Never heard in training: ten variants of espeak-ng and one diphone database of festival.
TEST_VARIANTS = "f4 m5 Annie Michael david linda Hugo victor belinda pablo".split()
TEST_FESTIVAL = ["ked_diphone"]


def to_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mono float samples at 16 kHz, without the silence at both ends."""
    if rate != RATE:
        divisor = np.gcd(rate, RATE)
        samples = resample_poly(samples, RATE // divisor, rate // divisor)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[max(loud[0] - 160, 0) : loud[-1] + 320]


class Espeak:
    """libespeak-ng in this process: ten times faster than a command for each utterance. A process can start it only once."""

    RETRIEVAL, UTF8, RATE_PARAMETER, PITCH_PARAMETER = 1, 1, 1, 3

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.library.espeak_Initialize(self.RETRIEVAL, 0, None, 0)
        self.chunks: list[np.ndarray] = []
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

        def receive(samples, count, _events) -> int:
            if samples and count:
                self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        self.callback = prototype(receive)  # kept alive as long as the library may call it
        self.library.espeak_SetSynthCallback(self.callback)

    def __call__(self, text: str, rng: random.Random, variants: list[str]) -> tuple[np.ndarray, str]:
        voice = f"{rng.choice(ACCENTS)}+{rng.choice(variants)}"
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        self.library.espeak_SetParameter(self.RATE_PARAMETER, rng.randint(125, 200), 0)
        self.library.espeak_SetParameter(self.PITCH_PARAMETER, rng.randint(20, 80), 0)
        self.chunks.clear()
        encoded = text.encode()
        self.library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, self.UTF8, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.chunks) / 32768, f"espeak-ng {voice}"


def flite(text: str, rng: random.Random) -> tuple[np.ndarray, int, str]:
    voice = rng.choice(FLITE)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        stretch = ["--setf", f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"]
        pitch = [] if voice in ("kal", "kal16") and rng.random() < 0.3 else ["--setf", f"int_f0_target_mean={rng.randint(85, 150 if voice != 'slt' else 220)}"]
        subprocess.run(["flite", "-voice", voice, *stretch, *pitch, "-t", text, "-o", file.name], check=True, capture_output=True)
        samples, rate = soundfile.read(file.name)
    return samples, rate, f"flite {voice}"


def festival(texts: list[str], rng: random.Random, voices: list[str]) -> list[tuple[np.ndarray, int, str]]:
    """One process speaks all texts, since it takes longer to start than to speak."""
    with tempfile.TemporaryDirectory() as folder:
        script, names = [], []
        for number, text in enumerate(texts):
            voice = rng.choice(voices)
            script.append(f"(voice_{voice})")
            script.append(f"(Parameter.set 'Duration_Stretch {rng.uniform(0.8, 1.25):.2f})")
            if "hts" not in voice:
                script.append(f"(set! int_lr_params '((target_f0_mean {rng.randint(85, 160)}) (target_f0_std {rng.randint(8, 18)}) (model_f0_mean 170) (model_f0_std 34)))")
            script.append(f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{folder}/{number}.wav")')
            names.append(f"festival {voice}")
        path = Path(folder) / "speak.scm"
        path.write_text("\n".join(script))
        subprocess.run(["festival", "--batch", str(path)], check=True, capture_output=True)
        return [(*soundfile.read(f"{folder}/{number}.wav"), name) for number, name in enumerate(names)]


def shard(job: tuple[str, str, int]) -> str:
    out, split, number = job
    name = Path(out) / f"{split}-{number:03}"
    if name.with_suffix(".json").exists():
        return f"{name} exists"
    rng = random.Random(f"{split} {number}")
    texts = [VOCABULARY[n % len(VOCABULARY)] if split == "words" else utterance(rng) for n in range(PER_SHARD)]
    test = split == "test"
    share = {"train": {"espeak": 0.78, "flite": 0.12}, "natural": {"espeak": 0.10, "flite": 0.65}, "words": {"espeak": 0.90, "flite": 0.06}, "test": {"espeak": 0.75, "flite": 0.0}}[split]
    spoken_by = [rng.random() for _ in texts]
    with_espeak = [n for n, r in enumerate(spoken_by) if r < share["espeak"]]
    with_flite = [n for n, r in enumerate(spoken_by) if share["espeak"] <= r < share["espeak"] + share["flite"]]
    with_festival = [n for n, r in enumerate(spoken_by) if r >= share["espeak"] + share["flite"]]
    clips: dict[int, tuple[np.ndarray, str]] = {}
    espeak = Espeak()
    for n in with_espeak:
        samples, voice = espeak(spoken(texts[n]), rng, TEST_VARIANTS if test else VARIANTS)
        clips[n] = to_16k(samples, espeak.rate), voice
    for n in with_flite:
        samples, rate, voice = flite(spoken(texts[n]), rng)
        clips[n] = to_16k(samples, rate), voice
    voices = TEST_FESTIVAL if test else FESTIVAL
    for n, (samples, rate, voice) in zip(with_festival, festival([spoken(texts[n]) for n in with_festival], rng, voices)):
        clips[n] = to_16k(samples, rate), voice
    samples, index, start = [], [], 0
    for n, text in enumerate(texts):
        clip, voice = clips[n]
        clip = (clip / np.abs(clip).max() * 0.7 * 32767).astype(np.int16)
        samples.append(clip)
        index.append({"start": start, "end": start + len(clip), "text": text, "voice": voice})
        start += len(clip)
    np.save(name.with_suffix(".npy"), np.concatenate(samples))
    name.with_suffix(".json").write_text(json.dumps(index))
    return f"{name}: {start / RATE / 60:.1f} minutes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--split", choices=["words", "train", "natural", "test"], required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    jobs = [(options.out, options.split, number) for number in range(options.shards)]
    with multiprocessing.Pool(options.processes, maxtasksperchild=1) as pool:
        for line in pool.imap_unordered(shard, jobs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
