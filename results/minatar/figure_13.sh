#!/usr/bin/env bash
# The paper's figure 13 on MinAtar Breakout: gradient covariance of dense and 95 % pruned networks.
source "$(dirname "$0")/arms.sh"
draw=()
for width in 1 4; do
  dense $width
  pruned 95 $width
  draw+=(--run="dense ×$width=$runs/dense_x$width" --run="95 % ×$width=$runs/pruned_95_x$width")
done
finish
python -m prune_rl.reporting.heatmaps "${draw[@]}" \
  --out="$out/figure_13.png" --csv="$out/figure_13.csv"
