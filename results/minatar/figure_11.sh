#!/usr/bin/env bash
# The paper's figure 11 on MinAtar Breakout: diagnostics of dense and 95 % pruned networks.
source "$(dirname "$0")/arms.sh"
draw=()
for width in 1 4; do
  dense $width
  pruned 95 $width
  draw+=(--run="dense ×$width=$runs/dense_x$width" --run="95 % ×$width=$runs/pruned_95_x$width")
done
finish
python -m prune_rl.reporting.diagnostics "${draw[@]}" \
  --out="$out/figure_11.png" --csv="$out/figure_11.csv"
