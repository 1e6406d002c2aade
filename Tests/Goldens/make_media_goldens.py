"""Reference values for pictures and sound: Tests/Goldens/media/.

Pictures: what Pillow decodes, what torchvision resizes, what transformers' Gemma 4 image processor answers.
Sound: small files of every format, what soundfile and soxr make of them, what transformers' feature extractor answers.
Large answers are stored as CRC-32 of their bytes with a few values to look at.

Run: python make_media_goldens.py      (also needs ffmpeg, espeak-ng, cjpeg, and the package pillow-heif)
"""

import io
import json
import pathlib
import struct
import subprocess
import zlib

import numpy as np
import PIL.features
import pillow_heif
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
    record = exif(6, ">")
    profile = b"\nexif\n%8d\n%s\n" % (len(record) + 6, (b"Exif\0\0" + record).hex().encode())
    itxt = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp("element", 8)
    extras = {
        "orientation1": chunk(b"eXIf", exif(1, ">")), "orientation6": chunk(b"eXIf", record),
        "exif-prefixed": chunk(b"eXIf", b"Exif\0\0" + record),
        "exif-text": chunk(b"tEXt", b"exif\0" + record),
        "raw-profile": chunk(b"tEXt", b"Raw profile type exif\0" + profile),
        "raw-profile-compressed": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        "xmp": chunk(b"iTXt", itxt),
        "xmp-compressed": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp("attribute", 8))),
        "exif-before-xmp": chunk(b"iTXt", itxt) + chunk(b"eXIf", exif(3, "<")),
        "exif-before-profile": chunk(b"tEXt", b"Raw profile type exif\0" + profile) + chunk(b"eXIf", exif(3, "<")),
    }
    for name, extra in extras.items():
        data = png(samples, 2, 8, False, extra)
        yield f"{name}.png", data, pillow_rgb(data)
    after = data[:-12] + chunk(b"eXIf", exif(8, "<")) + data[-12:]  # behind the image
    after = after.replace(chunk(b"eXIf", exif(3, "<")), b"").replace(extras["raw-profile"], b"")
    yield "exif-after-image.png", after, pillow_rgb(after)


