"""Write the vocabulary in a Gemma 4 GGUF file as a Hugging Face tokenizer.json.

usage: vocabulary_from_gguf.py VOCABULARY.gguf OUT.json
"""
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTROL, USER_DEFINED = 3, 4  # token types of GGUF; together the 24 special tokens


def main():
    fields = GGUFReader(sys.argv[1]).fields
    texts = lambda name: [bytes(fields[name].parts[i]).decode() for i in fields[name].data]
    pieces = texts("tokenizer.ggml.tokens")
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    # "left right": cut at the first space that has something before it.
    cuts = [(merge, merge.index(" ", 1)) for merge in texts("tokenizer.ggml.merges")]
    merges = [(merge[:cut], merge[cut + 1 :]) for merge, cut in cuts]

    vocabulary = {piece: id for id, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [piece for piece, type in zip(pieces, types) if type in (CONTROL, USER_DEFINED)]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in special])
    tokenizer.save(sys.argv[2], pretty=False)


if __name__ == "__main__":
    main()
