"""A tiny checkpoint of EmbeddingGemma 2 under the published names, and what transformers makes of texts and media with it.

usage: python make_embedder.py, with transformers 5.24.0 (models/embedding_gemma2).

checkpoint/: config.json as transformers saves it, model.safetensors in bf16, tokenizer, processor, prompts.
expected.json: for each case its name, prompt, text, picture, recording or film, and the token ids;
  "frames": for lengths and rates of films the frames that the processor looks at.
expected.safetensors, all F32: CASE.embedding [768], the mean of the last hidden states of all positions, at unit length;
  of case `long`, whose text is longer than the window reaches, layer.i [T, hidden].
Random weights. Prompts and pooling are those of sentence-transformers: the prompt before the text, the mean over all positions.
"""
import json
import re
import sys
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import save_file
from transformers import EmbeddingGemma2Config, EmbeddingGemma2Model, EmbeddingGemma2Processor
from transformers.video_utils import VideoMetadata

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tiny import attachments, checkpoint, tokenizer, variants  # noqa: E402

SEED = 2026_12
VOCABULARY = 701
PROMPTS = {
    "query": "task: search result | query: ", "document": "title: none | text: ",
    "Clustering": "task: clustering | query: ", "STS": "task: sentence similarity | query: ",
}
LONG = "The first word and the second word, and what is in this long answer? " * 3
CASES = [
    {"name": "plain", "text": "Describe two pictures."},
    {"name": "query", "prompt": "query", "text": "What is a long word?"},
    {"name": "document", "prompt": "document", "text": "été 日本語 ... eine\n\nResponse"},
    {"name": "long", "prompt": "STS", "text": LONG.strip()},
    {"name": "empty", "text": ""},
    {"name": "picture", "image": "wide"},
    {"name": "poster", "image": "poster"},
    {"name": "sound", "audio": "chirp"},
    {"name": "film", "film": {"frames": 50, "fps": 12.5, "width": 60, "height": 40}},
]
FILMS = [
    (1, 24.0), (24, 24.0), (25, 25.0), (31, 30.0), (100, 12.5), (1750, 25.0), (1000, 29.97), (40, 0.5), (960, 30.0),
    (990, 30.0), (1999, 23.976),
]


def config(ids):
    special = {key: ids[piece] for key, piece in {
        "audio_token_id": "<|audio|>", "boa_token_id": "<|audio>", "boi_token_id": "<|image>", "eoa_token_index": "<audio|>",
        "eoi_token_id": "<image|>", "image_token_id": "<|image|>", "video_token_id": "<|video|>"}.items()}
    text = dict(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=88, num_hidden_layers=12, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, global_head_dim=32, num_global_key_value_heads=1, sliding_window=5,
        hidden_size_per_layer_input=40, embedding_dim=768, max_position_embeddings=4096,
        pad_token_id=ids["<pad>"], bos_token_id=ids["<bos>"], eos_token_id=ids["<eos>"])
    return EmbeddingGemma2Config(
        text_config=text,
        vision_config=variants.vision_config("E2B") | {"position_embedding_size": 432},  # of the larger budget
        audio_config=variants.audio_config("E2B"), **special)


