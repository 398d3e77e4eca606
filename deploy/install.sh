#!/usr/bin/env bash
# Make a virtual environment and install Earthflow into it, from locks and nothing else.
# Usage: install.sh FOLDER [LOCK …]; without locks: what development needs, and Earthflow as it stands in the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?name the folder of the virtual environment}
shift
locks=("${@:-requirements-dev.txt}")
earthflow=(.)
(($#)) || earthflow=(--editable .)
lowest=3.12

# Python 3.13.0 to 3.13.2 do not run the event loop that the proxy uses.
usable() { "$1" -c 'import sys, venv, ensurepip; v = sys.version_info; sys.exit(v < (3, 12) or (3, 13) <= v < (3, 13, 3))' 2>/dev/null; }

make_environment() {
  for python in ${PYTHON:-python3.12 python3 python3.13 python3.14}; do
    if usable "$python"; then
      "$python" -m venv "$folder"
      return
    fi
  done
  if command -v uv >/dev/null && uv venv --quiet --seed --python ">=$lowest" "$folder" 2>/dev/null; then return; fi
  cat >&2 <<TEXT
Earthflow needs Python $lowest or newer (not 3.13.0 to 3.13.2); here is $(python3 --version 2>&1 || echo 'no python3 at all').
Install one of these, then run the same command again:
    Debian 13, Ubuntu 24.04:  apt install python3 python3-venv
    anywhere:                 uv   (then: uv python install $lowest)
    or name one:              PYTHON=/path/to/python$lowest make demo
TEXT
  exit 78
}

echo "Installing into $folder (a minute the first time) …"
rm -rf "$folder"
make_environment
pip=("$folder/bin/python" -m pip --quiet --disable-pip-version-check)
for lock in "${locks[@]}"; do "${pip[@]}" install --require-hashes -r "$lock"; done
"${pip[@]}" install --no-deps --no-build-isolation "${earthflow[@]}"
