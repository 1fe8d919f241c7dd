"""`about.json`, which stands beside the files of a run of ours and is written after them."""

import json
from pathlib import Path
from typing import Any

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import first_line

NAME = "about.json"
_FORMAT = 1
_TYPES = {
    "suite": str,
    "game": str,
    "run": int,
    "num_actions": int,
    "frame_shape": list,
    "stack_size": int,
    "protocol": dict,
    "files": dict,  # {name: {"bytes", "sha256"}}
}


def read_about(folder: Path) -> dict[str, Any] | None:
    """What it says of the run in `folder`, as JSON; None where there is none.

    Raises:
        Damaged: it is not what it should be.
    """
    path = folder / NAME
    try:
        about = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Damaged(f"{path}: cannot be read: {first_line(error)}") from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise Damaged(f'{path}: expected {{"format": {_FORMAT}, …}}')
    for name, form in _TYPES.items():
        if not isinstance(about.get(name), form):
            raise Damaged(f"{path}: {name}={about.get(name)!r}, expected {form.__name__}")
    return about
