"""A run's logs: metrics.jsonl and episodes.csv are the truth, TensorBoard is a copy.

What depends on how fast the machine was is in timing.jsonl alone: of two equal runs the truth is
equal byte by byte. The text files only grow; their sizes and digests are part of every checkpoint,
so a resumed run cuts them back to where it stood and writes on as if it had never stopped.
"""

import csv
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from prune_rl.recording.metrics import CLOCKS, IDENTIFYING, describe
from prune_rl.recording.sinks import Sink, TensorBoard
from prune_rl.recording.tensor_files import Damaged

FILES = ("metrics.jsonl", "episodes.csv", "timing.jsonl")
# By file, {"bytes": its length, "sha256": hex digest of them}: JSON.
Positions = Mapping[str, Mapping[str, Any]]

_WHOSE = ("seed", "iteration", "phase")
_EPISODE = ("episode_return", "episode_length", "ended")


class RunLog:
    """Writes one run's metrics and episodes; a context manager.

    Attributes:
      clock: the counter, of `CLOCKS`, that the run's progress is told by.

    Raises:
      OSError: the directory cannot be written to.
    """

    def __init__(
        self,
        directory: Path,
        *,
        positions: Positions,
        clock: str,
        steps: int,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """Opens the run's files where they stood.

        Args:
            positions: where to cut the files back to, as `positions()` gave them.
            clock: see above.
            steps: what the clock says now.
            sinks: where scalars go beside TensorBoard; they are closed with the log.
        """
        if clock not in CLOCKS:
            raise ValueError(f"clock={clock!r}: expected one of {', '.join(CLOCKS)}")
        self._directory = directory
        self._metrics = _open_at(directory, "metrics.jsonl", positions)
        self._episodes = _open_at(directory, "episodes.csv", positions)
        self._timing = _open_at(directory, "timing.jsonl", positions)
        self._csv = csv.writer(self._episodes, lineterminator="\n")
        if self._episodes.tell() == 0:
            self._csv.writerow((*_WHOSE, clock, *_EPISODE))
        self.clock = clock
        self._sinks = (TensorBoard(directory, steps), *sinks)

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl and gives the row's scalars to TensorBoard and others.

        The row is given the run's clock behind its phase. A value that is not finite is written as
        null and named in the row's "non_finite" list, one by layer as
        "dormant_by_layer/torso/Conv_0".

        Raises:
          ValueError: a name that `recording.metrics` does not know; nothing is written then.
        """
        self._append(self._metrics, row)

    def timing(self, row: Mapping[str, Any]) -> None:
        """Appends one line to timing.jsonl; otherwise as `metrics`."""
        self._append(self._timing, row)

    def _append(self, file: TextIO, row: Mapping[str, Any]) -> None:
        described = {name: describe(name) for name in row if name not in IDENTIFYING}
        steps = row[self.clock]
        said = {name: row[name] for name in _WHOSE} | {"clock": self.clock} | dict(row)
        non_finite: list[str] = []
        clean = {name: _finite(name, value, non_finite) for name, value in said.items()}
        if non_finite:
            clean["non_finite"] = non_finite
        file.write(json.dumps(clean, allow_nan=False) + "\n")
        scalars = {
            f"{row['phase'].capitalize()}/{metric.tag}": clean[name]
            for name, metric in described.items()
            if metric.tag is not None and clean[name] is not None
        }
        for sink in self._sinks:
            sink.scalars(row["seed"], scalars, steps)

    def episode(self, *values: object) -> None:
        """Appends one line to episodes.csv: values in the order of its header."""
        self._csv.writerow(values)

    def matrices(self, name: str, iteration: int, steps: int, **arrays: Any) -> None:
        """Writes arrays to diagnostics/<name>_<iteration>.npz, whole: `seeds` and `matrix`.

        These are (S,) int64 and (S, k, k) float32. `name` may be one network's, as
        'critic/gradient_covariance'. `steps` is what the clock says, and is stored under its name.
        """
        path = self._directory / "diagnostics" / f"{name}_{iteration:04d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, **(arrays | {self.clock: steps}))
        part.replace(path)

    def positions(self) -> Positions:
        """Puts everything on disk and returns how long the files are, and their digests."""
        files = (self._metrics, self._episodes, self._timing)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        for sink in self._sinks:
            sink.flush()
        return {Path(file.name).name: _position(Path(file.name)) for file in files}

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._metrics.close()
        self._episodes.close()
        self._timing.close()
        for sink in self._sinks:
            sink.close()


def _finite(name: str, value: Any, non_finite: list[str]) -> Any:
    """`value` with null for what is not finite, whose names are appended to the list."""
    if isinstance(value, Mapping):
        return {key: _finite(f"{name}/{key}", inner, non_finite) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        non_finite.append(name)
        return None
    return value


def has_logs(directory: Path) -> bool:
    """Whether anything has been logged there."""
    paths = (directory / name for name in FILES)
    return any(path.exists() and path.stat().st_size for path in paths)


def require_logged(directory: Path, positions: Positions) -> None:
    """Raises `Damaged` unless the files hold, and go on from, what they held at `positions`."""
    for name, then in positions.items():
        try:
            data = (directory / name).read_bytes()[: then["bytes"]]
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror or error}") from error
        if len(data) < then["bytes"]:
            raise Damaged(f"{name}: {len(data):,} bytes; there were {then['bytes']:,}")
        if hashlib.sha256(data).hexdigest() != then["sha256"]:
            raise Damaged(f"{name}: its first {then['bytes']:,} bytes have changed")


def _position(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _open_at(directory: Path, name: str, positions: Positions) -> TextIO:
    """Opens a file for appending behind its position, 0 if it has none; the rest is cut off."""
    file = (directory / name).open("a", encoding="utf-8")
    file.truncate(positions[name]["bytes"] if name in positions else 0)
    file.seek(0, os.SEEK_END)
    return file
