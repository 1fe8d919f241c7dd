#!/usr/bin/env bash
# Sets up a fresh machine and passes the tests. Arguments go to pytest.
# PRUNE_RL_TEST_CACHE=FOLDER keeps what the tests compile, for the next time.
set -euo pipefail
cd "$(dirname "$0")"
venv=${VENV:-.venv}
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install -q -e '.[test]'
"$venv/bin/python" -m pytest "$@"
