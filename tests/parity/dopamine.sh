#!/usr/bin/env bash
# The whole comparison with Dopamine 4.1.2: reference environment, record, tests, table.
# $VENV is the environment that run_tests.sh made, .venv if not said otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${VENV:-.venv}/bin/python
bash tests/parity/dopamine_environment.sh tests/parity/record_dopamine.py
"$python" -m pytest tests/parity -k dopamine
"$python" -m tests.parity.dopamine_deviations
