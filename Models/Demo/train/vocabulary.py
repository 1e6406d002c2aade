"""The demo model's own tokenizer: byte-pair encoding with the structure of the published `tokenizer.json`.

    python vocabulary.py FOLDER      writes tokenizer.json and tokenizer_config.json

Every word of the lexicon, of the captions and of the prompts is one piece; all other text is made of shorter
pieces, and in the end of the 256 bytes.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import pictures
from lexicon import VOCABULARY

SPECIAL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
    "<tool_response|>", '<|"|>', "<|think|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>", "<|image>", "<|audio>",
    "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>",
]
SPACE = "▁"

# Recommended for the published models, and what the command line asks.
TRANSCRIPTION_PROMPT = (
    "Transcribe the following speech segment in its original language. Follow these specific instructions for formatting the answer:\n"
    "* Only output the transcription, with no newlines.\n"
    "* When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three."
)
CAPTION_WORDS = "A a an and to the left of above from right top bottom on plain noisy background shapes are there is How many What colour color".split()
CHAT_WORDS = "user model system developer thought call response Describe this image picture I can transcribe short English speech describe pictures coloured".split()
COMMON_WORDS = """
that it was for as with his they be at have had by hot but some you or were we when can said use each which she do how their if will
other about out then them these so her would make like him into time has look two more write see number way could people my than first
been who its now find long down day did get come made may part English text speech audio into then translate what where why in
""".split()


def _corpus() -> Counter:
    """Words with their counts; a word after a space carries it in front, as the normaliser writes it."""
    words = Counter()
    things = [*pictures.SIZES, *pictures.COLOURS, *pictures.SHAPES, "crosses", *(shape + "s" for shape in pictures.SHAPES if shape != "cross")]
    prompt = TRANSCRIPTION_PROMPT.replace("\n", " ").replace("*", " ").split()
    for word in VOCABULARY + things + CAPTION_WORDS + CHAT_WORDS:
        words[SPACE + word] += 20
    for word in VOCABULARY + CHAT_WORDS + ["How", "What", "A", "Hi", "Hello", "Who", "Help"]:
        words[word] += 10
    for word in prompt + COMMON_WORDS:
        words[SPACE + word.strip(".,:")] += 5
    for word in ("Transcribe", "Describe"):
        words[word] += 5
    return words


def _merges(words: Counter) -> list[tuple[str, str]]:
    """The commonest pair first, until every word is one piece."""
    split = {word: list(word) for word in words}
    merges = []
    while True:
        pairs = Counter()
        for word, pieces in split.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        pair = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(pair)
        for word, pieces in split.items():
            joined, n = [], 0
            while n < len(pieces):
                if n + 1 < len(pieces) and (pieces[n], pieces[n + 1]) == pair:
                    joined.append(pieces[n] + pieces[n + 1])
                    n += 2
                else:
                    joined.append(pieces[n])
                    n += 1
            split[word] = joined


def tokenizer_json(size: int) -> dict:
    merges = _merges(_corpus())
    pieces = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + ["\n", SPACE] + [chr(code) for code in range(33, 127)]
    pieces += list(dict.fromkeys(left + right for left, right in merges))
    if len(pieces) > size:
        raise ValueError(f"{len(pieces)} pieces do not fit a vocabulary of {size}")
    pieces += [f"<unused{n}>" for n in range(size - len(pieces))]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": n, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for n, text in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {piece: n for n, piece in enumerate(pieces)}, "merges": [list(pair) for pair in merges],
        },
    }


def tokenizer_config() -> dict:
    names = {
        "audio_token": "<|audio|>", "boa_token": "<|audio>", "boi_token": "<|image>", "bos_token": "<bos>", "eoa_token": "<audio|>",
        "eoc_token": "<channel|>", "eoi_token": "<image|>", "eos_token": "<eos>", "eot_token": "<turn|>", "escape_token": '<|"|>',
        "etc_token": "<tool_call|>", "etd_token": "<tool|>", "etr_token": "<tool_response|>", "image_token": "<|image|>",
        "mask_token": "<mask>", "pad_token": "<pad>", "soc_token": "<|channel>", "sot_token": "<|turn>", "stc_token": "<|tool_call>",
        "std_token": "<|tool>", "str_token": "<|tool_response>", "think_token": "<|think|>", "unk_token": "<unk>",
    }
    return names | {
        "backend": "tokenizers", "extra_special_tokens": ["<|video|>"], "model_max_length": 4096, "padding_side": "left",
        "processor_class": "Gemma4Processor", "tokenizer_class": "GemmaTokenizer",
    }


def write(folder: Path, size: int) -> dict[str, int]:
    """Returns the ids of the special tokens by their text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(size), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(), indent=2) + "\n")
    return {text: n for n, text in enumerate(SPECIAL)}


if __name__ == "__main__":
    from shape import VOCABULARY_SIZE

    write(Path(sys.argv[1]), VOCABULARY_SIZE)
