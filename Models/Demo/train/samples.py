"""Copies a handful of held-out recordings and pictures beside the model, with what transformers answers.

    python samples.py --held-out STATE/held-out --out ../samples

Run after `evaluate.py` over the whole set. `expected.json` lists for each file the task, prompt, what was said or drawn
("truth"), and transformers' text and tokens.
"""

import argparse
import json
import shutil
from pathlib import Path

# The first of each group, in this number; recordings of the human speaker have another licence and stay out.
COUNTS = {"clean espeak-ng": 3, "clean festival": 1, "10 dB espeak-ng": 1, "no speech": 1, "caption": 3, "count": 1, "colour": 1}
LONGEST = 5 * 16_000 * 2  # bytes of five seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    folder, out = Path(options.held_out), Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    items, left = [], dict(COUNTS)
    for item in json.loads((folder / "manifest.json").read_text()):
        source = folder / item["file"]
        short = source.suffix == ".png" or source.stat().st_size < LONGEST
        if left.get(item["group"], 0) and short and (item["group"] != "clean espeak-ng" or len(item["expected"].split()) > 2):
            left[item["group"]] -= 1
            shutil.copy(source, out / item["file"])
            items.append({"file": item["file"], "task": item["task"], "prompt": item["prompt"], "truth": item["expected"], "text": item["text"], "tokens": item["transformers_tokens"]})
    (out / "expected.json").write_text(json.dumps(items, indent=1) + "\n")
    print(len(items), "samples in", out)


if __name__ == "__main__":
    main()
