"""What Pillow makes of the pictures of other projects: FOLDER/pictures.json and FOLDER/expected/*.rgb, for CorporaTests.swift.

Run: python pictures.py FOLDER      FOLDER/sources holds the unpacked sources
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

# Colours are converted in another way by each decoder of these.
TOLERANCE = {"HEIF": 64, "AVIF": 64}
SUFFIXES = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".heic", ".heif",
            ".avif"}


def reference(path):
    """Upright, over white, as transformers' `convert_to_rgb`."""
    image = Image.open(path)
    kind, text = image.format, reason(path, image)
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return kind, text, np.array(image.convert("RGB"))


# Damaged on purpose, or of a kind that few programs read in the same way.
KNOWN = {
    "badcrc.png": "a checksum is wrong", "huge_IDAT.png": "a chunk is longer than the file",
    "badfilesize.bmp": "the header announces more than there is", "mmap_error.bmp": "a byte is missing",
    "badplanes.bmp": "no planes", "badrle.bmp": "runs leave the picture", "hopper_rle8_row_overflow.bmp": "runs leave the row",
    "pal8_offset.bmp": "the pixels begin within the palette", "pal8badindex.bmp": "indices beyond the palette",
    "rgba32.bmp": "masks that ffmpeg does not know", "clipboard.dib": "a BMP without its first header",
    "no_palette.gif": "without a palette", "rgb16.bmp": "5 bits are widened otherwise, by 1",
    "rgb16-565.bmp": "5 bits are widened otherwise, by 1", "rgb16-565pal.bmp": "5 bits are widened otherwise, by 1",
    "tiff_wrong_bits_per_sample.tiff": "its tags contradict each other",
    "tiff_wrong_bits_per_sample_2.tiff": "its tags contradict each other",
    "crash-0da013a13571cc8eb457a39fee8db18f8a3c7127.tif": "damaged",
    "crash-74d2a78403a5a59db1fb0a2b8735ac068a75f6e3.tif": "damaged",
}
FAITHFUL = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925}  # compressions


def reason(path, image):
    """Differences that the README and `ImageReader` document; None where there must be none."""
    if path.name in KNOWN:
        return KNOWN[path.name]
    if image.format == "TIFF":
        tags = image.tag_v2
        bits, extra = tags.get(258, (1,)), tags.get(338, (0,))
        if (322 in tags or tags.get(259, 1) not in FAITHFUL or tags.get(262) not in (None, 0, 1, 2, 3) or tags._bigtiff
                or bits[0] not in (1, 2, 4, 8, 16) or tags.get(339, (1,))[0] != 1 or 1 in extra
                or tags.get(266) == 2 and tags.get(259, 1) not in (2, 3, 4) or tags.get(262) == 3 and len(bits) > 1):
            return "a kind of TIFF that is refused, since ffmpeg shows another picture"
    if image.format == "PNG" and image.info.get("transparency") is not None:
        header = path.read_bytes()[:26]
        if header[24] in (2, 4, 16) and header[25] in (0, 2):
            return "Pillow compares a transparent color after reduction to 8 bits"
    if image.mode.startswith(("I", "F")):
        return "Pillow clips what has more than 8 bits"
    return None


def main():
    folder = pathlib.Path(sys.argv[1])
    pillow_heif.register_heif_opener()
    warnings.simplefilter("ignore")
    (folder / "expected").mkdir(exist_ok=True)
    answers = []
    files = sorted(p for p in (folder / "sources").rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    for index, path in enumerate(files):
        answer = {"file": str(path.relative_to(folder))}
        try:
            kind, text, rgb = reference(path)
        except Exception as error:  # whatever Pillow refuses
            print(f"{answer['file']}: refused by Pillow: {error}", file=sys.stderr)
        else:
            name = f"expected/{index}.rgb"
            (folder / name).write_bytes(rgb.tobytes())
            answer.update(width=rgb.shape[1], height=rgb.shape[0], rgb=name, tolerance=TOLERANCE.get(kind, 0))
            if text:
                answer["reason"] = text
        answers.append(answer)
    (folder / "pictures.json").write_text(json.dumps(answers, indent=0))
    print(f"{len(files)} pictures")


main()
