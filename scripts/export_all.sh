#!/bin/sh
# Exports one generator to every format. Exports that exist already are skipped.
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
# Use the environment that `make install` has made, or else the one that is active.
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

# Each line is a format and the end of the name: keras .keras, savedmodel _savedmodel, and so on.
list='from cyclegan.export.formats import FORMATS
for name, entry in FORMATS.items(): print(name, entry.suffix or f"_{name}")'
exports=$("$python" -c "$list")
while read -r format suffix; do
    file=$2/generator_$direction$suffix
    [ -e "$file" ] || "$python" -m cyclegan export --model "$1" --direction "$direction" \
        --format "$format" --output "$file" </dev/null || status=$?
done <<END
$exports
END
exit "${status:-0}"
