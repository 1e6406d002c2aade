"""Times a peer and our program on the same model, in turn, and prints the ratios.

    python compare.py --program gemma4 MODEL.gguf [--threads 2] [--rounds 3]      llama.cpp's Python binding
    python compare.py --program gemma4 DIRECTORY --quant q4_k                      mistral.rs, which rounds weights at load too

Each round runs both, each in a process of its own; a process warms up and takes the median of three. Needs requirements.txt;
mistral.rs `pip install mistralrs==0.9.5` beside it, and memory for the directory twice.
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


def peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def time_mistral_rs(model: str, quant: str, prompt: int, generated: int) -> dict[str, float]:
    """Figures of mistral.rs in this process, as it reports them itself; it uses all cores."""
    from mistralrs import ChatCompletionRequest, MultimodalArchitecture, Runner, Which

    start = time.perf_counter()
    which = Which.MultimodalPlain(model_id=os.path.abspath(model), arch=MultimodalArchitecture.Gemma4)
    runner = Runner(which=which, in_situ_quant=quant.upper().replace("_K", "K"), max_seqs=1, prefix_cache_n=0)
    load = time.perf_counter() - start
    rng = random.Random(0)
    usages = []
    for _ in range(4):
        # Another text each time: it could keep what it has read.
        text = " ".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(prompt))
        message = {"role": "user", "content": text}
        request = ChatCompletionRequest(
            model="default", messages=[message], max_tokens=generated + 1, temperature=0.0, ignore_eos=True
        )
        usages.append(runner.send_chat_completion_request(request).usage)
    reading, writing = ([getattr(u, name) for u in usages[1:]] for name in ("avg_prompt_tok_per_sec", "avg_compl_tok_per_sec"))
    return dict(zip(FIGURES, (statistics.median(reading), statistics.median(writing), load, peak_resident_bytes())))


def time_llama_cpp(model: str, threads: int, prompt: int, generated: int) -> dict[str, float]:
    """Figures of llama.cpp in this process."""
    import llama_cpp

    start = time.perf_counter()
    llm = llama_cpp.Llama(
        model, n_ctx=prompt + generated + 8, n_batch=prompt, n_ubatch=prompt, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    load = time.perf_counter() - start
    rng = random.Random(0)
    end = min(200_000, llm.n_vocab())
    tokens = [rng.randrange(min(1000, end // 2), end) for _ in range(prompt)]
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
    rates = prompt / statistics.median(reading[1:]), generated / statistics.median(writing[1:])
    return dict(zip(FIGURES, (*rates, load, peak_resident_bytes())))


def ours(program: str, options: argparse.Namespace) -> dict[str, float]:
    sizes = ["--prompt-tokens", str(options.prompt_tokens), "--generated-tokens", str(options.generated_tokens)]
    call = [program, "bench", "--model", options.model, "--threads", str(options.threads), "--format", "json", "--image-tokens", "70", *sizes]
    if options.quant:
        call += ["--quant", options.quant]
    return json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .gguf file, or a directory as published")
    parser.add_argument("--quant", help="type to round the weights of a directory to")
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--generated-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.prompt_tokens, options.generated_tokens
    if options.peer:
        if options.quant:
            print(json.dumps(time_mistral_rs(options.model, options.quant, *sizes)))
        else:
            print(json.dumps(time_llama_cpp(options.model, options.threads, *sizes)))
        return
    here, there = [], []
    for _ in range(options.rounds):
        here.append(ours(options.program, options))
        call = [sys.executable, *sys.argv, "--peer"]
        output = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        there.append(json.loads(output.splitlines()[-1]))  # mistral.rs writes its progress before
    print(f"{options.model}, {options.threads} threads, {options.rounds} rounds: smallest to largest\n")
    print(f"| | here | {'mistral.rs' if options.quant else 'llama.cpp'} | ratio of medians |\n|---|---|---|---|")
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
