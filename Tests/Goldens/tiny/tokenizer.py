"""A BPE vocabulary of a few hundred pieces with the structure of the published `tokenizer.json`."""
import random

SPECIAL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
    "<tool_response|>", '<|"|>', "<|think|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>", "<|image>", "<|audio>",
    "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>",
]
# Each word is built up by merges from its first character on; `_` stands for the space's piece.
WORDS = """user model system thought developer call response image picture _image _picture audio _audio sound _sound the
_the and _and what What _what is _is in _in this _this Describe Transcribe _transcribe describe _number _numbers ing tion
er _a _of _to _be Be _brief hear _hear you You _you see _see are _are two three _two _three _one answer _answer ed _re
_tell Tell me _me about compare Compare _compare them _them first _first second _second long _long word _word words ré été
ein eine _und 日本 日本語 ... ** // __""".split()


def vocabulary(size, seed):
    """Pieces to ids, and the merges in order of rank."""
    characters = [chr(c) for c in range(33, 127)] + list("\t\n▁éèüöñß日本語音画像のはい") + ["…", "—", "😊"]
    merges, pieces = [], list(characters)

    def merge(left, right):
        if (left, right) not in merges:
            merges.append((left, right))
        if left + right not in pieces:
            pieces.append(left + right)

    for word in WORDS:
        word = word.replace("_", "▁") if word != "__" else word
        for i in range(1, len(word)):
            merge(word[:i], word[i])
    for run in ("\n", "▁"):  # runs double
        for length in (1, 2, 4, 8):
            merge(run * length, run * length)
    merge("▁", "▁the")  # a merge of two pieces of several characters each, which competes with ▁▁

    unreachable = ["<unused0>", "[multimodal]", "<b>"]  # pieces plain text never becomes
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    count = len(SPECIAL) + len(byte_pieces) + len(pieces) + len(unreachable)
    assert count <= size, f"{count} pieces do not fit {size}"
    unreachable += [f"<unused{i}>" for i in range(1, 1 + size - count)]

    # Specials lie anywhere, so that nobody gets by with the published numbers.
    rest = byte_pieces + pieces + unreachable
    generator = random.Random(seed)
    places = sorted(generator.sample(range(3, size - 1), len(SPECIAL)))
    shuffled = SPECIAL[:]
    generator.shuffle(shuffled)
    at = dict(zip(places, shuffled))
    remaining = iter(rest)
    order = [at[i] if i in at else next(remaining) for i in range(size)]
    return {piece: i for i, piece in enumerate(order)}, merges


def tokenizer_json(vocab, merges, merges_as_text):
    ids = {piece: vocab[piece] for piece in SPECIAL}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": piece, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for piece, i in sorted(ids.items(), key=lambda item: item[1])
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": vocab, "merges": [" ".join(m) if merges_as_text else list(m) for m in merges],
        },
    }


def tokenizer_config(processor_class):
    return {
        "audio_token": "<|audio|>", "backend": "tokenizers", "boa_token": "<|audio>", "boi_token": "<|image>",
        "bos_token": "<bos>", "eoa_token": "<audio|>", "eoc_token": "<channel|>", "eoi_token": "<image|>",
        "eos_token": "<eos>", "eot_token": "<turn|>", "escape_token": '<|"|>', "etc_token": "<tool_call|>",
        "etd_token": "<tool|>", "etr_token": "<tool_response|>", "extra_special_tokens": ["<|video|>"],
        "image_token": "<|image|>", "mask_token": "<mask>", "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>", "padding_side": "left", "processor_class": processor_class, "soc_token": "<|channel>",
        "sot_token": "<|turn>", "stc_token": "<|tool_call>", "std_token": "<|tool>", "str_token": "<|tool_response>",
        "think_token": "<|think|>", "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
    }
