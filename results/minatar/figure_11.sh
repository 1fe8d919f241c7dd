#!/usr/bin/env bash
# The paper's figure 11 on MinAtar Breakout: diagnostics of dense and 95 % pruned networks.
source "$(dirname "$0")/arms.sh"
dense_against_pruned
finish
python -m prune_rl.reporting.diagnostics "${draw[@]}" \
  --out="$out/figure_11.png" --csv="$out/figure_11.csv"
