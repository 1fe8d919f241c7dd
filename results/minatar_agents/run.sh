#!/usr/bin/env bash
# Learning curves of five agents on MinAtar Breakout, five seeds of 100,000 agent steps each.
# RUNS says where the runs are kept; arguments go to every training, as a pruning file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=${RUNS:-runs/minatar_agents}
out=${OUT:-$here}
draw=()
for agent in dqn rainbow full_rainbow drq_eps der; do
  experiment=minatar_breakout$([ $agent = dqn ] || echo _$agent)
  python -m prune_rl.train --base_dir="$runs/$agent" --gin_files=experiments/$experiment.gin \
    --gin_files=pruning/none.gin \
    --gin_bindings=Runner.num_seeds=5 --gin_bindings=Runner.num_iterations=10 "$@"
  draw+=(--run="$agent=$runs/$agent")
done
python -m prune_rl.reporting.curves "${draw[@]}" --out="$out/curves.png" --csv="$out/curves.csv"
