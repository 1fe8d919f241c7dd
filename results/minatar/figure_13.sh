#!/usr/bin/env bash
# The paper's figure 13 on MinAtar Breakout: gradient covariance of dense and 95 % pruned networks.
source "$(dirname "$0")/arms.sh"
dense_against_pruned
finish
python -m prune_rl.reporting.heatmaps "${draw[@]}" \
  --out="$out/figure_13.png" --csv="$out/figure_13.csv"
