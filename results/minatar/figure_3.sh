#!/usr/bin/env bash
# The paper's figure 3 on MinAtar Breakout: final return against sparsity, widths 1 and 4.
source "$(dirname "$0")/arms.sh"
draw=()
for width in 1 4; do
  dense $width
  draw+=(--run="width $width@0=$runs/dense_x$width")
  for percent in 50 75 90 95 99; do
    pruned $percent $width
    draw+=(--run="width $width@$percent=$runs/pruned_${percent}_x$width")
  done
done
finish
python -m prune_rl.reporting.final --setting='sparsity in percent' "${draw[@]}" \
  --out="$out/figure_3.png" --csv="$out/figure_3.csv"
