#!/usr/bin/env bash
# The whole comparison with Dopamine 4.1.2: reference environment, record, tests, table.
# $VENV is the environment that run_tests.sh made, .venv if not said otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${VENV:-.venv}/bin/python
parts=()
if [ -z "${DOPAMINE_SOURCE:-}" ]; then
  echo "DOPAMINE_SOURCE is not set: what was recorded of the offline agents stays (README.md)"
  parts=(networks learning replay atari)
fi
bash tests/parity/dopamine_environment.sh tests/parity/record_dopamine.py "${parts[@]}"
"$python" -m pytest tests/parity -k dopamine
"$python" -m tests.parity.dopamine_deviations
