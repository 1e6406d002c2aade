"""Writes media/video.json: which frames of a film the published processor looks at, and what transformers answers.

usage: make_video_goldens.py    (in the environment of run.sh)
"""
import json
from itertools import groupby
from pathlib import Path

import numpy
import torch
from transformers.video_utils import VideoMetadata

from tiny.reference import SMALLEST_MARGIN, Reference

HERE = Path(__file__).resolve().parent
TOKENS = 8


def film(frames, width, height):
    """Frames that the tests make too."""
    t, y, x, c = numpy.meshgrid(*map(numpy.arange, (frames, height, width, 3)), indexing="ij")
    return ((x * 7 + y * 13 + t * 31 + c * 57 + (x * y * (t + 1)) // 29) & 255).astype(numpy.uint8)


def choices(processor):
    """Frames and their labels for lengths and rates; soft tokens for sizes."""
    rows = []
    for frames, fps, (width, height) in [
        (1, 24, (64, 48)), (2, 25, (48, 64)), (31, 30, (97, 60)), (32, 24, (1, 90)), (33, 24, (300, 20)),
        (40, 29.97, (20, 15)), (100, 12.5, (128, 72)), (1750, 25, (9, 16)), (4000, 0.5, (16, 16)),
    ]:
        metadata = VideoMetadata(total_num_frames=frames, fps=fps, width=width, height=height)
        count = min(frames, processor.video_processor.num_frames)
        indices = [int(i) for i in processor.video_processor.sample_frames(metadata, num_frames=count)]
        metadata.frames_indices = indices
        tokens = processor.video_processor(
            [film(1, width, height)], do_sample_frames=False, return_tensors="pt")["num_soft_tokens_per_video"][0]
        text = processor.replace_video_token({"num_soft_tokens_per_video": [1], "video_metadata": [metadata]}, 0)
        rows.append({
            "frames": frames, "fps": fps, "width": width, "height": height, "indices": indices,
            "softTokens": int(tokens), "labels": [part[:-1] for part in text.split("<|image><|video|><image|>") if part],
        })
    return rows


@torch.no_grad()
def answer(name, frames, fps, width, height):
    reference = Reference(HERE / name / "checkpoint")
    for n in range(400):
        text = f"What happens, {n}?"
        messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}]
        prompt = reference.render(messages, False)
        inputs = reference.processor(
            text=[prompt], videos=[film(frames, width, height)], return_tensors="pt",
            video_metadata=[VideoMetadata(total_num_frames=frames, fps=fps)], num_frames=min(32, frames))
        count = inputs["input_ids"].shape[1]
        output = reference.model.generate(
            **inputs, do_sample=False, max_new_tokens=TOKENS, output_logits=True, return_dict_in_generate=True)
        tokens = output.sequences[0, count:].tolist()
        logits = torch.cat(output.logits).float()
        best = logits.topk(2).values
        plain = logits.argmax(-1).tolist() == tokens
        if plain and len(tokens) == TOKENS and len(set(tokens)) > TOKENS // 2 and (best[:, 0] - best[:, 1]).min() > SMALLEST_MARGIN:
            runs = [[key, len(list(group))] for key, group in groupby(inputs["input_ids"][0].tolist())]
            return {
                "variant": name, "frames": frames, "fps": fps, "width": width, "height": height, "text": text,
                "promptRuns": runs, "tokens": tokens,
            }
    raise SystemExit(f"{name}: no wording fits")


def main():
    processor = Reference(HERE / "E2B" / "checkpoint").processor
    answers = [answer(name, *case) for name in ("E2B", "26B-A4B") for case in [(5, 2, 60, 40), (40, 12.5, 20, 30)]]
    rows = ",\n ".join(json.dumps(row) for row in choices(processor))
    cases = ",\n ".join(json.dumps(row) for row in answers)
    (HERE / "media" / "video.json").write_text(f'{{"choices": [\n {rows}\n], "answers": [\n {cases}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
