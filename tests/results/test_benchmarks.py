"""The ratios of docs/speed.md are those of results/benchmarks."""

import json
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "results" / "benchmarks"


def test_the_pages_tables_are_what_was_measured():
    rows = {}
    for path in sorted(_FOLDER.glob("*.json")):
        rows |= {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    text = (_ROOT / "docs" / "speed.md").read_text()
    table = re.findall(r"^\| `(\S+)` \| .*? \| ([\d.]+) \| (.*?) \|$", text, re.M)
    assert len(table) > 10
    for name, ratio, bar in table:
        assert ratio == f"{rows[name]['median']:.2f}"
        said = rows[name]["bar"]
        assert bar == (f"{said}, {'held' if rows[name]['held'] else 'missed'}" if said else "")
