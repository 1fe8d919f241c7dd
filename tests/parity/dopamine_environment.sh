#!/usr/bin/env bash
# Builds the reference environment with Dopamine 4.1.2, if it is not there yet, and runs Python in
# it: dopamine_environment.sh [script and arguments]. Takes 3 GB beside the repository, in
# $PRUNE_RL_DOPAMINE or ~/.cache/prune_rl/dopamine-4.1.2, and Python 3.11 ($PYTHON).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${PRUNE_RL_DOPAMINE:-${XDG_CACHE_HOME:-$HOME/.cache}/prune_rl/dopamine-4.1.2}
python=$target/bin/python
complete=$target/complete # holds the check sum of the pins that were installed
wanted=$(sha256sum "$here/dopamine_requirements.txt" | cut -d ' ' -f 1)

if [ "$(cat "$complete" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$python" ] || "${PYTHON:-python3.11}" -m venv "$target"
  "$python" -m pip install -q --no-deps --no-compile -r "$here/dopamine_requirements.txt"
  # Dopamine imports OpenAI's baselines, for PPO's wrappers only, and does not declare it.
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir -p "$site/baselines/common"
  touch "$site/baselines/__init__.py" "$site/baselines/common/__init__.py"
  touch "$site/baselines/common/atari_wrappers.py"
  CUDA_VISIBLE_DEVICES='' TF_CPP_MIN_LOG_LEVEL=3 "$python" -c '
import dopamine.discrete_domains.run_experiment
import dopamine.labs.atari_100k.atari_100k_rainbow_agent'
  echo "$wanted" >"$complete"
fi
[ $# -eq 0 ] || CUDA_VISIBLE_DEVICES='' JAX_PLATFORMS=cpu TF_CPP_MIN_LOG_LEVEL=3 exec "$python" "$@"
