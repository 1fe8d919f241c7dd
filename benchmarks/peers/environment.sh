#!/usr/bin/env bash
# Builds the Python environment of a peer, if it is not there yet: environment.sh torch|rejax|sbx.
# In ~/.cache/prune_rl/peer-NAME, of the pins in NAME_requirements.txt beside this file (torch takes
# 1 GB, rejax 0.9 GB, sbx 2 GB); Python 3.11 ($PYTHON). Dopamine's is tests/parity/dopamine_environment.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=$here/${1:?name a peer: torch, rejax or sbx}_requirements.txt
if [ ! -f "$requirements" ]; then
  echo "environment.sh: no peer $1; choose torch, rejax or sbx" >&2
  exit 2
fi
target=${XDG_CACHE_HOME:-$HOME/.cache}/prune_rl/peer-$1
complete=$target/complete # holds the check sum of the pins that were installed
wanted=$(sha256sum "$requirements" | cut -d ' ' -f 1)

if [ "$(cat "$complete" 2>/dev/null)" != "$wanted" ]; then
  [ -x "$target/bin/python" ] || "${PYTHON:-python3.11}" -m venv "$target"
  "$target/bin/python" -m pip install -q --retries 1 --no-deps -r "$requirements"
  echo "$wanted" >"$complete"
fi
