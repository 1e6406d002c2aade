"""A tiny checkpoint of 2, 4 and 8 bits in the layout of Google's mobile ones, and what transformers computes on it.

usage: python make_mobile.py, with transformers 5.24.0 (integrations/gemma_quant.py), which the other goldens do not need.

checkpoint/config.json, model.safetensors; expected.safetensors holds, all F32:
  tokens [T], ids of a prompt;  picture `wide` and recording `chirp` of ../attachments, of the latter mel [frames, 128]
  module.M.input, module.M.output    some modules alone, activations in steps
  embedding.tokens, embedding.perLayer    rows of both tables, scaled
  plain.layer.i, plain.logits, plain.vision, plain.audio    every activation step 0
  steps.logits, steps.vision, steps.audio    with the steps of the file
  shaken.logits, shaken.vision, shaken.audio [1]    how far the last three move at most when the steps are changed by 3e-7
Random weights. Each step is 0.8 of what would hold the largest activation, so that some are clamped; some are 0, one is absent.
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Gemma4Config, Gemma4ForConditionalGeneration, Gemma4Processor
from transformers.integrations.gemma_quant import QuantizedEmbedding, QuantizedLinear, replace_with_quant_layers
from transformers.utils.quantization_config import GemmaQuantizationConfig

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tiny import attachments, checkpoint, tokenizer, variants  # noqa: E402

SEED = 2026_11
QUANTIZATION = {
    "quant_method": "gemma", "num_bits": 4, "quantize_embeddings": True,
    "module_quant_configs": {
        "^lm_head$": {"num_bits": 2},
        r"language_model\.embed_tokens$": {"num_bits": 2},
        r"language_model\.embed_tokens_per_layer$": {"num_bits": 4},
        r"language_model\.layers\.(\d|1[0-4])\.mlp\.down": {"num_bits": 2},
        r"language_model\.layers\.[0-2]\.mlp\.": {"num_bits": 4},
        r"language_model\.layers\.\d+\.mlp\.": {"num_bits": 2},
        r"language_model\.layers\.\d+\.self_attn\.": {"num_bits": 4},
        r"\.per_layer_input_gate$": {"num_bits": 8},
        r"\.per_layer_projection$": {"num_bits": 8},
        "vision_tower": {"num_bits": 8},
        r"audio_tower(?!.*lconv1d\.linear_start)": {"num_bits": 2},
        r"audio_tower\.layers\.\d+\.lconv1d\.linear_start\.": {"num_bits": 4},
    },
    "modules_to_not_convert": [
        "model.vision_tower.patch_embedder", "model.audio_tower.subsample_conv_projection", "model.audio_tower.output_proj",
        "relative_k_proj", "model.embed_audio", "model.embed_vision", "per_layer_model_projection",
    ],
}
TRACED = [
    "lm_head", "model.language_model.layers.0.self_attn.q_proj", "model.language_model.layers.0.mlp.down_proj",
    "model.language_model.layers.1.mlp.gate_proj", "model.language_model.layers.4.mlp.up_proj",
    "model.language_model.layers.0.per_layer_input_gate", "model.language_model.layers.3.per_layer_projection",
    "model.vision_tower.encoder.layers.1.mlp.down_proj.linear",
    "model.audio_tower.layers.0.feed_forward1.ffw_layer_1.linear",
    "model.audio_tower.layers.1.lconv1d.linear_start.linear",
]


def config():
    vocab, _ = tokenizer.vocabulary(variants.VOCABULARY["E2B"], variants.SEEDS["E2B"])
    values = variants.config("E2B", {piece: vocab[piece] for piece in tokenizer.SPECIAL})
    values["text_config"] |= dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=6, layer_types=variants.layer_types(6, 3),
        num_attention_heads=4, head_dim=32, global_head_dim=64, num_kv_shared_layers=3, hidden_size_per_layer_input=32,
        sliding_window=9, tie_word_embeddings=False)
    values["vision_config"] |= dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=32,
        global_head_dim=32)
    values["audio_config"] |= dict(hidden_size=64, num_hidden_layers=2, output_proj_dims=64)
    return values | {"tie_word_embeddings": False, "quantization_config": QUANTIZATION}


def make_model():
    values = {key: value for key, value in config().items() if key != "quantization_config"}
    model = Gemma4ForConditionalGeneration._from_config(
        Gemma4Config(**values), attn_implementation="eager", torch_dtype=torch.float32)
    replace_with_quant_layers(model, GemmaQuantizationConfig(**QUANTIZATION), QUANTIZATION["modules_to_not_convert"])
    return model.float().eval()


def fill(model, generator):
    """Random weights; returns the tensors as the file stores them."""
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, (QuantizedLinear, QuantizedEmbedding)):
            weight = "weight" if isinstance(module, QuantizedLinear) else "embedding_quantized"
            parameter = getattr(module, weight)
            low, high = (0, 256) if parameter.dtype == torch.uint8 else (-128, 128)
            values = torch.randint(low, high, parameter.shape, generator=generator).to(parameter.dtype)
            rows = parameter.shape[0]
            deviation = {2: 1.1, 4: 4.6, 8: 74.0}[module.num_bits]  # of the integers
            if weight == "weight":
                groups, wanted = 1, 1 / module.in_features**0.5
            else:
                groups = 6 if "per_layer" in name else 1
                wanted = 0.3 if "per_layer" in name else 0.5
            scale = wanted / deviation * (0.5 + torch.rand(rows, groups, generator=generator))
            setattr(module, weight, torch.nn.Parameter(values, requires_grad=False))
            attribute = "weight_scale" if weight == "weight" else "embedding_scale"
            setattr(module, attribute, torch.nn.Parameter(scale, requires_grad=False))
            tensors |= {f"{name}.{weight}": values, f"{name}.{attribute}": scale}
    state = model.state_dict()
    for key in sorted(state):
        if key not in tensors and not key.endswith("_activation_scale"):
            value = checkpoint.random_tensor(key, tuple(state[key].shape), generator).to(torch.bfloat16)
            state[key].copy_(value.float())
            tensors[key] = value
    return tensors


def quantized(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantizedLinear)}


@torch.no_grad()
def set_steps(model, steps, factors=None):
    for name, module in quantized(model).items():
        for side in ("input", "output"):
            key = f"{name}.{side}_activation_scale"
            getattr(module, f"{side}_activation_scale").fill_(steps.get(key, 0.0) * (factors[key] if factors else 1))


@torch.no_grad()
def run(model, inputs, observe=False):
    """Logits, soft tokens, and with `observe` what every module takes and gives."""
    values, hooks = {}, []

    def keep(name):
        def hook(_module, arguments, output):
            values[f"{name}.input"] = arguments[0].reshape(-1, arguments[0].shape[-1]).clone()
            values[f"{name}.output"] = output.reshape(-1, output.shape[-1]).clone()
        return hook

    def keep_layer(index):
        def hook(_module, _arguments, output):
            value = output[0] if isinstance(output, tuple) else output
            values[f"layer.{index}"] = value.reshape(-1, value.shape[-1]).clone()
        return hook

    if observe:
        hooks = [module.register_forward_hook(keep(name)) for name, module in quantized(model).items()]
        hooks += [layer.register_forward_hook(keep_layer(i)) for i, layer in enumerate(model.model.language_model.layers)]
    logits = model(input_ids=inputs["tokens"][None]).logits[0]
    vision = model.model.get_image_features(inputs["pixels"], inputs["positions"]).pooler_output[0]
    features = model.model.get_audio_features(inputs["mel"], inputs["mask"])
    for hook in hooks:
        hook.remove()
    return {"logits": logits, "vision": vision, "audio": features.pooler_output[features.attention_mask]}, values


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = make_model()
    tensors = fill(model, generator)
    processor = Gemma4Processor.from_pretrained(HERE.parent / "E2B/checkpoint")
    pictures = processor.image_processor(
        [attachments.read_picture(HERE.parent / "attachments/wide.png")], return_tensors="pt")
    sounds = processor.feature_extractor(
        [attachments.read_samples(HERE.parent / "attachments/chirp.wav")], return_tensors="pt")
    ids = config()
    media = {ids["image_token_id"], ids["audio_token_id"], ids["video_token_id"]}
    tokens = [int(t) for t in torch.randint(0, 701, (40,), generator=generator) if int(t) not in media][:24]
    inputs = {
        "tokens": torch.tensor(tokens), "pixels": pictures["pixel_values"], "positions": pictures["image_position_ids"],
        "mel": sounds["input_features"], "mask": sounds["input_features_mask"],
    }

    set_steps(model, {})
    plain, values = run(model, inputs, observe=True)
    result = {f"plain.{key}": value for key, value in plain.items()}
    result |= {f"plain.{key}": value for key, value in values.items() if key.startswith("layer.")}
    steps = {}
    for index, name in enumerate(sorted(quantized(model))):
        for side in ("input", "output"):
            largest = values[f"{name}.{side}"].abs().max()
            steps[f"{name}.{side}_activation_scale"] = float((0.8 * largest / 127).float())
        if index % 17 == 3 and name not in TRACED:
            steps[f"{name}.input_activation_scale"] = 0.0
        if index % 17 == 9 and name not in TRACED:
            steps[f"{name}.output_activation_scale"] = 0.0
    absent = "model.language_model.layers.2.mlp.gate_proj.input_activation_scale"
    steps[absent] = 0.0
    tensors |= {key: torch.tensor(value) for key, value in steps.items() if key != absent}
    for layer in range(3):
        for side in ("k", "v"):
            tensors[f"model.language_model.layers.{layer}.self_attn.{side}_cache_scale"] = torch.tensor(0.03)

    set_steps(model, steps)
    stepped, values = run(model, inputs, observe=True)
    result |= {f"steps.{key}": value for key, value in stepped.items()}
    for name in TRACED:
        for side in ("input", "output"):
            result[f"module.{name}.{side}"] = values[f"{name}.{side}"][:9]
    for key in stepped:
        result[f"shaken.{key}"] = torch.zeros(1)
    for _ in range(16):
        set_steps(model, steps, {key: 1 + 3e-7 * (2 * float(torch.rand(1, generator=generator)) - 1) for key in steps})
        shaken, _ = run(model, inputs)
        for key, value in shaken.items():
            result[f"shaken.{key}"] = torch.maximum(result[f"shaken.{key}"], (value - stepped[key]).abs().max()[None])
    with torch.no_grad():
        text = model.model.language_model
        result["embedding.tokens"] = text.embed_tokens(inputs["tokens"][:5])
        result["embedding.perLayer"] = text.embed_tokens_per_layer(inputs["tokens"][:5])
    result["tokens"] = inputs["tokens"].float()
    result["mel"] = inputs["mel"][0][inputs["mask"][0].bool()]

    folder = HERE / "checkpoint"
    checkpoint.write_json(folder / "config.json", ids)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    save_file({key: value.float().contiguous().clone() for key, value in result.items()}, HERE / "expected.safetensors")
    for key in ("logits", "vision", "audio"):
        print(key, "largest", float(stepped[key].abs().max()), "shaken", float(result[f"shaken.{key}"]),
              "steps against none", float((stepped[key] - plain[key]).abs().max()))


main()
