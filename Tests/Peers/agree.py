"""Compares what llama.cpp and our program make of the same GGUF file: log-probabilities and greedy answers.

    python agree.py --program gemma4 MODEL.gguf [--threads 2]

Log-probabilities are of random tokens, each given all before it. Answers are compared until their first difference; there
the margin says how far apart llama.cpp found its two likeliest tokens, in log-probability: where it is within the
differences of the first table, either token may win. Needs requirements.txt.
"""

import argparse
import json
import os
import random
import subprocess

import llama_cpp
import numpy as np

WORDS = "a the picture of two red circles what do you see hear say please describe how many are there in words today".split()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def score(program: list[str], tokens: list[int]) -> np.ndarray:
    ids = ",".join(map(str, tokens))
    return np.array(json.loads(run(program, "score", "--tokens", ids))["logprobs"][1:], dtype=np.float64)


def run(program: list[str], command: str, *arguments: str) -> str:
    call = [program[0], command, *program[1:], "--format", "json", *arguments]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def greedy(llm: llama_cpp.Llama, prompt: list[int], count: int) -> list[tuple[int, float]]:
    """The likeliest `count` tokens, one after the other, each with its margin."""
    llm.reset()
    llm.eval(prompt)
    result = []
    for _ in range(count):
        first, second = np.argsort(-llm.scores[llm.n_tokens - 1], kind="stable")[:2]
        logprobs = log_softmax(llm.scores[llm.n_tokens - 1])
        result.append((int(first), float(logprobs[first] - logprobs[second])))
        llm.eval([int(first)])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default=".build/release/gemma4")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--texts", type=int, default=3)
    parser.add_argument("--answers", type=int, default=20)
    options = parser.parse_args()
    program = [options.program, "--model", options.model, "--threads", str(options.threads)]
    llm = llama_cpp.Llama(options.model, n_ctx=1024, n_threads=options.threads, logits_all=True, verbose=False)
    rng = random.Random(0)

    print("| log-probabilities of 39 tokens | standard deviation | largest difference | root mean square |\n|---|---|---|---|")
    for number in range(options.texts):
        tokens = [llm.token_bos(), *(rng.randrange(300, llm.n_vocab()) for _ in range(39))]
        llm.reset()
        llm.eval(tokens)
        theirs = np.array([log_softmax(llm.scores[i])[tokens[i + 1]] for i in range(39)])
        difference = score(program, tokens) - theirs
        root = np.sqrt(np.mean(difference**2))
        print(f"| text {number + 1} | {theirs.std():.3f} | {abs(difference).max():.4f} | {root:.4f} |", flush=True)

    same, margins = 0, []
    for _ in range(options.answers):
        prompt = " ".join(rng.choices(WORDS, k=6))
        ours = json.loads(run(program, "generate", "--temperature", "0", "--max-tokens", "32", prompt))
        theirs = greedy(llm, ours["prompt_tokens"], len(ours["tokens"]))
        different = [margin for token, (other, margin) in zip(ours["tokens"], theirs) if token != other]
        same += not different
        margins += different[:1]
    print(f"\n{same} of {options.answers} greedy answers are the same", end="")
    print(f"; margins where others part: {', '.join(f'{margin:.3f}' for margin in margins)}" if margins else "")


if __name__ == "__main__":
    main()
