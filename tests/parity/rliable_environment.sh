#!/usr/bin/env bash
# Builds the reference environment with rliable 1.2.0, if it is not there yet, and runs Python in
# it: rliable_environment.sh [script and arguments]. Takes 0.5 GB beside the repository, in
# $PRUNE_RL_RLIABLE or ~/.cache/prune_rl/rliable-1.2.0, and Python 3.11 ($PYTHON).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${PRUNE_RL_RLIABLE:-${XDG_CACHE_HOME:-$HOME/.cache}/prune_rl/rliable-1.2.0}
python=$target/bin/python
complete=$target/complete # holds the check sum of the pins that were installed
wanted=$(sha256sum "$here/rliable_requirements.txt" | cut -d ' ' -f 1)

if [ "$(cat "$complete" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$python" ] || "${PYTHON:-python3.11}" -m venv "$target"
  "$python" -m pip install -q --no-deps -r "$here/rliable_requirements.txt"
  "$python" -c 'import rliable.library, rliable.metrics'
  echo "$wanted" >"$complete"
fi
[ $# -eq 0 ] || exec "$python" "$@"
