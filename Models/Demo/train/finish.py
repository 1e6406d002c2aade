"""Turns the training state into a checkpoint of the published layout: bounds of the clipped linears, bfloat16, all files.

    python finish.py --state STATE --data STATE/data --out ..

Prints how much the rounding and the bounds change the training loss: nothing, if all is well.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.gemma4.modeling_gemma4 import Gemma4ClippableLinear
from torch import nn

import conversation
import pictures
import shape
import sound
import train_audio
import train_decoder
import train_vision
import vocabulary

MARGIN = 1.5  # bounds lie this factor beyond the largest activation seen
CLIPS, PICTURES = 192, 96


def processor_config() -> dict:
    image = {
        "do_convert_rgb": True, "do_normalize": False, "do_rescale": True, "do_resize": True, "image_mean": [0.0] * 3, "image_std": [1.0] * 3,
        "image_seq_length": shape.MAX_SOFT_TOKENS, "max_soft_tokens": shape.MAX_SOFT_TOKENS, "patch_size": 16, "pooling_kernel_size": 3,
        "resample": 3, "rescale_factor": 1 / 255,
    }
    return {
        "audio_ms_per_token": 40,
        "audio_seq_length": 750,
        "feature_extractor": {
            "dither": 0.0, "feature_extractor_type": "Gemma4AudioFeatureExtractor", "feature_size": 128, "fft_length": 512, "fft_overdrive": False,
            "frame_length": 320, "hop_length": 160, "input_scale_factor": 1.0, "max_frequency": 8000.0, "mel_floor": 0.001, "min_frequency": 0.0,
            "padding_side": "right", "padding_value": 0.0, "per_bin_mean": None, "per_bin_stddev": None, "preemphasis": 0.0,
            "preemphasis_htk_flavor": True, "return_attention_mask": True, "sampling_rate": 16000,
        },
        "image_processor": image | {"image_processor_type": "Gemma4ImageProcessor"},
        "image_seq_length": shape.MAX_SOFT_TOKENS,
        "processor_class": "Gemma4Processor",
        "video_processor": image | {"do_normalize": True, "do_sample_frames": True, "num_frames": 32, "return_metadata": False, "video_processor_type": "Gemma4VideoProcessor"},
    }


def generation_config(ids: dict[str, int]) -> dict:
    """Greedy: these answers are not a matter of taste."""
    return {"bos_token_id": ids["<bos>"], "eos_token_id": [ids["<eos>"], ids["<turn|>"], ids["<|tool_response>"]], "pad_token_id": ids["<pad>"]}


def measure(model: nn.Module, source: train_decoder.Source) -> None:
    """Runs transformers' own towers on fresh training data and sets the bounds of every clipped linear."""
    seen: dict[Gemma4ClippableLinear, list[float]] = {}

    def watch(module: Gemma4ClippableLinear, inputs: tuple, output: torch.Tensor) -> None:
        values = [inputs[0].min().item(), inputs[0].max().item(), output.min().item(), output.max().item()]
        old = seen.setdefault(module, values)
        seen[module] = [min(old[0], values[0]), max(old[1], values[1]), min(old[2], values[2]), max(old[3], values[3])]

    clipped = [module for module in model.modules() if isinstance(module, Gemma4ClippableLinear)]
    hooks = [module.register_forward_hook(watch) for module in clipped]
    with torch.no_grad():
        for _ in range(CLIPS // 8):
            model.model.audio_tower(*sound.features([source.clip(10)[0] for _ in range(8)]))
        for _ in range(PICTURES // 8):
            _, pixels, positions = train_vision.batch(source.random, source.random.choice(pictures.CANVASES), 8, 3)
            model.model.vision_tower(pixels, positions.expand(len(pixels), -1, -1))
    for hook in hooks:
        hook.remove()
    for module, (input_min, input_max, output_min, output_max) in seen.items():
        for name, value in (("input_min", input_min), ("input_max", input_max), ("output_min", output_min), ("output_max", output_max)):
            getattr(module, name).fill_(torch.tensor(MARGIN * value).bfloat16().float())


@torch.no_grad()
def losses(model: nn.Module, modules: nn.ModuleDict, batches: conversation.Batches, clips: sound.Clips) -> dict[str, float]:
    """Loss and exact answers of transformers' own towers and our decoder pass on the same fresh examples at every call."""
    source = train_decoder.Source(modules, clips, seed=99)
    result = {}
    takes = [source.clip(10) for _ in range(48)]
    output = model.model.audio_tower(*sound.features([take for take, _ in takes]))
    examples = source.transcriptions([(row[valid], text) for row, valid, (_, text) in zip(output.last_hidden_state, output.attention_mask, takes)])
    result["audio"] = train_decoder.answers(model, batches, examples)
    scenes, pixels, positions = train_vision.batch(source.random, (384, 384), 32, 3)
    soft = model.model.vision_tower(pixels, positions.expand(len(pixels), -1, -1)).last_hidden_state.view(32, -1, model.config.vision_config.hidden_size)
    result["image"] = train_decoder.answers(model, batches, source.descriptions(list(zip(soft, scenes))))
    return {kind: (round(loss.item(), 4), round(exact, 3)) for kind, (loss, exact) in result.items()}


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    out = Path(options.out)
    ids = vocabulary.write(out, shape.VOCABULARY_SIZE)
    batches = conversation.Batches(out / "tokenizer.json")

    model = train_decoder.initialised(ids)
    modules = nn.ModuleDict({
        "model": model,
        "audio_head": train_audio.WordHead(model.config.audio_config.output_proj_dims),
        "vision_head": train_vision.CellHead(model.config.vision_config.hidden_size),
    })
    modules.load_state_dict(torch.load(Path(options.state) / "decoder.pt", weights_only=True)["modules"])
    model.eval()
    clips = sound.Clips(f"{options.data}/speech", "train", "natural")
    print("float32, no bounds: loss, exact answers", losses(model, modules, batches, clips))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    print("bfloat16, no bounds:                   ", losses(model, modules, batches, clips))
    measure(model, train_decoder.Source(modules, clips, seed=5))
    print("bfloat16, bounds:                      ", losses(model, modules, batches, clips))

    tensors = {key: value.bfloat16().contiguous() for key, value in model.state_dict().items() if key != "lm_head.weight"}
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    write_json(out / "config.json", shape.configuration(ids))
    write_json(out / "generation_config.json", generation_config(ids))
    write_json(out / "processor_config.json", processor_config())
    print(len(tensors), "tensors,", sum(value.numel() for value in tensors.values()), "values,", (out / "model.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