def exif(orientation, order, type=3, code="H", count=1):
    """A TIFF with two entries, orientation the second: `count` values of a type, struct's `code`."""
    mark = b"II" if order == "<" else b"MM"
    values = orientation if isinstance(orientation, tuple) else (orientation,)
    value = struct.pack(order + code * count, *(values * (count * len(code) // len(values)))[:count])
    start, outside = 8 + 2 + 24 + 4, b""
    if len(value) > 4:
        value, outside = struct.pack(order + "I", start), value
    return (mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", 2)
            + struct.pack(order + "HHIHH", 0x0100, 3, 1, 9, 0)
            + struct.pack(order + "HHI", 0x0112, type, count) + value.ljust(4, b"\0") + struct.pack(order + "I", 0)
            + outside)


def exif_rational(numerator, denominator, order, type):
    code = "II" if type == 5 else "ii"
    record = exif(0, order, type, "Q")
    return record[:-8] + struct.pack(order + code, numerator, denominator)


def xmp(form, orientation):
    value = (f'tiff:Orientation="{orientation}"/>' if form == "attribute"
             else f"><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>")
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description {value}</rdf:RDF></x:xmpmeta>').encode()


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
    records = {  # types that no camera should write, and what Pillow makes of them
        "byte-le": exif(6, "<", 1, "B"), "byte-be": exif(6, ">", 1, "B"), "ascii": exif(0x36, "<", 2, "B"),
        "undefined": exif(6, "<", 7, "B"), "long-le": exif(6, "<", 4, "I"), "long-be": exif(6, ">", 4, "I"),
        "signed-byte": exif(6, "<", 6, "b"), "signed-short": exif(6, ">", 8, "h"), "signed-long": exif(6, ">", 9, "i"),
        "negative": exif(-6, ">", 9, "i"), "ifd": exif(6, "<", 13, "I"), "float": exif(6.0, "<", 11, "f"),
        "double": exif(6.0, ">", 12, "d"), "long8": exif(6, "<", 16, "Q"), "three-shorts": exif((6, 1, 1), "<", 3, "H", 3),
        "rational": exif_rational(12, 2, "<", 5), "signed-rational": exif_rational(-12, -2, ">", 10),
        "odd-rational": exif_rational(13, 2, "<", 5), "no-rational": exif_rational(6, 0, "<", 5),
        "unknown-type": exif(6, "<", 99, "H"), "no-value": exif(6, "<", 3, "H", 1)[:26] + b"\0\0\0\0" + exif(6, "<")[30:],
        "outside": exif(6, "<", 3, "H", 3)[:30] + b"\xff\xff\0\0" + exif(6, "<")[34:],
        "twice-prefixed": b"Exif\0\0" + exif(6, "<"), "cut": exif(6, "<")[:28],
    }
    for name, record in records.items():
        cases[f"exif-{name}"] = encode("RGB", (21, 10), exif=b"Exif\0\0" + record)
    plain = encode("RGB", (21, 10))

    def with_segments(*bodies):
        return plain[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(b) + 2) + b for b in bodies) + plain[2:]

    packet = b"http://ns.adobe.com/xap/1.0/\0"
    record = exif(6, "<", 12, "d", 1)[:-8] + struct.pack("<d", 6)
    cases["xmp-attribute"] = with_segments(packet + xmp("attribute", 6))
    cases["xmp-element"] = with_segments(packet + xmp("element", 8))
    cases["xmp-after-exif"] = with_segments(b"Exif\0\0" + exif(3, "<"), packet + xmp("attribute", 6))
    cases["xmp-after-odd-exif"] = with_segments(b"Exif\0\0" + exif(6, "<", 1, "B"), packet + xmp("attribute", 6))
    cases["xmp-after-other-exif"] = with_segments(
        b"Exif\0\0" + exif(6, "<").replace(b"\x12\1", b"\x13\1"), packet + xmp("attribute", 8))
    cases["xmp-twice"] = with_segments(packet + xmp("attribute", 6), packet + xmp("attribute", 3))
    cases["exif-in-two"] = with_segments(b"Exif\0\0" + record[:30], b"Exif\0\0" + record[30:])
    ppm = io.BytesIO()
    Image.fromarray(scene(45, 37, 3)).save(ppm, "PPM")
    cjpeg = ["cjpeg", "-sample", "1x2"]
    cases["440"] = subprocess.run(cjpeg, input=ppm.getvalue(), capture_output=True, check=True).stdout
    for name, data in cases.items():
        yield f"{name}.jpg", data, pillow_rgb(data)


def encoded(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def webp_cases():
    def encode(channels=3, size=(45, 37), **options):
        return encoded(Image.fromarray(scene(*size, channels)), "WEBP", **options)

    frames = [Image.fromarray(np.roll(scene(24, 18, 4), shift, 1)) for shift in (0, 5, 9)]
    cases = {
        "lossy": encode(), "lossless": encode(lossless=True), "alpha": encode(4, lossless=True),
        "lossy-alpha": encode(4, quality=60), "exact-alpha": encode(4, lossless=True, exact=True),
        "1x1": encode(size=(1, 1)), "3x50": encode(size=(3, 50)), "17x9": encode(size=(17, 9)),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "orientation6": encode(size=(21, 10), exif=exif(6, "<")),
        "orientation8": encode(size=(21, 10), exif=b"Exif\0\0" + exif(8, ">")),
        "xmp": encode(size=(21, 10), xmp=xmp("element", 6)),
    }
    for name, data in cases.items():
        yield f"{name}.webp", data, pillow_rgb(data)


def converted_cases():
    """Formats that other programs read for us.  AVIF and HEIC are compared within a tolerance."""
    rgb, rgba = Image.fromarray(scene(45, 37, 3)), Image.fromarray(scene(45, 37, 4))
    few = rgb.quantize(16)
    frames = [Image.fromarray(np.roll(scene(24, 18, 3), shift, 1)).quantize(32) for shift in (0, 5, 9)]
    hidden = few.copy()
    hidden.info["transparency"] = 3
    tiff = {"compression": "tiff_lzw"}
    cases = {
        "plain.gif": encoded(few, "GIF"), "grey.gif": encoded(rgb.convert("L"), "GIF"),
        "transparent.gif": encoded(hidden, "GIF", transparency=3), "interlaced.gif": encoded(few, "GIF", interlace=1),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "rgb.bmp": encoded(rgb, "BMP"), "grey.bmp": encoded(rgb.convert("L"), "BMP"),
        "palette.bmp": encoded(few, "BMP"), "1bit.bmp": encoded(rgb.convert("1"), "BMP"),
        "rgb.tif": encoded(rgb, "TIFF"), "lzw.tif": encoded(rgb, "TIFF", **tiff),
        "deflate.tif": encoded(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tif": encoded(rgb, "TIFF", compression="packbits"), "grey.tif": encoded(rgb.convert("L"), "TIFF"),
        "palette.tif": encoded(few, "TIFF", **tiff), "rgba.tif": encoded(rgba, "TIFF", **tiff),
        "1bit.tif": encoded(rgb.convert("1"), "TIFF"),
        "orientation6.tif": encoded(rgb, "TIFF", tiffinfo={0x0112: 6}, **tiff),
        "xmp.tif": encoded(rgb, "TIFF", tiffinfo={700: xmp("attribute", 8)}),
        "two-pages.tif": encoded(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)], **tiff),
        "444.avif": encoded(rgb, "AVIF", subsampling="4:4:4", quality=90), "alpha.avif": encoded(rgba, "AVIF", subsampling="4:4:4", quality=90),
        "orientation6.avif": encoded(rgb, "AVIF", subsampling="4:4:4", quality=90, exif=exif(6, "<")),
    }
    moving = [Image.fromarray(np.roll(scene(45, 37, 3), shift, 1)) for shift in (0, 5, 9)]
    cases["animated.avif"] = encoded(moving[0], "AVIF", save_all=True, append_images=moving[1:], subsampling="4:4:4",
                                     quality=90)
    pillow_heif.register_heif_opener()
    cases["444.heic"] = encoded(rgb, "HEIF", chroma=444, quality=90)
    cases["420.heic"] = encoded(rgb, "HEIF", quality=90)
    cases["orientation6.heic"] = encoded(rgb, "HEIF", chroma=444, quality=90, exif=b"Exif\0\0" + exif(6, "<"))
    for name, data in cases.items():
        yield name, data, pillow_rgb(data)


def pictures():
    answers = {}
    for name, data, rgb in [*png_cases(), *jpeg_cases(), *webp_cases(), *converted_cases()]:
        (HERE / "pictures" / name).write_bytes(data)
        answers[name] = {"width": rgb.shape[1], "height": rgb.shape[0], **summary(rgb)}
        if name.endswith((".avif", ".heic")):  # other decoders round otherwise: more values to compare
            answers[name]["probes"] = [[i, float(rgb.reshape(-1)[i])] for i in range(0, rgb.size, 61)]
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
