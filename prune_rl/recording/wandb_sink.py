"""Weights & Biases as a `Sink`: one run of theirs for each seed.

wandb runs in a process of its own (`wandb_process.py`), fed through a pipe by a thread: a network
that is slow or away, a prompt for a login, or a mistake of theirs reaches no training.
"""

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from prune_rl.recording import tensor_files
from prune_rl.recording.wandb_process import say

ID_FILE = "wandb.id"
_SWEEP = "sweep.json"  # which `launch.sweep` keeps beside its cells
_PROCESS = (sys.executable, "-m", "prune_rl.recording.wandb_process")
_WAIT_SECONDS = 20.0  # at the end, for what has not been sent


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
    """A `Sink`; never raises and never waits, but a few seconds when it is closed.

    Runs are named after the run directory, 'runs/pruned/seed 0', grouped by it, and of the project
    WANDB_PROJECT, else 'prune_rl'. Their ids are kept in the directory, so that a run taken up
    goes on in them. Where there is no login or network they are written to `directory`/wandb.
    """

    def __init__(self, directory: Path, about: About) -> None:
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        try:
            self._put(_header(directory, about))
            self._process = subprocess.Popen(
                _PROCESS,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": _python_path()},
                start_new_session=True,  # Ctrl-C is the training's
            )
            self._thread = threading.Thread(target=self._feed, daemon=True)
            self._thread.start()
        except OSError as error:
            say(f"cannot begin: {error}; the training goes on without")

    def scalars(self, seed: int, values: Mapping[str, float], steps: int) -> None:
        """See `Sink`."""
        self._put({"seed": seed, "values": dict(values), "steps": steps})

    def flush(self) -> None:
        """See `Sink`; wandb writes by itself."""

    def close(self) -> None:
        """See `Sink`; what has not been sent then is sent by the process alone."""
        if self._process is None:
            return
        self._lines.put(None)
        try:
            self._thread.join(_WAIT_SECONDS)
            self._process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"still sending; process {self._process.pid} goes on with it alone")

    def _put(self, line: Mapping[str, Any]) -> None:
        self._lines.put(json.dumps(line, default=str))

    def _feed(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                while (line := self._lines.get()) is not None:
                    pipe.write(line + "\n")
                    pipe.flush()
        except OSError:  # it has ended, and said why
            return


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
