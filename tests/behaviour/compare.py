"""Says what differs between two recordings of record.py, but for names that RENAMED maps.

    python tests/behaviour/compare.py before.json after.json

Exit code 1 if a common run played otherwise, ended with other parameters, masks, moments or keys,
or logged another number; `--loose=loss,grad_norm` lets named metrics differ by 1e-5 of themselves.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

# (pattern, replacement) of a path in a checkpoint, from the older recording to the newer.
RENAMED_LEAVES = [(r"^(params|target_params|opt_state)/", r"networks/q/\1/")]
# Of a name in a row of metrics.jsonl, by-layer keys behind a slash.
RENAMED_METRICS = [
    (r"^sparsity_by_layer/params/(.*)/kernel(_sigma)?$", r"sparsity_by_layer/\1"),
    (r"^parameter_norm_by_layer/(params/)?", "parameter_norm_by_tensor/"),
]
ADDED_LEAVES, ADDED_METRICS = {"step", "diverged_at"}, {"clock"}
_TIMES = {"agent_steps_per_second", "gradient_steps_per_second"}


def _rename(names: dict[str, Any], patterns: list[tuple[str, str]]) -> dict[str, Any]:
    renamed = {}
    for name, value in names.items():
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in row.items():
        inner = value if isinstance(value, dict) else None
        flat |= {f"{name}/{x}": y for x, y in inner.items()} if inner is not None else {name: value}
    return {name: value for name, value in flat.items() if name not in _TIMES}


def _same(one: Any, other: Any, loose: bool) -> bool:
    if one == other:
        return True
    return loose and None not in (one, other) and math.isclose(one, other, rel_tol=1e-5)


def differences(before: dict[str, Any], after: dict[str, Any], loose: set[str]) -> list[str]:
    """What differs between two recordings of one run, a line each."""
    found = [f"{x} differ" for x in ("played", "episodes") if before[x] != after[x]]
    old, new = _rename(before["leaves"], RENAMED_LEAVES), dict(after["leaves"])
    for leaf in ADDED_LEAVES - old.keys():
        new.pop(leaf, None)
    found += [f"leaf {x}" for x in sorted(old.keys() | new.keys()) if old.get(x) != new.get(x)]
    if len(before["rows"]) != len(after["rows"]):
        return [*found, f"{len(before['rows'])} rows, {len(after['rows'])} after"]
    for i, (one, other) in enumerate(zip(before["rows"], after["rows"], strict=True)):
        row, seen = _rename(_flat(one), RENAMED_METRICS), _flat(other)
        for name in ADDED_METRICS - row.keys():
            seen.pop(name, None)
        found += [
            f"row {i} {name}: {row.get(name)} and {seen.get(name)}"
            for name in sorted(row.keys() | seen.keys())
            if not _same(row.get(name), seen.get(name), name in loose)
        ]
    return found


def main() -> int:
    """Compares every run of the first recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--loose", default="", help="metrics that may differ in the last digits")
    flags = parser.parse_args()
    before, after = (json.loads(path.read_text()) for path in (flags.before, flags.after))
    wrong = 0
    for name in before:
        if not (before[name] and after.get(name)):
            found = ["not recorded, or its run failed"]
        else:
            found = differences(before[name], after[name], set(flags.loose.split(",")))
        wrong += bool(found)
        print(f"{name}: {'same' if not found else f'{len(found)} differences'}")
        for line in found[:8]:
            print(f"    {line}")
    print(f"{len(before)} runs compared, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
