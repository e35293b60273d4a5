#!/bin/sh
# Trains with several processes on this machine, to try distributed training without a second machine.
#
#     scripts/train_workers.sh NUMBER [options of cyclegan train]
#     scripts/train_workers.sh 2 --config smoke --dataset stripes --run-dir runs/two
#
# The output of worker 0 is shown, and that of the others is in worker-N.log. Ctrl-C stops all of them.
set -eu

case ${1-} in
'' | *[!0-9]* | 0*) number= ;;
*) number=$1 ;;
esac
if [ -z "$number" ]; then
    sed -n '2,7s/^# *//p' "$0" >&2
    exit 2
fi
shift
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

port=${PORT:-2222}
workers=127.0.0.1:$port
for rank in $(seq 1 $((number - 1))); do
    workers=$workers,127.0.0.1:$((port + rank))
done
others=
for rank in $(seq 1 $((number - 1))); do
    "$python" -m cyclegan train "$@" --workers "$workers" --worker-index "$rank" >"worker-$rank.log" 2>&1 &
    others="$others $!"
done
"$python" -m cyclegan train "$@" --workers "$workers" --worker-index 0 &
first=$!
# The shell gets the signal too, and must not end before the workers. A signal ends `wait` before they have ended.
trap 'kill -TERM $first $others 2>/dev/null || true' INT TERM HUP
status=0
for process in $first $others; do
    while :; do
        code=0
        wait "$process" || code=$?
        kill -0 "$process" 2>/dev/null || break
    done
    [ "$status" -ne 0 ] || status=$code
done
exit "$status"
