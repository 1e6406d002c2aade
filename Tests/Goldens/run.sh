#!/bin/sh
# Makes the goldens anew with the pinned Python packages.
# usage: run.sh [VARIANT…]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/venv.sh")
OMP_NUM_THREADS=1 exec "$python" "$here/make_goldens.py" "$@"