def write_checkpoint(folder):
    vocab, merges = tokenizer.vocabulary(VOCABULARY, SEED)
    ids = {piece: vocab[piece] for piece in tokenizer.SPECIAL}
    values = tokenizer.tokenizer_json(vocab, merges, merges_as_text=False)
    def special(piece):
        return {"SpecialToken": {"id": piece, "type_id": 0}}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [special("<bos>"), {"Sequence": {"id": "A", "type_id": 0}}, special("<eos>")],
        "pair": [special("<bos>"), {"Sequence": {"id": "A", "type_id": 0}}, special("<eos>"), {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {piece: {"id": piece, "ids": [ids[piece]], "tokens": [piece]} for piece in ("<bos>", "<eos>")},
    }
    checkpoint.write_json(folder / "tokenizer.json", values)
    checkpoint.write_json(folder / "tokenizer_config.json", tokenizer.tokenizer_config("EmbeddingGemma2Processor"))
    config(ids).save_pretrained(folder)
    processor = variants.processor_config("E2B") | {"processor_class": "EmbeddingGemma2Processor"}
    del processor["video_processor"]["num_frames"]
    processor["image_processor"]["max_soft_tokens"] = processor["image_seq_length"] = 140
    processor["video_processor"] |= {
        "video_processor_type": "EmbeddingGemma2VideoProcessor", "fps": 1, "max_frames": 32, "overflow_strategy": "uniform",
        "add_timestamps": False}
    checkpoint.write_json(folder / "processor_config.json", processor)
    checkpoint.write_json(folder / "config_sentence_transformers.json", {
        "model_type": "SentenceTransformer", "prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"})
    model = EmbeddingGemma2Model(EmbeddingGemma2Config.from_pretrained(folder))
    generator = torch.Generator().manual_seed(SEED)
    tensors = {key: checkpoint.random_tensor(key, tuple(value.shape), generator)
               for key, value in sorted(model.state_dict().items())}
    save_file({key: value.to(torch.bfloat16) for key, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def film(frames, width, height):
    """Frames that the tests make too."""
    t, y, x, c = numpy.meshgrid(*map(numpy.arange, (frames, height, width, 3)), indexing="ij")
    return ((x * 7 + y * 13 + t * 31 + c * 57 + (x * y * (t + 1)) // 29) & 255).astype(numpy.uint8)


def inputs(case, processor):
    media = {}
    if "text" in case:
        return processor(text=[PROMPTS.get(case.get("prompt"), "") + case["text"]], return_tensors="pt")
    if "image" in case:
        media["images"] = [[attachments.read_picture(HERE.parent / f"attachments/{case['image']}.png")]]
    if "audio" in case:
        media["audio"] = [attachments.read_samples(HERE.parent / f"attachments/{case['audio']}.wav")]
    if "film" in case:
        frames, fps = case["film"]["frames"], case["film"]["fps"]
        media["videos"] = [film(frames, case["film"]["width"], case["film"]["height"])]
        media["video_metadata"] = [VideoMetadata(total_num_frames=frames, fps=fps, duration=frames / fps)]
    return processor(return_tensors="pt", **media)


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    folder = HERE / "checkpoint"
    write_checkpoint(folder)
    model = EmbeddingGemma2Model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    processor = EmbeddingGemma2Processor.from_pretrained(folder)
    tensors, cases = {}, []
    for case in CASES:
        values = inputs(case, processor)
        hooks = []
        if case["name"] == "long":
            def keep(index):
                def hook(_module, _arguments, output):
                    tensors[f"layer.{index}"] = output[0].clone()
                return hook
            hooks = [layer.register_forward_hook(keep(i)) for i, layer in enumerate(model.language_model.layers)]
        hidden = model(**{key: value for key, value in values.items() if isinstance(value, torch.Tensor)}).last_hidden_state[0]
        for hook in hooks:
            hook.remove()
        mean = hidden[values["attention_mask"][0].bool()].mean(0)
        tensors[f"{case['name']}.embedding"] = mean / mean.norm()
        cases.append(case | {"tokens": values["input_ids"][0].tolist()})
        print(case["name"], len(cases[-1]["tokens"]), "tokens, first", tensors[f"{case['name']}.embedding"][:3].tolist())
    frames = [{"frames": count, "fps": fps, "indices": [int(i) for i in processor.video_processor.sample_frames(
        VideoMetadata(total_num_frames=count, fps=fps, duration=count / fps), fps=1, max_frames=32,
        overflow_strategy="uniform")]} for count, fps in FILMS]
    save_file({key: value.float().contiguous() for key, value in tensors.items()}, HERE / "expected.safetensors")
    checkpoint.write_json(HERE / "expected.json", {"cases": cases, "frames": frames})
    vectors = torch.stack([tensors[f"{case['name']}.embedding"] for case in cases])
    print("cosines", [[round(float(c), 2) for c in row] for row in vectors @ vectors.T])


main()
