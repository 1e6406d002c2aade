"""Make Tests/Goldens/tokenizer: two vocabularies, and what Hugging Face `tokenizers` makes of a fuzz corpus and of the
prompts of Tests/Goldens/chat.

usage: make_tokenizer_goldens.py VOCABULARY

VOCABULARY is the tokenizer.json of Gemma 4 (README.md there says how it was made from llama.cpp's copy).
Versions: Python 3.11, tokenizers 0.23.3. The seed is fixed: the same texts come out each time.
"""
import gzip
import json
import random
import sys
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent / "tokenizer"
SEED = 20260714

SCRIPTS = {
    "latin": (0x20, 0x24F), "ipa": (0x250, 0x2FF), "combining": (0x300, 0x36F), "greek": (0x370, 0x3FF),
    "cyrillic": (0x400, 0x52F), "armenian": (0x530, 0x58F), "hebrew": (0x590, 0x5FF), "arabic": (0x600, 0x6FF),
    "syriac": (0x700, 0x74F), "devanagari": (0x900, 0x97F), "bengali": (0x980, 0x9FF), "tamil": (0xB80, 0xBFF),
    "malayalam": (0xD00, 0xD7F), "thai": (0xE00, 0xE7F), "tibetan": (0xF00, 0xFFF), "burmese": (0x1000, 0x109F),
    "georgian": (0x10A0, 0x10FF), "jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x137F), "khmer": (0x1780, 0x17FF),
    "mongolian": (0x1800, 0x18AF), "punctuation": (0x2000, 0x206F), "symbols": (0x2070, 0x23FF),
    "box drawing": (0x2500, 0x26FF), "dingbats": (0x2700, 0x27BF), "kana": (0x3000, 0x30FF), "han": (0x4E00, 0x9FFF),
    "hangul": (0xAC00, 0xD7A3), "private use": (0xE000, 0xE0FF), "compatibility": (0xF900, 0xFAFF),
    "arabic forms": (0xFB50, 0xFDFF), "half width": (0xFF00, 0xFFFF), "linear b": (0x10000, 0x100FF),
    "gothic": (0x10330, 0x1034F), "cuneiform": (0x12000, 0x120FF), "mathematical": (0x1D400, 0x1D7FF),
    "emoji": (0x1F300, 0x1FAFF), "han extension": (0x20000, 0x200FF), "tags": (0xE0000, 0xE007F),
    "selectors": (0xE0100, 0xE01EF), "last plane": (0x10FF00, 0x10FFFF), "control": (0x00, 0x1F), "c1": (0x7F, 0x9F),
}
EMOJI = ["😊", "👨‍👩‍👧‍👦", "👩🏽‍💻", "🏳️‍🌈", "🇩🇪", "1️⃣", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏿‍♀️", "🫱🏻‍🫲🏿", "☺︎", "🇩"]
CODE = [
    "def f(x):\n\treturn x ** 2  # square\n\n\n", "for (int i = 0; i < n; ++i) {\n    a[i] += b[i];\n}\n", "<b>bold</b><br/>",
    '{"key": [1, 2.5, null, "a\\nb"]}', "SELECT * FROM t WHERE a >= 10;", "https://example.org/a?b=c&d=%20#e", "C:\\Users\\me\\x.txt",
    "\r\n\r\nline\r\n", "a\tb\t\tc\t\t\t", "$x^2 + \\frac{1}{2}$", "1234567890 3.14159 1,000,000 0xDEADBEEF 1e-7", "don't can't I'm we'll",
]
LOOK_ALIKES = [
    "<0x0A>", "<0x41>", "<0xFF>", "[multimodal]", "<unused7>", "<unused99>", "<start_of_turn>", "<end_of_turn>", "</s>", "<|im_end|>",
    "<|turn", "turn>", "<|turn|>", "<turn>", "<|image|", "<|\"|", "<|>", "<||>", "|>", "<|", "<<|turn>>", "<|turn>|>", "<|tool_call|>",
    "<BOS>", "< bos>", "<bos >", "<bo\u0301s>", "<\u200bbos>", "＜bos＞",
]


def fuzz(tokenizer, rng):
    """Texts, many kinds of them, without surrogates."""
    pieces = [p.replace("▁", " ") for p in tokenizer.get_vocab(with_added_tokens=False)]
    pieces.sort()
    special = sorted(tokenizer.get_added_tokens_decoder()[i].content for i in tokenizer.get_added_tokens_decoder())
    assigned = lambda first, last: chr(rng.randint(first, last))
    yield from ["", " ", "  ", "\n", "\r", "\t", "\0", "▁", "▁▁ ▁", "\ufeff", "\ufffd", "\uffff", "e\u0301", "é", "Å", "Å", "A\u030a"]
    yield from EMOJI + CODE + LOOK_ALIKES + special
    yield from [" " * n for n in (*range(3, 40), 63, 64, 65, 100, 139, 200)]
    yield from ["\n" * n for n in (*range(2, 40), 63, 64, 65, 100, 139, 200)]
    yield from ["\t" * n for n in (2, 3, 5, 8, 31, 32, 33)] + ["\r\n" * n for n in (1, 2, 3, 16, 31, 32)]
    yield from ["a" * 999, "ab" * 500, "😀" * 100, "ꙮ" * 50, "\u0301" * 64, "ha" * 33, "0" * 300, "." * 333, "=" * 100, "﷽" * 9]
    for first, last in SCRIPTS.values():
        for _ in range(12):
            yield "".join(assigned(first, last) for _ in range(rng.randint(1, 24)))
    for _ in range(500):  # what merges are made of
        yield "".join(rng.choice(pieces) for _ in range(rng.randint(1, 10)))
    for _ in range(250):  # words of the vocabulary with spaces, newlines and marks between
        yield "".join(rng.choice(pieces).strip() + rng.choice([" ", " ", " ", "  ", "\n", "\n\n", ", ", ". ", "-", "\t", " \n "]) for _ in range(rng.randint(1, 12)))
    for _ in range(200):  # runs
        yield "".join(rng.choice([" ", "\n", "\t", "\r", "x", "▁"]) * rng.randint(1, 34) for _ in range(rng.randint(1, 6)))
    for _ in range(250):  # special tokens, whole and broken, in text
        parts = []
        for _ in range(rng.randint(1, 5)):
            text = rng.choice(special + LOOK_ALIKES)
            if rng.random() < 0.3:
                cut = rng.randrange(len(text))
                text = text[:cut] + text[cut + 1 :]
            parts += [text, rng.choice(["", "", " ", "\n", "user", "Hi", "<", "|", ">", rng.choice(pieces)])]
        yield "".join(parts)
    for _ in range(150):  # composed and decomposed
        text = "".join(rng.choice(["é", "ü", "ñ", "한", "글", "ệ", "が", "ﬁ", "Ω", "½", "²", " ", "x"]) for _ in range(rng.randint(1, 12)))
        yield unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC", "NFKD"]), text)
    for _ in range(150):
        yield "".join(rng.choice(EMOJI + ["\u200d", "\ufe0f", "🏽", " ", "a", "\u0301", "\u20e3"]) for _ in range(rng.randint(1, 8)))
    for _ in range(300):  # any scalar beside any other
        scalars = []
        for _ in range(rng.randint(1, 30)):
            first, last = rng.choice(list(SCRIPTS.values()) + [(0x20, 0x7E)] * 20)
            scalars.append(assigned(first, last))
        yield "".join(scalars)


def encodings(tokenizer, rng):
    cases = []
    for text in dict.fromkeys(fuzz(tokenizer, rng)):
        tokenizer.encode_special_tokens = False
        case = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        if plain != case["ids"]:
            case["plain"] = plain
        cases.append(case)
    return cases


def decodings(tokenizer, rng, count):
    """Ids that no text encodes to: broken runs of bytes, special tokens in between, any piece after any other."""
    byte = [tokenizer.token_to_id(f"<0x{b:02X}>") for b in range(256)]
    special = sorted(tokenizer.get_added_tokens_decoder())
    cases = []
    for _ in range(count):
        ids = []
        for _ in range(rng.randint(1, 8)):
            kind = rng.randrange(6)
            if kind == 0:
                ids += [byte[b] for b in chr(rng.choice([0x41, 0xE9, 0x939, 0x4E2D, 0x1F600])).encode()]
            elif kind == 1:
                ids += [byte[b] for b in chr(rng.choice([0xE9, 0x939, 0x1F600])).encode()[: rng.randint(1, 2)]]
            elif kind == 2:
                ids += [byte[rng.randrange(256)] for _ in range(rng.randint(1, 3))]
            elif kind == 3:
                ids.append(rng.choice(special))
            else:
                ids.append(rng.randrange(tokenizer.get_vocab_size()))
        cases.append({"ids": ids, "text": tokenizer.decode(ids), "all": tokenizer.decode(ids, skip_special_tokens=False)})
    return cases


def make_tiny(vocabulary, path):
    """640 pieces, the 24 special tokens under other ids, merges as "a b", some across newlines."""
    tokens = sorted(vocabulary.get_added_tokens_decoder().items(), reverse=True)
    tiny = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tiny.normalizer = normalizers.Replace(" ", "▁")
    tiny.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tiny.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=640, max_token_length=7, show_progress=False, special_tokens=[t.content for _, t in tokens] + [f"<0x{b:02X}>" for b in range(256)])
    words = "the quick brown fox jumps over a lazy dog and small vocabularies have few merges; é ü 中文 12 3 user model {x}".split()
    rng = random.Random(SEED)
    text = "".join(rng.choice(words) + rng.choice([" ", " ", " ", "\n", "\n\n", ". ", ".\n", "  "]) for _ in range(2000))
    tiny.train_from_iterator([text], trainer)
    saved = json.loads(tiny.to_str())
    saved["added_tokens"] = [t for t in saved["added_tokens"] if not t["content"].startswith("<0x")]
    saved["model"]["merges"] = [" ".join(m) for m in saved["model"]["merges"]]
    path.write_text(json.dumps(saved, ensure_ascii=True, indent=None) + "\n")
    return Tokenizer.from_file(str(path))


