#!/usr/bin/env bash
# Installs the newest versions and runs quick tests on every Python of 3.12 and 3.13 (or of the
# arguments) that is here, below pyenv or on PATH; says which are not.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
quick=(tests/replay tests/recording tests/environments tests/learning tests/networks
  tests/pruning/test_pruner.py tests/test_train.py tests/test_trainer.py)
[ $# -gt 0 ] || set -- 3.12 3.13
failed=0
for version in "$@"; do
  python=
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python \
    "$(command -v "python$version" || true)"; do
    if [ -z "$python" ] && [ -x "$candidate" ] && "$candidate" -c '' 2>"$scratch/why"; then
      python=$candidate
    fi
  done
  if [ -z "$python" ]; then
    echo "Python $version is not here"
    continue
  fi
  "$python" -m venv "$scratch/$version"
  "$scratch/$version/bin/python" -m pip install -q '.[test]'
  verdict=passed
  "$scratch/$version/bin/python" -m pytest "${quick[@]}" >"$scratch/log" 2>&1 || verdict=FAILED
  "$scratch/$version/bin/python" -c 'import jax, numpy, platform
print("Python", platform.python_version(), "jax", jax.__version__, "numpy", numpy.__version__)'
  tail -1 "$scratch/log"
  if [ "$verdict" = FAILED ]; then
    tail -60 "$scratch/log"
    failed=1
  fi
done
exit "$failed"
