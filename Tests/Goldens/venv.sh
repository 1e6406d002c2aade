#!/bin/sh
# Installs the pinned Python packages into .build-goldens/venv unless they are there, and prints its interpreter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "$here/../.." && pwd)/.build-goldens/venv

if [ ! -e "$venv/installed" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --no-deps --extra-index-url https://download.pytorch.org/whl/cpu -r "$here/requirements.txt"
    # torchvision registers fake kernels for operators that it lacks beside the CPU build of torch, and fails on import.
    : > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision/_meta_registrations.py"
    touch "$venv/installed"
fi
echo "$venv/bin/python"
