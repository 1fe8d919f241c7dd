#!/usr/bin/env bash
# Installs what plain CI has not and passes the tests that need it, those of the night too: Slurm and
# Chromium from Debian; submitit, Ray, selenium, PyArrow, nbclient and TensorFlow Datasets in a virtual
# environment of its own; rliable in another. Fails if a test is skipped all the same. For root on
# Debian 12 with python3.11 ($PYTHON); takes 6 GB. $VENV names a folder to keep the environment in.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
venv=${VENV:-$scratch/venv}
python=$venv/bin/python
debian=(slurmctld slurmd slurm-client munge chromium chromium-driver fonts-dejavu-core)
tests=(tests/launch tests/reporting/test_page_in_chromium.py
  tests/reporting/test_page_charts_in_chromium.py tests/reporting/test_table.py
  tests/parity/test_rliable.py tests/dataset_tool/test_catalogue.py tests/dataset_tool/test_fetch.py
  tests/datasets/test_finding.py tests/datasets/test_rlu.py tests/datasets/test_rlu_problems.py
  tests/datasets/test_rlu_writer.py tests/test_notebooks.py)

missing=()
for package in "${debian[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "tests/integration.sh: ${missing[*]}: not installed, which takes root" >&2
    exit 2
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

[ -x "$python" ] || "${PYTHON:-python3.11}" -m venv "$venv"
"$python" -m pip install -q -c constraints.txt -e '.[test,slurm,ray,rlu,parquet,notebooks]' 'selenium>=4.51'
"$python" -m pip check
bash tests/parity/rliable_environment.sh
echo "installed within $SECONDS s"

status=0
"$python" -m pytest -n 0 -rs --durations=15 -m 'nightly or not nightly' \
  --junitxml="$scratch/passed.xml" "${tests[@]}" "$@" || status=$?
"$python" - "$scratch/passed.xml" <<'PYTHON' || status=1
import sys
from xml.etree import ElementTree

cases = list(ElementTree.parse(sys.argv[1]).iter("testcase"))
skipped = [case for case in cases if case.find("skipped") is not None]
print(f"{len(cases)} tests, {len(skipped)} skipped")
for case in skipped:
    print(f"SKIPPED {case.get('classname')} {case.get('name')}: {case.find('skipped').get('message')}")
sys.exit(bool(skipped) or not cases)
PYTHON
echo "tests/integration.sh: $SECONDS s, exit code $status"
exit "$status"
