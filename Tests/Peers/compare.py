"""Times a peer and our program on the same model, in turn, and prints the ratios.

    python compare.py --program gemma4 MODEL.gguf [--threads 2] [--rounds 3]      llama.cpp's Python binding
    python compare.py --program gemma4 MODEL.gguf --mmproj MMPROJ.gguf             its towers: a picture, 29.6 s of sound
    python compare.py --program gemma4 DIRECTORY --quant q4_k                      mistral.rs, which rounds weights at load too

Each round runs both, each in a process of its own; a process warms up and takes the median of three (towers: one).
Needs requirements.txt; mistral.rs `pip install mistralrs==0.9.5` beside it, and memory for the directory twice.
"""

import argparse
import ctypes
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time

FIGURES = ["prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds", "peak_resident_bytes"]
TOWER_FIGURES = ["image_seconds", "image_soft_tokens", "audio_seconds"]
SMALLER_IS_BETTER = {"load_seconds", "peak_resident_bytes", "image_seconds", "audio_seconds"}


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


def time_libmtmd(options: argparse.Namespace) -> dict[str, float]:
    """Figures of llama.cpp's towers in this process: a picture of noise of 1280 x 960, and 29.6 s of noise."""
    import llama_cpp
    from llama_cpp import mtmd_cpp as mtmd

    llm = llama_cpp.Llama(options.model, n_ctx=64, n_threads=options.threads, verbose=False)
    parameters = mtmd.mtmd_context_params_default()
    parameters.use_gpu, parameters.n_threads, parameters.print_timings = False, options.threads, False
    parameters.media_marker = b"<__media__>"
    parameters.image_min_tokens = parameters.image_max_tokens = options.image_tokens
    context = mtmd.mtmd_init_from_file(options.mmproj.encode(), llm.model, parameters)
    rng = random.Random(0)
    rgb = rng.randbytes(1280 * 960 * 3)
    picture = mtmd.mtmd_bitmap_init(1280, 960, (ctypes.c_uint8 * len(rgb)).from_buffer_copy(rgb))
    samples = [rng.uniform(-0.5, 0.5) for _ in range(int(29.6 * 16_000))]
    sound = mtmd.mtmd_bitmap_init_from_audio(len(samples), (ctypes.c_float * len(samples))(*samples))

    def encode(bitmap: object) -> tuple[float, int]:
        text = mtmd.mtmd_input_text()
        text.text, text.add_special, text.parse_special = parameters.media_marker, True, True
        text.text_len = len(text.text)
        chunks = mtmd.mtmd_input_chunks_init()
        mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), 1)
        seconds, tokens = 0.0, 0
        for index in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, index)
            if mtmd.mtmd_input_chunk_get_type(chunk) == 0:  # text
                continue
            start = time.perf_counter()
            if mtmd.mtmd_encode_chunk(context, chunk) != 0:
                raise RuntimeError("llama.cpp could not encode the media")
            seconds += time.perf_counter() - start
            tokens += mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        mtmd.mtmd_input_chunks_free(chunks)
        return seconds, tokens

    for bitmap in (picture, sound):
        encode(bitmap)
    return dict(zip(TOWER_FIGURES, (*encode(picture), encode(sound)[0])))


def our_towers(program: str, options: argparse.Namespace) -> dict[str, float]:
    call = [program, "bench", "--model", options.model, "--mmproj", options.mmproj, "--threads", str(options.threads), "--format", "json"]
    call += ["--image-tokens", str(options.image_tokens), "--prompt-tokens", "1", "--generated-tokens", "1", "--repeats", "1"]
    call += ["--tower-precision", options.tower_precision]
    result = json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    picture = result["images"][0]
    return dict(zip(TOWER_FIGURES, (picture["tower"]["seconds"], picture["soft_tokens"], result["audio"]["tower"]["seconds"])))


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
    parser.add_argument("--mmproj", help="time the towers in this file")
    parser.add_argument("--image-tokens", type=int, default=560, help="of the picture, at most")
    parser.add_argument("--tower-precision", default="fp32", help="ours")
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--generated-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.prompt_tokens, options.generated_tokens
    if options.peer:
        if options.mmproj:
            print(json.dumps(time_libmtmd(options)))
        elif options.quant:
            print(json.dumps(time_mistral_rs(options.model, options.quant, *sizes)))
        else:
            print(json.dumps(time_llama_cpp(options.model, options.threads, *sizes)))
        return
    here, there = [], []
    for _ in range(options.rounds):
        here.append((our_towers if options.mmproj else ours)(options.program, options))
        call = [sys.executable, *sys.argv, "--peer"]
        output = subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        there.append(json.loads(output.splitlines()[-1]))  # mistral.rs writes its progress before
    print(f"{options.model}, {options.threads} threads, {options.rounds} rounds: smallest to largest\n")
    print(f"| | here | {'mistral.rs' if options.quant else 'llama.cpp'} | ratio of medians |\n|---|---|---|---|")
    for name in TOWER_FIGURES if options.mmproj else FIGURES:
        a, b = [round_[name] for round_ in here], [round_[name] for round_ in there]
        ratio = statistics.median(a) / statistics.median(b)
        if name in SMALLER_IS_BETTER:
            ratio = 1 / ratio
        verdict = "" if name == "image_soft_tokens" else f"{ratio:.2f} × better"
        print(f"| {name} | {min(a):.4g} – {max(a):.4g} | {min(b):.4g} – {max(b):.4g} | {verdict} |")
    if options.mmproj:
        return
    share = statistics.median(r["read_gigabytes_per_second"] / r["machine_read_gigabytes_per_second"] for r in here)
    print(f"\nwriting reads weights at {share:.0%} of what a plain read of memory reaches")


if __name__ == "__main__":
    main()
