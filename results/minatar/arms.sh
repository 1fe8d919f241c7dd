# The trainings that the figures share, five seeds of 100,000 agent steps each. Sourced by them.
#
# An arm that is finished costs nothing, one that was interrupted goes on. Two train at a time.
# RUNS says where they are kept; arguments of the figure's command go to every training.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=${RUNS:-runs/minatar}
out=${OUT:-$here}
extra=("$@")

train() { # NAME WIDTH [flags]
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  python -m prune_rl.train --base_dir="$runs/$1_x$2" \
    --gin_files=experiments/minatar_breakout.gin --gin_files=diagnostics/all.gin \
    --gin_bindings=Runner.num_seeds=5 --gin_bindings=Runner.num_iterations=10 \
    --gin_bindings="MinAtarTorso.width=$2" "${@:3}" "${extra[@]}" &
}

dense() { train dense "$1"; }
pruned() { # PERCENT WIDTH
  train "pruned_$1" "$2" --gin_files=pruning/magnitude.gin \
    --gin_bindings="create_updater_from_config.sparsity=0.$1"
}
reset() {
  train reset "$1" --gin_files=plasticity/reset.gin \
    --gin_bindings=Reset.reset_period=0.25 --gin_bindings=Reset.reset_end_step=0.9
}
redo() { train redo "$1" --gin_files=plasticity/redo.gin; }
weight_decay() { train weight_decay "$1" --gin_files=plasticity/weight_decay.gin; }
l2() { train l2 "$1" --gin_files=plasticity/l2.gin; }

dense_against_pruned() { # trains both at both widths; says in `draw` what to draw
  draw=()
  for width in 1 4; do
    dense $width
    pruned 95 $width
    draw+=(--run="dense ×$width=$runs/dense_x$width" --run="95 % ×$width=$runs/pruned_95_x$width")
  done
}

finish() { # waits for every training; one that failed fails the figure
  for job in $(jobs -p); do wait "$job"; done
}
