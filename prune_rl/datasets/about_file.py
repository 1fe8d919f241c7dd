"""`about.json`, which stands beside the files of a run of ours and is written after them."""

import json
from pathlib import Path
from typing import Any

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import first_line

NAME = "about.json"
FORMAT = 1
_SUITES = ("atari", "minatar")
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
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {first_line(error)}") from error
    return parse(str(path), content)


def parse(where: str, content: bytes | str) -> dict[str, Any]:
    """What an `about.json` says; `where` it is, a path or a URL, begins every message.

    Raises:
        Damaged: as `read_about`.
    """
    try:
        about = json.loads(content)
    except ValueError as error:
        raise Damaged(f"{where}: cannot be read: {first_line(error)}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise Damaged(f'{where}: expected {{"format": {FORMAT}, …}}')
    for name, form in _TYPES.items():
        if not isinstance(about.get(name), form):
            raise Damaged(f"{where}: {name}={about.get(name)!r}, expected {form.__name__}")
    if about["suite"] not in _SUITES:
        raise Damaged(f"{where}: suite={about['suite']!r}, expected one of {', '.join(_SUITES)}")
    return about
