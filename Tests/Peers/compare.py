"""Times llama.cpp's Python binding and our program on the same file, in turn, and prints the ratios.

    python compare.py --program gemma4 MODEL.gguf [--threads 2] [--rounds 3]

Each round runs both, each in a process of its own; a process warms up and takes the median of three. Needs requirements.txt.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time

FIGURES = ["prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds", "peak_resident_bytes"]
SMALLER_IS_BETTER = {"load_seconds", "peak_resident_bytes"}


def peer(model: str, threads: int, prompt: int, generated: int) -> dict[str, float]:
    """Figures of llama.cpp in this process."""
    import llama_cpp

    start = time.perf_counter()
    llm = llama_cpp.Llama(
        model, n_ctx=prompt + generated + 8, n_batch=prompt, n_ubatch=prompt, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    load = time.perf_counter() - start
    rng = random.Random(0)
    tokens = [rng.randrange(1000, 200_000) for _ in range(prompt)]
    reading, writing = [], []
    for _ in range(4):
        llm.reset()
        start = time.perf_counter()
        llm.eval(tokens)
        middle = time.perf_counter()
        for token in tokens[:generated]:
            llm.eval([token])
        reading.append(middle - start)
        writing.append(time.perf_counter() - middle)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return dict(zip(FIGURES, (prompt / statistics.median(reading[1:]), generated / statistics.median(writing[1:]), load, peak)))


def ours(program: str, options: argparse.Namespace) -> dict[str, float]:
    sizes = ["--prompt-tokens", str(options.prompt_tokens), "--generated-tokens", str(options.generated_tokens)]
    call = [program, "bench", "--model", options.model, "--threads", str(options.threads), "--format", "json", "--image-tokens", "70", *sizes]
    return json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--generated-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(peer(options.model, options.threads, options.prompt_tokens, options.generated_tokens)))
        return
    here, there = [], []
    for _ in range(options.rounds):
        here.append(ours(options.program, options))
        call = [sys.executable, *sys.argv, "--peer"]
        there.append(json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout))
    print(f"{options.model}, {options.threads} threads, {options.rounds} rounds: smallest to largest\n")
    print("| | here | llama.cpp | ratio of medians |\n|---|---|---|---|")
    for name in FIGURES:
        a, b = [round_[name] for round_ in here], [round_[name] for round_ in there]
        ratio = statistics.median(a) / statistics.median(b)
        if name in SMALLER_IS_BETTER:
            ratio = 1 / ratio
        print(f"| {name} | {min(a):.4g} – {max(a):.4g} | {min(b):.4g} – {max(b):.4g} | {ratio:.2f} × better |")
    share = statistics.median(r["read_gigabytes_per_second"] / r["machine_read_gigabytes_per_second"] for r in here)
    print(f"\nwriting reads weights at {share:.0%} of what a plain read of memory reaches")


if __name__ == "__main__":
    main()
