"""Weights & Biases as a `Sink`: one run of theirs for each seed.

wandb runs in a process of its own (`wandb_process.py`), which reads what a training appends to a
file: a network that is slow or away, a prompt for a login, or a mistake of theirs reaches no
training, and what a training has written outlives it.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prune_rl.recording import tensor_files
from prune_rl.recording.wandb_process import say

ID_FILE = "wandb.id"
_SWEEP = "sweep.json"  # which `launch.sweep` keeps beside its cells
_PROCESS = (sys.executable, "-m", "prune_rl.recording.wandb_process")
_WAIT_SECONDS = 20.0  # at the end, for what has not been sent; the pages say so


class About(NamedTuple):
    """What is told of a run beside its scalars.

    Attributes:
        clock: a key of `metrics.CLOCKS`.
        seeds: S of them.
        settings: binding to value, in JSON's kinds.
        tags: what it is found by.
    """

    clock: str
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    tags: Sequence[str]


class WandB:
    """A `Sink`; never raises, and waits for wandb only when it is closed: 20 seconds at most.

    Runs are named after the run directory, 'runs/pruned/seed 0', grouped by it, and of the project
    WANDB_PROJECT, else 'prune_rl'. Their ids are kept in the directory, so that a run taken up
    goes on in them. Where there is no login or network they are written to `directory`/wandb.
    """

    def __init__(self, directory: Path, about: About) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # Without a name: gone with the last process that has it open.
            self._rows = tempfile.TemporaryFile()  # noqa: SIM115
            self._put(_header(directory, about))
            self._process = subprocess.Popen(
                (*_PROCESS, str(self._rows.fileno())),
                stdin=subprocess.PIPE,  # its end is the end of the rows, however it comes
                stdout=subprocess.DEVNULL,
                pass_fds=[self._rows.fileno()],
                env={**os.environ, "PYTHONPATH": _python_path()},
                start_new_session=True,  # Ctrl-C is the training's
            )
        except OSError as error:
            say(f"cannot begin: {error}; the training goes on without")

    def scalars(self, seed: int, values: Mapping[str, float], steps: int) -> None:
        """See `Sink`."""
        if self._process is None or self._rows.closed:
            return
        try:
            self._put({"seed": seed, "values": dict(values), "steps": steps})
        except OSError as error:
            say(f"no row is kept any more: {error}; the training goes on without")
            self._end_rows()

    def flush(self) -> None:
        """See `Sink`; wandb writes by itself."""

    def close(self) -> None:
        """See `Sink`; what has not been sent then is sent by the process alone."""
        if self._process is None:
            return
        self._end_rows()
        try:
            self._process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"still sending; process {self._process.pid} goes on with it alone")

    def _put(self, line: Mapping[str, Any]) -> None:
        self._rows.write(json.dumps(line, default=str).encode() + b"\n")
        self._rows.flush()

    def _end_rows(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # half a row that a full disk has no room for
            self._rows.close()
        self._process.stdin.close()


def _python_path() -> str:
    """So that the process has the same package as this one, wherever it was found."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _header(directory: Path, about: About) -> dict[str, Any]:
    """The first line of what the process reads."""
    own, path = _kept_id(directory), _shown_path(directory)
    first, last = about.seeds[0], about.seeds[-1]
    # A cell of a grid is named after its seeds, which its group has not.
    cell = path.name in (f"{first}", f"{first}-{last}") and len(path.parts) > 1
    group = (path.parent if cell else path).as_posix()
    return {
        "directory": str(directory.absolute()),
        "project": os.environ.get("WANDB_PROJECT") or "prune_rl",
        "group": os.environ.get("WANDB_RUN_GROUP") or group,
        "clock": about.clock,
        "config": dict(about.settings),
        "tags": [tag[:64] for tag in about.tags],  # theirs may not be longer
        "runs": [
            {"seed": seed, "id": f"{own}-{seed}", "name": f"{group}/seed {seed}"}
            for seed in about.seeds
        ],
    }


def _kept_id(directory: Path) -> str:
    """The run directory's own, made when it is first asked for."""
    path = directory / ID_FILE
    kept = path.read_text("utf-8").strip() if path.exists() else ""
    if not re.fullmatch("[0-9a-f]{12}", kept):
        kept = uuid.uuid4().hex[:12]
        tensor_files.write_bytes(directory, ID_FILE, f"{kept}\n".encode())
    return kept


def _shown_path(directory: Path) -> Path:
    """From the folder of its sweep on, else from the working directory, else its name alone."""
    full = directory.absolute()
    sweep = next((folder for folder in full.parents if (folder / _SWEEP).exists()), None)
    start = sweep.parent if sweep else Path.cwd()
    return full.relative_to(start) if full.is_relative_to(start) else Path(full.name)
