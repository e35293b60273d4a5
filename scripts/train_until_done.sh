#!/bin/sh
# Trains a run to its end, and starts it again when it was ended by a lost worker, a crash or a full disk.
#
#     scripts/train_until_done.sh RUN_DIR [options of cyclegan train]
#     scripts/train_until_done.sh runs/photos-1 --dataset photos
#
# Each start gets all options, so they must be such that a continued run takes too (not --init-from and not --fresh).
# Ctrl-C, SIGTERM and a closed terminal end the training, which saves, and this script. It gives up after an error in the
# options, and after three starts in a row that saved nothing new.
set -u

if [ $# -lt 1 ]; then
    sed -n '2,9s/^# *//p' "$0" >&2
    exit 2
fi
run=$1
shift
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
command -v "$python" >/dev/null || python=python3

# A signal for all processes of the terminal or of the job must reach the training once, so it gets a session of its own.
start='import os, sys; os.setsid(); os.execv(sys.executable, [sys.executable, "-m", "cyclegan", "train", *sys.argv[1:]])'
# The newest checkpoint; and, for a worker that has none of its own, the step at which the last start began.
progress() {
    ls "$run/checkpoints" 2>/dev/null | grep '\.npz$' | tail -n 1
    sed -n 's/.*: steps \([0-9]*\) to .*/\1/p' "$run"/log*.txt 2>/dev/null | tail -n 1
}
stop() {
    stopped=1
    [ -z "$process" ] || kill -TERM "$process" 2>/dev/null
}

failures=0 stopped=0 process=
trap stop INT TERM HUP
while :; do
    before=$(progress)
    "$python" -c "$start" --run-dir "$run" "$@" &
    process=$!
    [ "$stopped" -eq 0 ] || stop
    while :; do # a signal ends `wait` before the training has ended
        wait "$process"
        status=$?
        kill -0 "$process" 2>/dev/null || break
    done
    process=
    [ "$stopped" -eq 0 ] || exit "$status"
    case $status in
    0 | 2 | 130) exit "$status" ;;
    esac
    failures=$((failures + 1))
    [ "$(progress)" = "$before" ] || failures=0
    if [ "$failures" -ge 3 ]; then
        echo "Three starts in a row saved nothing new, so this gives up." >&2
        exit "$status"
    fi
    echo "The training ended with code $status, and is started again." >&2
    sleep "${PAUSE:-10}"
    [ "$stopped" -eq 0 ] || exit "$status"
done
