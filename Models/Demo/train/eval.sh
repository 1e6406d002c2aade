#!/usr/bin/env bash
# make demo-eval: makes the held-out set anew, asks transformers and our own program about it, prints both figures.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
work=$root/.build-demo
missing=$(for p in espeak-ng festival festvox-kdlpc16k asterisk-core-sounds-en-wav; do dpkg -s $p > /dev/null 2>&1 || echo $p; done)
[ -z "$missing" ] || { echo "needs: apt-get install $missing"; exit 1; }
python=$("$root/Tests/Goldens/venv.sh")
"$python" -m pip install --quiet --no-deps -r requirements.txt
"$python" speech.py --out "$work/data/speech" --split test --shards 1
"$python" held_out.py --data "$work/data" --out "$work/held-out"
"$python" evaluate.py --model .. --held-out "$work/held-out" --threads "$(nproc)"
"$python" runtime.py --program "$root/.build/release/gemma4" --model .. --held-out "$work/held-out"
