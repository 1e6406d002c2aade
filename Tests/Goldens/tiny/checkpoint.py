"""Random weights under the published names, written as a checkpoint directory."""
import json
import math
import re

import torch
import transformers
from safetensors.torch import save_file

from . import tokenizer, variants


def write_json(path, value):
    """Indented, but a list of numbers stays on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    text = re.sub(r"\[\s+([-+.\deE,\snul]+?)\s+\]", lambda match: "[" + " ".join(match[1].split()) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


def write(name, folder):
    """Writes the checkpoint beside its `chat_template.jinja`, which is an input; returns the ids of the special tokens."""
    seed = variants.SEEDS[name]
    vocab, merges = tokenizer.vocabulary(variants.VOCABULARY[name], seed)
    ids = {piece: vocab[piece] for piece in tokenizer.SPECIAL}
    # Merges were written as one text in older files and as pairs in newer ones: both occur.
    write_json(folder / "tokenizer.json", tokenizer.tokenizer_json(vocab, merges, merges_as_text=name in {"31B", "26B-A4B"}))
    write_json(folder / "tokenizer_config.json", tokenizer.tokenizer_config(f"{variants.family(name)}Processor"))
    write_json(folder / "config.json", variants.config(name, ids))
    write_json(folder / "generation_config.json", variants.generation_config(name, ids))
    write_json(folder / "processor_config.json", variants.processor_config(name))
    save(folder, random_tensors(name, folder, ids, seed), variants.SHARDS[name])
    return ids


def random_tensors(name, folder, ids, seed):
    """What `state_dict()` lists, and nothing else: unsaved buffers could not be reproduced from the files."""
    family = variants.family(name)
    config = getattr(transformers, f"{family}Config").from_pretrained(folder)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    shapes = {released_name(key): tuple(value.shape) for key, value in model.state_dict().items() if key != "lm_head.weight"}
    if name == "E2B":  # as published: the unused keys and values of shared layers are in the file
        text = config.text_config
        first_shared = text.num_hidden_layers - text.num_kv_shared_layers
        for layer in range(first_shared, text.num_hidden_layers):
            source = max(j for j in range(first_shared) if text.layer_types[j] == text.layer_types[layer])
            for part in ("k_proj", "v_proj", "k_norm"):
                key = "model.language_model.layers.{}.self_attn." + part + ".weight"
                shapes[key.format(layer)] = shapes[key.format(source)]
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: random_tensor(key, shapes[key], generator) for key in sorted(shapes)}
    embedding = tensors["model.language_model.embed_tokens.weight"]
    for piece in ("<turn|>", "<|tool_response>", "<image|>", "<audio|>"):
        embedding[ids[piece]] *= 1.25  # longer rows win more often: answers that stop, and choices to suppress
    return {key: value.to(torch.bfloat16) for key, value in tensors.items()}


def released_name(key):
    """What the published files of the 12B call a tensor; transformers renames it while loading (`conversion_mapping.py`)."""
    if key.startswith("model.embed_vision.multimodal_embedder."):
        return key.replace("multimodal_embedder.", "")
    if key.startswith(("model.embed_vision.patch_", "model.embed_vision.pos_")):
        return key.replace("embed_vision", "vision_embedder")
    return key


def random_tensor(key, shape, generator):
    """Scales under which every part of the graph moves the logits, and these spread to about ±10."""
    def normal(deviation):
        return torch.randn(shape, generator=generator) * deviation

    def uniform(low, high):
        return torch.rand(shape, generator=generator) * (high - low) + low

    last = key.removesuffix(".weight").rsplit(".", 1)[-1]
    if last in ("input_max", "output_max"):
        return uniform(1.0, 2.0)  # tight: normalised inputs exceed it every few values
    if last in ("input_min", "output_min"):
        return -uniform(1.0, 2.0)
    if last == "layer_scalar":
        return uniform(0.6, 1.1)
    if last == "std_bias":
        return normal(2.0)
    if last in ("std_scale", "per_expert_scale") or key.endswith("router.scale"):
        return uniform(0.3, 1.7)
    if last == "per_dim_scale":
        return normal(1.0)
    if last in ("q_norm", "k_norm"):
        return uniform(0.4, 0.9)  # attention has no 1/√headDimension
    if "norm" in last or ".norm." in key or last in ("patch_ln1", "patch_ln2"):
        return uniform(0.4, 1.6) * torch.where(torch.rand(shape, generator=generator) < 0.1, -1.0, 1.0)
    if last == "bias":
        return normal(0.5)
    if last == "embed_tokens":
        return normal(0.5)
    if last == "embed_tokens_per_layer":
        return normal(0.3)
    if last in ("position_embedding_table", "pos_embedding"):
        return normal(0.7)
    if last == "embedding_projection":  # soft tokens as large as text embeddings
        return normal(3 / math.sqrt(shape[-1]))
    if last == "conv":
        return normal(1 / math.sqrt(shape[1] * 9))
    if last == "depthwise_conv1d":
        return normal(0.6)
    gain = 2.5 if ".router." in key else 1.5 if last in ("input_proj", "input_proj_linear") else 1.0
    return normal(gain / math.sqrt(shape[-1]))


def save(folder, tensors, shards):
    metadata = {"format": "pt"}
    if shards == 1:
        return save_file(tensors, folder / "model.safetensors", metadata)
    keys = sorted(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = keys[len(keys) * shard // shards : len(keys) * (shard + 1) // shards]
        save_file({key: tensors[key] for key in part}, folder / file, metadata)
        weight_map |= dict.fromkeys(part, file)
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
