#!/bin/sh
# Trains a run to its end, and starts it again when it was ended by SIGTERM, a lost worker, a crash or a full disk.
#
#     scripts/train_until_done.sh RUN_DIR [options of cyclegan train]
#     scripts/train_until_done.sh runs/photos-1 --dataset photos
#
# It gives up after Ctrl-C, after an error in the options, and after three starts in a row that saved nothing new.
set -u

if [ $# -lt 1 ]; then
    sed -n '2,7s/^# *//p' "$0" >&2
    exit 2
fi
run=$1
shift
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

newest() { ls "$run/checkpoints" 2>/dev/null | tail -n 1; }

failures=0
while :; do
    before=$(newest)
    "$python" -m cyclegan train --run-dir "$run" "$@" &
    process=$!
    # The shell gets the signal too, and passes on what reaches it alone. After SIGTERM the machine may go down.
    trap 'kill -TERM $process 2>/dev/null; stopped=1' TERM HUP
    trap 'kill -INT $process 2>/dev/null; stopped=1' INT
    stopped=0
    wait "$process"
    status=$?
    if [ "$stopped" -eq 1 ]; then
        wait "$process"
        exit $?
    fi
    case $status in
    0 | 2 | 130) exit "$status" ;;
    esac
    failures=$((failures + 1))
    [ "$(newest)" = "$before" ] || failures=0
    if [ "$failures" -ge 3 ]; then
        echo "Three starts in a row saved nothing new, so this gives up." >&2
        exit "$status"
    fi
    echo "The training ended with code $status, and is started again." >&2
    sleep "${PAUSE:-10}"
done
