"""Reference values for pictures and sound: Tests/Goldens/media/.

Pictures: what Pillow decodes, what torchvision resizes, what transformers' Gemma 4 image processor answers.
Sound: small files of every format, what soundfile and soxr make of them, what transformers' feature extractor answers.
Large answers are stored as CRC-32 of their bytes with a few values to look at.

Run: python make_media_goldens.py      (also needs ffmpeg, espeak-ng and cjpeg)
"""

import io
import json
import pathlib
import struct
import subprocess
import zlib

import numpy as np
import PIL.features
import soundfile
import soxr
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as tvF
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor
from transformers.models.gemma4.image_processing_gemma4 import Gemma4ImageProcessor

HERE = pathlib.Path(__file__).parent / "media"


def noise(count, seed):
    """Bytes that the Swift tests make in the same way (Noise.swift)."""
    x = (np.arange(count, dtype=np.uint64) + seed * 7919) & 0xFFFFFFFF
    for shift, factor in ((0, 0x9E3779B1), (15, 0x85EBCA77), (13, 0xC2B2AE3D)):
        x ^= x >> shift if shift else np.uint64(0)
        x = (x * factor) & 0xFFFFFFFF
    x ^= x >> 16
    return (x >> 24).astype(np.uint8)


def lines(answer):
    """JSON with one line per entry."""
    opening, closing = "{}" if isinstance(answer, dict) else "[]"
    entries = answer.items() if isinstance(answer, dict) else answer
    texts = [f"{json.dumps(e[0])}: {json.dumps(e[1])}" if opening == "{" else json.dumps(e) for e in entries]
    return opening + "\n" + ",\n".join(texts) + "\n" + closing + "\n"


