"""Writes quantized.json: what the package gguf makes of given numbers, and how far llama.cpp's types of 256 and of tables lie from them.

    python make_quantized.py    # needs gguf==0.19, numpy, llama-cpp-python==0.3.36 (its libggml-base quantises)

Numbers: a linear congruential generator, x -> 6364136223846793005 x + 1442695040888963407 mod 2^64 from 1 on, the upper 24
bits as [-1/2, 1/2), times 2^(number of the group of 256 mod 5); every 37th number is multiplied by 8.
"""

import ctypes
import json
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

COUNT = 256 * 64


def numbers() -> np.ndarray:
    state, values = 1, np.zeros(COUNT, np.float32)
    for index in range(COUNT):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values[index] = ((state >> 40) / 2**24 - 0.5) * 2.0 ** (index // 256 % 5) * (8 if index % 37 == 0 else 1)
    return values


def fnv(data: bytes) -> str:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return f"{value:016x}"


def llama_cpp_quantized(x: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    library = ctypes.CDLL(str(next(Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so*"))))
    length, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(x.size // length * size, np.uint8)
    quantize = library.ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    quantize(kind.value, x.ctypes.data, out.ctypes.data, 0, x.size // 256, 256, None)
    return out


x = numbers()
result = {}
for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
    data = gguf.quants.quantize(x, gguf.GGMLQuantizationType[name]).tobytes()
    result[name] = {"hash": fnv(data), "first": data[:36].hex()}
for name in ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]:
    kind = gguf.GGMLQuantizationType[name]
    back = gguf.quants.dequantize(llama_cpp_quantized(x, kind), kind).reshape(-1)
    result[name] = {"rms": float(np.sqrt(np.mean((back - x) ** 2)))}
kind = gguf.GGMLQuantizationType.MXFP4
back = gguf.quants.dequantize(gguf.quants.quantize(x, kind), kind).reshape(-1)
result["MXFP4"] = {"rms": float(np.sqrt(np.mean((back - x) ** 2)))}
Path(__file__).with_name("quantized.json").write_text(json.dumps(result, indent=1) + "\n")
