"""Writes the tiny checkpoints and what transformers answers on them. See README.md; run it by run.sh.

usage: make_goldens.py [VARIANT…]
"""
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import Gemma4TextRotaryEmbedding

from tiny import attachments, checkpoint, conversations, variants
from tiny.reference import Reference

HERE = Path(__file__).resolve().parent
ROPE_POSITIONS = [0, 1, 7, 1000, 131071]


def make_variant(name):
    folder = HERE / name
    checkpoint_folder, messages_folder = folder / "checkpoint", folder / "messages"
    messages_folder.mkdir(exist_ok=True)
    checkpoint.write(name, checkpoint_folder)
    reference = Reference(name, checkpoint_folder)
    write_other_spelling(reference, checkpoint_folder)

    answers, tensors = [], {}
    for case in conversations.cases(name):
        messages, inputs, answer = reference.run(case, messages_folder)
        checkpoint.write_json(messages_folder / f"{case.name}.json", messages)
        if name in variants.IS_UNIFIED and case.name in ("image", "images"):
            reference.check_masks(inputs, answer)
        if case.traced:
            trace = reference.trace(inputs)
            check_trace(trace, answer)
            tensors |= {f"{case.name}.{key}": value for key, value in trace.items()}
        answers.append(answer | {"traced": case.traced})
        print(f"{name} {case.name}: {len(answer['prompt_tokens'])} + {len(answer['tokens'])} tokens, "
              f"smallest margin {min(answer['margins']):.3f}, {answer['finish_reason']}", flush=True)
    tensors |= reference.soft_tokens(HERE / "attachments")
    save_file(tensors, folder / "expected.safetensors")
    checkpoint.write_json(folder / "expected.json", {"cases": answers})


def write_other_spelling(reference, folder):
    """`config.transformers.json`: the configuration as transformers saves it, checked to mean the same."""
    with tempfile.TemporaryDirectory() as temporary:
        reference.model.config.save_pretrained(temporary)
        text = (Path(temporary) / "config.json").read_text(encoding="utf-8")
        again = type(reference.model.config).from_pretrained(temporary)
    values = json.loads(text)
    checkpoint.write_json(folder / "config.transformers.json", values)
    mine = reference.model.config.text_config
    for layer in range(mine.num_hidden_layers):
        for key in ("head_dim", "num_key_value_heads"):
            assert getattr(mine.per_layer_config[layer], key) == getattr(again.text_config.per_layer_config[layer], key)


def check_trace(trace, answer):
    last = torch.log_softmax(trace["logits"][-1].double(), -1)[answer["tokens"][0]]
    assert abs(float(last) - answer["logprobs"][0]) < 1e-3
    assert all(torch.isfinite(value).all() for value in trace.values())


def make_components():
    """Values that depend on no checkpoint: attachments as numbers, rotary tables at the published head sizes."""
    tensors = {}
    for name in attachments.PICTURES:
        if name != "poster":
            tensors[f"{name}.pixels"] = torch.from_numpy(attachments.picture(name)).float()
    for name in attachments.RECORDINGS:
        tensors[f"{name}.samples"] = torch.from_numpy(attachments.samples(name)).float() / 32_768
    config = Gemma4TextConfig(num_hidden_layers=6, head_dim=256, global_head_dim=512, hidden_size_per_layer_input=0)
    rotary = Gemma4TextRotaryEmbedding(config)
    for kind in ("sliding", "full"):
        cos, sin = rotary(torch.zeros(1), torch.tensor([ROPE_POSITIONS]), f"{kind}_attention")
        half = cos.shape[-1] // 2  # the second half repeats the first
        tensors |= {f"rope.{kind}.cos": cos[0, :, :half].contiguous(), f"rope.{kind}.sin": sin[0, :, :half].contiguous()}
        tensors[f"rope.{kind}.inverseFrequencies"] = getattr(rotary, f"{kind}_attention_inv_freq").clone()
    tensors["rope.positions"] = torch.tensor(ROPE_POSITIONS).float()
    save_file(tensors, HERE / "components.safetensors")


def main():
    torch.set_num_threads(1)  # sums in one order, on any machine
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    attachments.write(HERE / "attachments")
    make_components()
    for name in sys.argv[1:] or variants.NAMES:
        make_variant(name)
    packages = ("torch", "torchvision", "transformers", "tokenizers", "safetensors", "numpy", "pillow", "jinja2")
    checkpoint.write_json(HERE / "versions.json", {"python": platform.python_version()} | {p: version(p) for p in packages})


main()
