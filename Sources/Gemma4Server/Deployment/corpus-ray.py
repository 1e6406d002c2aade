"""A corpus on a Ray cluster, a task a shard; all nodes see this folder, and have gemma4 on the PATH.

    python corpus-ray.py --shards 64 --cpus 4 -- transcribe --model E2B-q4_0.gguf --manifest list.jsonl -o results

A shard whose node fails begins again elsewhere and does what is left. Prints the counts of all; ends with the first failure's code.
"""

import argparse
import collections
import json
import os
import subprocess
import sys

import ray


@ray.remote(max_retries=3)
def run(index: int, shards: int, cpus: int, arguments: list[str], folder: str) -> tuple[int, str, str]:
    call = ["gemma4", *arguments, "--shard", f"{index}/{shards}", "--resume", "--threads", str(cpus)]
    result = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--cpus", type=int, default=4, help="threads of a shard")
    parser.add_argument("arguments", nargs="+", help="what gemma4 is to do")
    options = parser.parse_args()
    ray.init(log_to_driver=False)
    task = run.options(num_cpus=options.cpus)
    waiting = [
        task.remote(index + 1, options.shards, options.cpus, options.arguments, os.getcwd()) for index in range(options.shards)
    ]
    sums, status = collections.Counter(), 0
    while waiting:
        ready, waiting = ray.wait(waiting)
        code, counts, messages = ray.get(ready[0])
        sys.stderr.write(messages)
        status = status or code
        if counts:
            sums.update({name: value for name, value in json.loads(counts).items() if name != "shard"})
    print(json.dumps(dict(sums)))
    return status


if __name__ == "__main__":
    sys.exit(main())
