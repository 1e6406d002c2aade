"""Writes blocks.json: two random blocks of every quantised type of GGUF, and what the Python package gguf decodes from them.

    pip install gguf==0.19.0 && python make_blocks.py

Each entry: type, the blocks' bytes, the first eight values, and the FNV-1a hash (64 bits) of all values' bytes (f32, little-endian).
"""

import json
from pathlib import Path

import gguf
import numpy as np

SCALES = {  # where the f16 numbers of a block lie
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2],
    "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "MXFP4": [],
}


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def main() -> None:
    rng, entries = np.random.default_rng(0), []
    for name, offsets in SCALES.items():
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (2, size), dtype=np.uint8)
        for offset in offsets:
            blocks[:, offset : offset + 2] = rng.normal(0, 0.02, 2).astype(np.float16)[:, None].view(np.uint8)
        if name == "MXFP4":
            blocks[:, 0] = rng.integers(110, 125, 2)  # a power of two
        values = gguf.quants.dequantize(blocks, kind).astype(np.float32).ravel()
        assert len(values) == 2 * length
        entries.append({"type": name, "blocks": blocks.tobytes().hex(), "first": values[:8].tolist(), "hash": f"{fnv1a(values.tobytes()):016x}"})
    Path(__file__).with_name("blocks.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
