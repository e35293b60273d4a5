#!/bin/sh
# Translates every image in a folder. Images that have been translated before are skipped: run it again to continue.
#
#     scripts/translate_folder.sh RUN INPUT [OUTPUT] [ab|ba]
#     scripts/translate_folder.sh runs/stripes-1 photos
#
# This script is a template: copy it and change it.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,5s/^# *//p' "$0" >&2
    exit 2
fi
direction=${4:-ab}
output=${3:-${2%/}-$direction}

# The environment that `make install` has made, or else the python3 that is active.
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

exec "$python" -m cyclegan translate "$2" "$output" --model "$1" --direction "$direction"