def write(path, value):
    data = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def main():
    vocabulary = Path(sys.argv[1])
    HERE.mkdir(exist_ok=True)
    (HERE / "gemma4.json.gz").write_bytes(gzip.compress(vocabulary.read_bytes(), 9, mtime=0))
    real = Tokenizer.from_file(str(vocabulary))
    tiny = make_tiny(real, HERE / "tiny.json")
    for name, tokenizer, count in (("gemma4", real, 600), ("tiny", tiny, 300)):
        rng = random.Random(SEED)
        corpus = {"encode": encodings(tokenizer, rng)}
        tokenizer.encode_special_tokens = False
        corpus["decode"] = decodings(tokenizer, rng, count)
        for case in corpus["encode"]:
            case["decoded"] = tokenizer.decode(case["ids"], skip_special_tokens=False)
            if case["decoded"] == case["text"]:
                del case["decoded"]
        write(HERE / f"{name}-corpus.json.gz", corpus)
        print(name, len(corpus["encode"]), "texts", len(corpus["decode"]), "id sequences, tokenizers", tokenizers.__version__)
    # The prompts as text, special tokens parsed, in the order of the file. Arguments that are the text of an object are
    # shown as the object, not within braces of its own.
    conversations = json.loads((HERE.parent / "chat" / "conversations.json").read_text())
    prompts = [real.encode(c["text"].replace("{{}}", "{}"), add_special_tokens=False).ids for c in conversations]
    write(HERE / "chat-ids.json.gz", prompts)
    print(len(prompts), "prompts")


if __name__ == "__main__":
    main()
