"""What a run leaves behind, in a form that can be compared to the bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

_SPEEDS = ("agent_steps_per_second", "gradient_steps_per_second")


def left(base_dir: Path) -> dict[str, Any]:
    """Rows without their speeds, episodes, matrices, and the arrays of the last checkpoint."""
    return {
        "metrics": _rows((base_dir / "metrics.jsonl").read_bytes()),
        "episodes": (base_dir / "episodes.csv").read_bytes(),
        "matrices": {x.name: _exact(np.load(x)) for x in base_dir.glob("diagnostics/*.npz")},
        "arrays": {x.name: _exact(load_file(x)) for x in newest(base_dir).glob("*.safetensors")},
    }


def newest(base_dir: Path) -> Path:
    """The folder of the last checkpoint."""
    numbers = [x.name for x in (base_dir / "checkpoints").iterdir() if x.name.isdecimal()]
    return base_dir / "checkpoints" / max(numbers, key=int)


def stands(base_dir: Path) -> dict[str, Any]:
    """What the manifest of the last checkpoint says of the run."""
    return json.loads((newest(base_dir) / "manifest.json").read_bytes())["manifest"]["run"]


def snapshot(base_dir: Path) -> dict[str, bytes | None]:
    """Every file below with its bytes, and every folder, but for the lock."""
    names = sorted(x for x in base_dir.rglob("*") if x.name != "lock")
    return {str(x.relative_to(base_dir)): x.read_bytes() if x.is_file() else None for x in names}


def _rows(data: bytes) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in data.splitlines()]
    return [{name: x for name, x in row.items() if name not in _SPEEDS} for row in rows]


def _exact(arrays: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(x.dtype), x.shape, x.tobytes()) for name, x in sorted(arrays.items())}
