#!/usr/bin/env bash
# Trains one game and seed, for a scheduler's own scripts or a loop of yours:
#   launch/scripts/train_game.sh GAME SEED BASE_DIR FLAGS…
# in BASE_DIR/GAME/SEED, with the flags of prune_rl.train that say what learns, as
#   launch/scripts/train_game.sh Pong 0 runs/pruned --gin_files=agents/dqn.gin \
#     --gin_files=networks/impala.gin --gin_files=pruning/magnitude.gin
# Games of Atari are written as in Pong, those of MinAtar as in space_invaders. The exit code is
# the training's: 75 says that it was asked to stop, has saved, and goes on by the same command.
set -euo pipefail
[ $# -ge 4 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2; }
game=$1 seed=$2 run=$3/$1/$2
case $game in
  [A-Z]*) environment=atari ;;
  *) environment=minatar ;;
esac
exec "${PYTHON:-python}" -m prune_rl.train --base_dir="$run" "${@:4}" \
  --gin_bindings="Runner.create_environment_fn=@create_${environment}_environment" \
  --gin_bindings="create_${environment}_environment.game_name=\"$game\"" \
  --gin_bindings="Runner.seed=$seed"
