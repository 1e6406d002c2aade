"""Our own program's answers on the held-out set, beside those that `evaluate.py` has written from transformers.

    python runtime.py --program ../../../.build/release/gemma4 --model .. --held-out STATE/held-out

Needs no torch. Prints each group's figure from both, and how many items agree token for token; ends with 1 if any differs.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from figures import figures

MOST_TOKENS = 48  # as in evaluate.py
FILES_AT_ONCE = 100


def answers(program: str, model: str, items: list[dict], folder: Path) -> None:
    """Adds "text" and "tokens" to items of one task and prompt, which the program answers in one call for many files."""
    command = "transcribe" if items[0]["task"] == "transcribe" else "caption"
    for start in range(0, len(items), FILES_AT_ONCE):
        some = items[start : start + FILES_AT_ONCE]
        call = [program, command, "--model", model, "--format", "json", "--max-tokens", str(MOST_TOKENS), "--instruction", some[0]["prompt"]]
        lines = subprocess.run([*call, *(str(folder / item["file"]) for item in some)], check=True, capture_output=True, text=True).stdout.splitlines()
        for item, line in zip(some, lines, strict=True):
            answer = json.loads(line)
            # A transcript has segments; clips as short as these have one.
            segments = answer.get("segments", [answer])
            item["text"], item["tokens"] = answer["text"], [token for segment in segments for token in segment["tokens"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--held-out", required=True)
    options = parser.parse_args()
    folder = Path(options.held_out)
    theirs = json.loads((folder / "manifest.json").read_text())
    ours = [dict(item) for item in theirs]
    by_prompt: dict[tuple[str, str], list[dict]] = {}
    for item in ours:
        by_prompt.setdefault((item["task"], item["prompt"]), []).append(item)
    for items in by_prompt.values():
        answers(options.program, options.model, items, folder)
    reference = figures(theirs)
    for group, figure in sorted(figures(ours).items()):
        print(f"{group:20} {figure:45} transformers: {reference[group]}")
    different = [item["file"] for item in ours if item["tokens"] != item["transformers_tokens"]]
    print(f"{len(ours) - len(different)} of {len(ours)} items token for token as transformers", *different[:5])
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
