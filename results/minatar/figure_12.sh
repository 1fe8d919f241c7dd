#!/usr/bin/env bash
# The paper's figure 12 on MinAtar Breakout: pruning against Reset, ReDo, weight decay and L2.
source "$(dirname "$0")/arms.sh"
final=()
curves=()
for width in 1 4; do
  for arm in dense "pruned 95" reset redo weight_decay l2; do
    $arm $width
    directory=$runs/${arm/ /_}_x$width
    final+=(--run="$arm@$width=$directory")
    if [ $width = 4 ]; then curves+=(--run="$arm ×4=$directory"); fi
  done
done
finish
python -m prune_rl.reporting.final --setting=width "${final[@]}" \
  --out="$out/figure_12.png" --csv="$out/figure_12.csv"
python -m prune_rl.reporting.curves "${curves[@]}" \
  --out="$out/figure_12_curves.png" --csv="$out/figure_12_curves.csv"
