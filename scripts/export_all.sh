#!/bin/sh
# Exports one generator to every format. What is already there is skipped.
#
#     scripts/export_all.sh RUN OUTPUT [ab|ba]
#     scripts/export_all.sh runs/stripes-1 exports
#
# Copy it and change it.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,5s/^# *//p' "$0" >&2
    exit 2
fi
direction=${3:-ab}
mkdir -p "$2"
# The environment that `make install` has made, or the one that is active.
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

for export in keras:.keras savedmodel:_savedmodel litert:.tflite onnx:.onnx pytorch:.pth; do
    file=$2/generator_$direction${export#*:}
    [ -e "$file" ] || "$python" -m cyclegan export --model "$1" --direction "$direction" \
        --format "${export%%:*}" --output "$file" || status=$?
done
exit "${status:-0}"
