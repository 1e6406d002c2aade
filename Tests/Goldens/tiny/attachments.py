"""Pictures and recordings the conversations hold: drawn by formula, written as PNG and as 16-bit mono WAV of 16 kHz."""
import wave

import numpy as np
from PIL import Image

# Heights and widths. `poster` is shrunk by the processor, the others are enlarged; `wide` becomes one row of soft tokens.
PICTURES = {"wide": (9, 190), "tall": (61, 38), "noise": (33, 47), "poster": (450, 600)}
# Samples: no multiples of the hop.
RECORDINGS = {"chirp": 12_345, "bursts": 19_301, "tone": 8_111}


def picture(name):
    height, width = PICTURES[name]
    y, x = np.mgrid[0:height, 0:width]
    if name == "noise":
        return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if name == "poster":  # flat areas with hard edges: a few kilobytes as PNG
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = (250, 240, 200)
        pixels[(x - 180) ** 2 + (y - 200) ** 2 < 120**2] = (200, 30, 40)
        pixels[(np.abs(x - 430) < 90) & (np.abs(y - 260) < 130)] = (20, 90, 200)
        pixels[(x + 2 * y) % 97 < 6] = (10, 10, 10)
        return pixels
    waves = [np.sin(x / 7 + y / 5), np.cos(x / 11 - y / 3), np.sin((x + y) / 17)]
    pixels = np.stack([np.rint(127.5 + 127.5 * wave) for wave in waves], -1).astype(np.uint8)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 128)
    return pixels


def samples(name):
    count = RECORDINGS[name]
    t = np.arange(count) / 16_000
    hiss = np.random.default_rng(count).standard_normal(count)
    if name == "chirp":
        sound = 0.6 * np.sin(2 * np.pi * (200 * t + 2_500 * t * t)) + 0.01 * hiss
    elif name == "bursts":
        sound = (0.5 * np.sign(np.sin(2 * np.pi * 130 * t)) + 0.2 * hiss) * (np.sin(2 * np.pi * 3.3 * t) > 0)
    else:
        sound = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.3 * np.sin(2 * np.pi * 3_111 * t) + 0.005 * hiss
    return np.clip(np.rint(sound * 32_767), -32_768, 32_767).astype("<i2")


def write(folder):
    folder.mkdir(exist_ok=True)
    for name in PICTURES:
        Image.fromarray(picture(name)).save(folder / f"{name}.png", optimize=True)
    for name in RECORDINGS:
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(samples(name).tobytes())


def read_picture(path):
    return Image.open(path).convert("RGB")


def read_samples(path):
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768