def summary(array):
    array = np.ascontiguousarray(array)
    flat = array.reshape(-1)
    probes = [0, 1, 2, len(flat) // 3, len(flat) // 2, len(flat) - 1]
    return {"crc32": zlib.crc32(array.tobytes()), "probes": [[i, float(flat[i])] for i in probes if i < len(flat)]}


# Pictures -----------------------------------------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """[height, width, channels] to PNG scanlines without filter bytes."""
    rows = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        return rows.astype(">u2").view(np.uint8)
    bits = (rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)


def png(samples, colour_type, depth, interlaced, extra=b""):
    height, width, _ = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for x, y, step_x, step_y in passes:
        part = samples[y::step_y, x::step_x]
        if part.size:
            data += b"".join(b"\0" + row.tobytes() for row in packed(part, depth))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def over_white(colour, alpha):
    c, a = colour.astype(np.int64), alpha.astype(np.int64)
    return ((2 * (c * a + 255 * (255 - a)) + 255) // 510).astype(np.uint8)  # round half up; halves do not occur


def pillow_rgb(data):
    """As the reference: exif_transpose, then convert_to_rgb, which composites over white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return transformers.image_transforms.convert_to_rgb(image, return_numpy=True)


def png_cases():
    """(name, file, expected RGB).  Expected is computed here from the samples and must equal Pillow's, except where
    Pillow reduces 16-bit grey by clipping, or compares a transparent colour after reduction to 8 bits."""
    height, width, seed = 13, 19, 0
    kinds = {0: ("grey", 1, (1, 2, 4, 8, 16)), 2: ("rgb", 3, (8, 16)), 3: ("palette", 1, (1, 2, 4, 8)),
             4: ("greyalpha", 2, (8, 16)), 6: ("rgba", 4, (8, 16))}
    for colour_type, (kind, channels, depths) in kinds.items():
        for depth in depths:
            for interlaced in (False, True):
                for transparent in (False, True) if colour_type in (0, 2, 3) else (False,):
                    seed += 1
                    raw = noise(height * width * channels * 2, seed).astype(np.uint16)
                    samples = (raw[0::2] << 8 | raw[1::2]) >> (16 - depth)
                    samples = samples.reshape(height, width, channels)
                    extra, alpha = b"", np.full((height, width, 1), 255, np.uint8)
                    if colour_type == 3:
                        palette = noise(3 << depth, seed + 1000).reshape(-1, 3)
                        extra = chunk(b"PLTE", palette.tobytes())
                        colour = palette[samples[:, :, 0]]
                        if transparent:
                            alphas = noise((1 << depth) - 1, seed + 2000)
                            extra += chunk(b"tRNS", alphas.tobytes())
                            alpha = np.append(alphas, 255).astype(np.uint8)[samples]
                    else:
                        if transparent:  # the colour of one pixel, at the file's own depth
                            key = samples[5, 7]
                            extra = chunk(b"tRNS", key.astype(">u2").tobytes())
                            alpha = np.where((samples == key).all(-1, keepdims=True), 0, 255).astype(np.uint8)
                        scaled = samples >> 8 if depth == 16 else samples * (255 // ((1 << depth) - 1))
                        if colour_type in (4, 6):
                            scaled, alpha = scaled[:, :, :-1], scaled[:, :, -1:]
                        colour = np.broadcast_to(scaled, (height, width, 3))
                    expected = over_white(colour, np.broadcast_to(alpha, colour.shape))
                    data = png(samples, colour_type, depth, interlaced, extra)
                    clips = colour_type == 0 and depth == 16
                    compares_reduced = transparent and colour_type != 3 and depth in (2, 4, 16)
                    if not clips and not compares_reduced:
                        assert np.array_equal(pillow_rgb(data), expected), (kind, depth, interlaced, transparent)
                    name = f"{kind}{depth}" + ("-trns" if transparent else "") + ("-interlaced" if interlaced else "")
                    yield f"{name}.png", data, expected
    samples = noise(5 * 7 * 3, 99).astype(np.uint16).reshape(5, 7, 3)
    for orientation in (1, 6):
        data = png(samples, 2, 8, False, chunk(b"eXIf", exif(orientation, ">")))
        yield f"orientation{orientation}.png", data, pillow_rgb(data)


def exif(orientation, order):
    """A TIFF with two entries, orientation the second."""
    mark = b"II" if order == "<" else b"MM"
    return (mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", 2)
            + struct.pack(order + "HHIHH", 0x0100, 3, 1, 9, 0)
            + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(order + "I", 0))


def scene(width, height, channels):
    """Smooth, with a hard edge and some noise: chroma upsampling shows, the file stays small."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (3 + c) + y * (5 - c)) % 256 for c in range(channels)]
    image = np.stack(planes, -1) + (noise(height * width * channels, 7).reshape(height, width, channels) >> 4)
    image[height // 3:height // 2, width // 4:width // 2] = [250, 10, 40, 90][:channels]
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg_cases():
    def encode(mode, size=(45, 37), **options):
        channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
        array = scene(*size, channels)
        out = io.BytesIO()
        Image.fromarray(array[:, :, 0] if mode == "L" else array, mode).save(out, "JPEG", **options)
        return out.getvalue()

    cases = {
        "grey": encode("L"), "grey-progressive": encode("L", progressive=True),
        "444": encode("RGB", subsampling=0, quality=95), "422": encode("RGB", subsampling=1),
        "420": encode("RGB", subsampling=2), "411": encode("RGB", subsampling="4:1:1"),
        "rgb": encode("RGB", keep_rgb=True), "progressive": encode("RGB", progressive=True, quality=60),
        "restart": encode("RGB", restart_marker_blocks=2), "optimised": encode("RGB", optimize=True, quality=30),
        "cmyk": encode("CMYK"), "cmyk-progressive": encode("CMYK", progressive=True),
        "1x1": encode("RGB", (1, 1)), "17x9": encode("RGB", (17, 9)), "8x8": encode("RGB", (8, 8)),
        "3x50": encode("RGB", (3, 50)), "50x3": encode("RGB", (50, 3)),
    }
    at = cases["cmyk"].index(b"Adobe") + 11  # the transform byte: 0 is CMYK, 2 is YCCK
    cases["ycck"] = cases["cmyk"][:at] + b"\2" + cases["cmyk"][at + 1:]
    for orientation in range(0, 10):  # 0 and 9 mean nothing
        order = "<" if orientation % 2 else ">"
        cases[f"orientation{orientation}"] = encode("RGB", (21, 10), exif=b"Exif\0\0" + exif(orientation, order))
    ppm = io.BytesIO()
    Image.fromarray(scene(45, 37, 3)).save(ppm, "PPM")
    cjpeg = ["cjpeg", "-sample", "1x2"]
    cases["440"] = subprocess.run(cjpeg, input=ppm.getvalue(), capture_output=True, check=True).stdout
    for name, data in cases.items():
        yield f"{name}.jpg", data, pillow_rgb(data)


def pictures():
    answers = {}
    for name, data, rgb in [*png_cases(), *jpeg_cases()]:
        (HERE / "pictures" / name).write_bytes(data)
        answers[name] = {"width": rgb.shape[1], "height": rgb.shape[0], **summary(rgb)}
    return answers


def resizes():
    """uint8 noise through torchvision's antialiased bicubic resize."""
    answers = []
    shapes = [(97, 60, 480, 288), (400, 300, 912, 672), (640, 480, 96, 48), (1000, 37, 144, 48), (5, 900, 48, 480),
              (301, 203, 301, 48), (301, 203, 144, 203), (3, 2, 96, 96), (1, 1, 48, 48), (2000, 15, 2208, 48),
              (1217, 911, 336, 240)]
    for seed, (width, height, new_width, new_height) in enumerate(shapes):
        image = torch.from_numpy(noise(width * height * 3, seed).reshape(height, width, 3))
        image = image.permute(2, 0, 1).contiguous()
        out = tvF.resize(image, [new_height, new_width], tvF.InterpolationMode.BICUBIC, antialias=True)
        answers.append({"from": [width, height], "to": [new_width, new_height], "seed": seed,
                        **summary(out.permute(1, 2, 0).numpy())})
    return answers


def image_processor():
    """uint8 noise through Gemma4ImageProcessor; the answer without padding, float32."""
    answers = []
    sizes = [(400, 300), (768, 768), (97, 60), (1500, 20), (15, 2000), (1, 1), (3, 1000), (1024, 1365), (48, 48)]
    cases = [(size, budget) for size in sizes for budget in (70, 280)]
    cases += [((400, 300), 140), ((400, 300), 560), ((1333, 750), 1120), ((15, 2000), 1120)]
    for seed, ((width, height), budget) in enumerate(cases):
        image = noise(width * height * 3, seed).reshape(height, width, 3)
        processor = Gemma4ImageProcessor(max_soft_tokens=budget)
        out = processor(Image.fromarray(image), return_tensors="np")
        tokens = int(out["num_soft_tokens_per_image"][0])
        patches = out["pixel_values"][0][:tokens * 9].astype(np.float32)
        positions = out["image_position_ids"][0]
        assert (positions[tokens * 9:] == -1).all()
        answers.append({"size": [width, height], "budget": budget, "seed": seed, "softTokens": tokens,
                        "positions": zlib.crc32(positions[:tokens * 9].astype("<i4").tobytes()), **summary(patches)})
    return answers


# Sound --------------------------------------------------------------------------------------------------------------


def tones(rate, channels, seconds):
    """Channel c: a sine of 440 * (c + 1) Hz at amplitude 0.4, phase 0."""
    t = np.arange(int(rate * seconds)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * 440 * (c + 1) * t) for c in range(channels)], -1)


def recordings():
    cases = {  # name: rate, channels, soundfile format and subtype
        "pcm16-44100-stereo.wav": (44100, 2, "WAV", "PCM_16"), "pcm24-48000.wav": (48000, 1, "WAV", "PCM_24"),
        "float-22050.wav": (22050, 1, "WAV", "FLOAT"), "pcm8-8000.wav": (8000, 1, "WAV", "PCM_U8"),
        "pcm16-16000.wav": (16000, 1, "WAV", "PCM_16"), "pcm16-16000-6ch.wav": (16000, 6, "WAVEX", "PCM_16"),
        "alaw-8000.wav": (8000, 1, "WAV", "ALAW"), "pcm16-11025.aiff": (11025, 1, "AIFF", "PCM_16"),
        "44100-stereo.flac": (44100, 2, "FLAC", "PCM_16"), "96000-24bit.flac": (96000, 1, "FLAC", "PCM_24"),
        "vorbis-44100-stereo.ogg": (44100, 2, "OGG", "VORBIS"), "opus-48000.ogg": (48000, 1, "OGG", "OPUS"),
        "44100-stereo.mp3": (44100, 2, "MP3", "MPEG_LAYER_III"), "16000.mp3": (16000, 1, "MP3", "MPEG_LAYER_III"),
    }
    answers = {}
    for index, (name, (rate, channels, container, subtype)) in enumerate(cases.items()):
        path = HERE / "recordings" / name
        seconds = 0.2 + 0.00137 * index  # so that resampled lengths are not whole
        soundfile.write(path, tones(rate, channels, seconds), rate, format=container, subtype=subtype)
        samples, read_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert read_rate == rate
        mono = samples.mean(axis=1)
        mono = soxr.resample(mono, rate, 16000, quality="HQ") if rate != 16000 else mono
        answers[name] = {"rate": rate, "channels": channels, "frames": len(samples), "samples": len(mono),
                         "values": [[i, float(mono[i])] for i in range(0, len(mono), 97)]}
    return answers


def waveform(kind, count):
    """Exactly representable in Swift and here: bytes / 128 - 1, or a triangle of 100 samples."""
    if kind == "noise":
        return (noise(count, 3).astype(np.float32) - 128) / 128
    if kind == "triangle":
        x = np.arange(count) % 100
        return ((np.minimum(x, 100 - x) - 25) / 32).astype(np.float32)
    if kind == "silence":
        return np.zeros(count, np.float32)
    speech, rate = soundfile.read(HERE / "speech.wav", dtype="float32")
    assert rate == 16000
    return speech[:count]


def mel():
    espeak = ["espeak-ng", "-v", "en", "-s", "200", "-w", "/dev/stdout", "The quick brown fox"]
    spoken = subprocess.run(espeak, check=True, capture_output=True).stdout
    ffmpeg = ["ffmpeg", "-v", "error", "-y", "-i", "-", "-ar", "16000", "-ac", "1", "-t", "1", "-bitexact"]
    subprocess.run([*ffmpeg, str(HERE / "speech.wav")], input=spoken, check=True)
    extractor = Gemma4AudioFeatureExtractor()
    cases = [("noise", n) for n in (161, 162, 319, 320, 321, 480, 481, 640, 641, 1280, 1281)]
    cases += [("triangle", 4000), ("silence", 800), ("speech", 16000)]
    answers, values = [], []
    for kind, count in cases:
        samples = waveform(kind, count)
        out = extractor([samples], return_tensors="np")
        features, mask = out["input_features"][0], out["input_features_mask"][0]
        valid = int(mask.sum())
        assert mask[:valid].all()
        answers.append({"kind": kind, "samples": len(samples), "frames": valid})
        values.append(features[:valid].astype("<f4").reshape(-1))
    np.concatenate(values).tofile(HERE / "mel.f32")
    return answers


if __name__ == "__main__":
    for folder in ("pictures", "recordings"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
        for stale in (HERE / folder).iterdir():
            stale.unlink()
    versions = {m.__name__: m.__version__ for m in (np, PIL, torch, torchvision, transformers, soundfile, soxr)}
    versions["libsndfile"] = soundfile.__libsndfile_version__
    versions["libsoxr"] = soxr.__libsoxr_version__
    versions["libjpeg-turbo"] = PIL.features.version("libjpeg_turbo")
    answers = {"versions": versions, "pictures": pictures(), "resizes": resizes(), "imageProcessor": image_processor(),
               "recordings": recordings(), "mel": mel()}
    for name, answer in answers.items():
        (HERE / f"{name}.json").write_text(lines(answer))
