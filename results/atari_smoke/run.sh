#!/usr/bin/env bash
# Every agent on five Atari games for 200 gradient steps, pruned to 95 %: does it run, does it prune?
# RUNS says where the runs are kept. summary.csv has one line per run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=${RUNS:-runs/atari_smoke}
for agent in dqn rainbow full_rainbow drq_eps der; do
  class=$([ $agent = dqn ] && echo DQNAgent || echo RainbowAgent)
  steps=$([[ $agent = d[re]* ]] && echo 300 || echo 600) # an update a step, or one in four
  for game in Pong Breakout Qbert Seaquest MsPacman; do
    python -m prune_rl.train --base_dir="$runs/${agent}_$game" \
      --gin_files=agents/$agent.gin --gin_files=pruning/magnitude.gin \
      --gin_bindings="create_atari_environment.game_name='$game'" \
      --gin_bindings=$class.min_replay_history=400 --gin_bindings=ReplayBuffer.max_capacity=10_000 \
      --gin_bindings=Runner.num_iterations=2 --gin_bindings=Runner.training_steps=$steps \
      --gin_bindings=Runner.evaluation_steps=300 --gin_bindings=Runner.num_eval_episodes=0 "$@"
  done
done
python "$here/summary.py" "$runs" > "$here/summary.csv"
