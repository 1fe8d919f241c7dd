#!/usr/bin/env bash
# Trains every cell of a grid on this machine, with nothing but bash, xargs and Python:
#   launch/scripts/train_grid.sh GRID.gin BASE_DIR [flags of prune_rl.train for every cell]
# Seed 0 of everything comes first. Ctrl-C lets trainings save; the same command goes on with them
# and finds that others have finished. Exit code 0: all have, 1: some have not.
# WORKERS=N: trainings at once (one a core); PYTHON: the interpreter (python).
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2; }
export GRID=$1 BASE_DIR=$2 PYTHON=${PYTHON:-python} WORKERS=${WORKERS:-$(nproc)}
shift 2

train() { # cell, flags: on its share of the cores, so that XLA starts no more threads than that
  local run=$BASE_DIR/$1 share=$(($(nproc) / WORKERS)) code=0 pinned=()
  [ "$share" -ge 1 ] || share=1
  pinned=(taskset -c "$((SLOT * share))-$(((SLOT + 1) * share - 1))")
  "${pinned[@]}" true 2>/dev/null || pinned=() # no such program, or no such cores
  mkdir -p "${run%/*}"
  "${pinned[@]}" "$PYTHON" -m prune_rl.train --base_dir="$run" --gin_files="$GRID" \
    --cell="$1" "${@:2}" >>"$run.log" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then
    echo "$1: finished"
  else
    echo "$1: exit code $code: $(tail -n 1 "$run.log") ($run.log)"
  fi
  return "$code"
}
export -f train

cells=$("$PYTHON" -m prune_rl.train --gin_files="$GRID" --list | cut -f 1)
awk -F / '{print $NF "\t" $0}' <<<"$cells" | sort -s -n -k 1,1 | cut -f 2 |
  xargs -d '\n' -P "$WORKERS" --process-slot-var=SLOT -I @CELL@ bash -c 'train "$@"' _ @CELL@ "$@" || exit 1
