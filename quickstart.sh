#!/usr/bin/env bash
# Sets up a fresh machine, trains dense and 95 % pruned DQN on MinAtar Breakout, three seeds
# each, and draws both curves into runs/quickstart/compare.png. Arguments go to both trainings.
set -euo pipefail
cd "$(dirname "$0")"
venv=${VENV:-.venv}
runs=${RUNS:-runs/quickstart}
echo "installing into $venv: minutes where nothing is there yet"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install -q -e '.[device]'

label() { # every line with a name before it, as soon as it is there (mawk and sed would hold it)
  while IFS= read -r line || [ -n "$line" ]; do printf '%s: %s\n' "$1" "$line"; done
}
train() { # name, gin file of the pruning
  "$venv/bin/python" -m prune_rl.train --base_dir="$runs/$1" \
    --gin_files=experiments/minatar_breakout.gin --gin_files="pruning/$2.gin" \
    --gin_bindings='Runner.num_seeds=3' --gin_bindings='Runner.create_source_fn=@DeviceSource' \
    "${@:3}" 2> >(label "$1" >&2)
}
echo "training dense and 95 % pruned: about five minutes on two free cores, news every 30 seconds"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT # one that fails takes the other with it
train dense none "$@" &
train pruned magnitude "$@" &
wait %1
wait %2
"$venv/bin/python" -m prune_rl.reporting.curves --run="dense=$runs/dense" \
  --run="95 % pruned=$runs/pruned" --out="$runs/compare.png"
