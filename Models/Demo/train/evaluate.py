"""Transformers' own answers on the held-out set: figures, and the tokens for other runtimes to meet.

    python evaluate.py --model .. --held-out STATE/held-out [--every 4]

Weights bfloat16 as stored, arithmetic float32, greedy. Writes the generated ids (with the stop token) and the text of every
item into `manifest.json` beside the items. `--every N` takes each N-th item.
"""

import argparse
import json
from pathlib import Path

import soundfile
import torch
from PIL import Image
from transformers import AutoProcessor, Gemma4ForConditionalGeneration

from figures import figures

MOST_TOKENS = 48


def answer(model, processor, item: dict, folder: Path) -> tuple[list[int], str]:
    prompt = {"type": "text", "text": item["prompt"]}
    if item["task"] == "transcribe":
        samples, _ = soundfile.read(folder / item["file"], dtype="float32")
        content, media = [prompt, {"type": "audio"}], {"audio": [samples]}
    else:
        content, media = [{"type": "image"}, prompt], {"images": [Image.open(folder / item["file"])]}
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], return_tensors="pt", **media)
    with torch.no_grad():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=MOST_TOKENS)[0, inputs["input_ids"].shape[1] :]
    return ids.tolist(), processor.tokenizer.decode(ids, skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = Path(options.held_out)
    processor = AutoProcessor.from_pretrained(options.model)
    model = Gemma4ForConditionalGeneration.from_pretrained(options.model, dtype=torch.float32).eval()
    items = json.loads((folder / "manifest.json").read_text())
    chosen = items[:: options.every]
    for item in chosen:
        item["transformers_tokens"], item["text"] = answer(model, processor, item, folder)
    if options.every == 1:
        (folder / "manifest.json").write_text(json.dumps(items, indent=1) + "\n")
    for group, figure in sorted(figures(chosen).items()):
        print(f"{group:20} {figure}")


if __name__ == "__main__":
    main()
