"""Writes what S agents see, as they see it, in the layout of the DQN-replay dataset.

ROOT/GAME/RUN/replay_logs/ holds, for N = 0, 1, ..., `$store$_{observation,action,reward,terminal}`,
`add_count`, `invalid_range` and, beyond what was published, `truncation`, each `_ckpt.N.gz`, and
about.json. As in Dopamine's replay, a row is a frame with the action and reward that followed it,
before every episode stand stack_size - 1 rows of zeros, and the frame after a terminal is not kept.
Unlike there, files hold the rows in the order of time and as many as there are.

A truncated episode's true last frame has a row of its own. Its `truncation` is 2, that of the row
before it 1; `terminal` is 1 in both, so that a reader who does not know of truncation does not
learn across the cut. The very last row of a run, where its episode goes on, shows the frame that
the last transition led to, without an action.
"""

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from prune_rl.datasets import about_file
from prune_rl.datasets.growing_array import GrowingArray, described
from prune_rl.errors import ConfigError
from prune_rl.specs import ActionSpec, Discrete, ObservationSpec

CHECKPOINT_ROWS = 1_000_000  # as published
_CUT, _LAST_FRAME = 1, 2  # codes of `truncation`
_FIELDS: dict[str, type[np.generic]] = {
    "$store$_action": np.int32,
    "$store$_reward": np.float32,
    "$store$_terminal": np.uint8,
    "truncation": np.uint8,
}


class Played(NamedTuple):
    """Whose play is recorded.

    Attributes:
        suite: 'atari', 'minatar' or 'mujoco'.
        game: in the spelling of `environments.games`.
        observation_spec: of uint8 images, or of vectors for a format that holds them.
        action_spec: a `Discrete` one, or a `Box` beside vectors.
    """

    suite: str
    game: str
    observation_spec: ObservationSpec
    action_spec: ActionSpec


class RunWriter(Protocol):
    """Writes one run; every method raises `OSError` where it cannot."""

    def begin(self, frame: np.ndarray) -> None:
        """Makes `frame` the first of an episode."""

    def add(
        self, action: Any, reward: Any, terminated: bool, cut: bool, next_frame: np.ndarray
    ) -> None:
        """Writes a transition from the current frame; `next_frame` is current from now on."""

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Ends the files, which say `about`; returns that with "rows" and "transitions"."""

    def abandon(self) -> None:
        """Closes what is open."""


class RunsRecorder:
    """Runs 1 to S; a context manager that closes their files, finished or not.

    It is told what a replay is told, see `ReplayBuffer.add_first` and `ReplayBuffer.add`.

    Args:
        runs: a writer for each.
        about: JSON that all of them say.
    """

    def __init__(self, runs: Sequence[RunWriter], about: Mapping[str, Any]) -> None:
        self._runs, self._about = runs, dict(about)

    def add_first(self, frames: np.ndarray) -> None:
        """Takes the runs' first frames, (S, *frame_shape)."""
        for run, frame in zip(self._runs, frames, strict=True):
            run.begin(frame)

    def add(
        self,
        *,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        """Writes one transition per run; what is terminated is not truncated as well."""
        cut = truncated & ~terminated
        for i, run in enumerate(self._runs):
            run.add(actions[i], rewards[i], bool(terminated[i]), bool(cut[i]), next_frames[i])
            if terminated[i] or truncated[i]:
                run.begin(frames[i])

    def finish(self, facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Ends the files and writes each run's about.json, its last; returns what these say.

        Args:
            facts: further JSON for about.json, of each run.
        """
        own = zip(self._runs, facts, strict=True)
        return [run.finish(self._about | {"run": i} | dict(x)) for i, (run, x) in enumerate(own, 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for run in self._runs:
            run.abandon()


class Recorder(RunsRecorder):
    """Of the DQN-replay layout. Memory does not grow with the number of rows.

    Args:
        root: where GAME/RUN/replay_logs/ are made.
        played: see `Played`.
        num_runs: S.
        checkpoint_rows: rows in a file, but for the last one.

    Raises:
        ConfigError: the layout has no place for such frames or actions.
        OSError: it cannot be written; so do all methods.
    """

    def __init__(
        self, root: Path, played: Played, num_runs: int, checkpoint_rows: int = CHECKPOINT_ROWS
    ) -> None:
        spec, actions = played.observation_spec, played.action_spec
        if not (spec.is_image and spec.dtype is np.uint8 and isinstance(actions, Discrete)):
            expected = "frames of uint8 images and actions that are numbers"
            advice = "vectors go with --format=d4rl or minari"
            raise ConfigError(f"a dataset of {played.game}: expected {expected}; {advice}")
        about = {
            "format": about_file.FORMAT,
            "suite": played.suite,
            "game": played.game,
            "num_actions": actions.num_actions,
            "frame_shape": spec.frame_shape,
            "stack_size": spec.stack_size,
        }
        folders = [root / played.game / str(i + 1) / "replay_logs" for i in range(num_runs)]
        super().__init__([_Run(folder, spec, checkpoint_rows) for folder in folders], about)


class _Run:
    """One run's files; the current frame waits for its action."""

    def __init__(self, folder: Path, spec: ObservationSpec, checkpoint_rows: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._checkpoint_rows = folder, checkpoint_rows
        shape = spec.frame_shape
        self._row_shape = shape[:-1] if shape[-1] == 1 else shape  # (84, 84), as published
        self._padding = spec.stack_size - 1
        self._blank = np.zeros(shape, spec.dtype)
        self._frame, self._age = self._blank, 0  # transitions of the episode so far
        self._arrays: dict[str, GrowingArray] = {}  # of the checkpoint that is being written
        self._number = self._rows = self._in_checkpoint = self._transitions = 0
        self._files: dict[str, dict[str, Any]] = {}

    def begin(self, frame: np.ndarray) -> None:
        """Makes `frame` the first of an episode."""
        self._frame, self._age = np.array(frame), 0

    def add(
        self, action: Any, reward: Any, terminated: bool, cut: bool, next_frame: np.ndarray
    ) -> None:
        """Writes a transition from the current frame; `next_frame` is current from now on."""
        if self._age == 0:
            for _ in range(self._padding):
                self._write(self._blank)
        self._write(self._frame, action, reward, terminated or cut, _CUT if cut else 0)
        if cut:
            self._write(next_frame, terminal=True, truncation=_LAST_FRAME)
        self._frame, self._age = np.array(next_frame), self._age + 1
        self._transitions += 1

    def _write(
        self,
        frame: np.ndarray,
        action: Any = 0,
        reward: Any = 0.0,
        terminal: bool = False,
        truncation: int = 0,
    ) -> None:
        if not self._arrays:
            self._arrays = {name: self._new(name, (), kind) for name, kind in _FIELDS.items()}
            own = self._new("$store$_observation", self._row_shape, np.uint8)
            self._arrays["$store$_observation"] = own
        for name, value in zip(_FIELDS, (action, reward, terminal, truncation), strict=True):
            self._arrays[name].append(value)
        self._arrays["$store$_observation"].append(frame)
        self._rows, self._in_checkpoint = self._rows + 1, self._in_checkpoint + 1
        if self._in_checkpoint == self._checkpoint_rows:
            self._end_checkpoint()

    def _new(self, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> GrowingArray:
        return GrowingArray(self._path(name), shape, kind)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}_ckpt.{self._number}.gz"

    def _end_checkpoint(self) -> None:
        for array in self._arrays.values():
            self._files[array.path.name] = array.finish()
        # No row is next to a cursor: the file begins with its oldest.
        numbers = {"add_count": np.array(self._rows), "invalid_range": np.zeros(0, np.int64)}
        for name, value in numbers.items():
            path = self._path(name)
            with gzip.GzipFile(path, "wb", mtime=0) as file:
                np.save(file, value, allow_pickle=False)
            self._files[path.name] = described(path)
        self._arrays, self._in_checkpoint, self._number = {}, 0, self._number + 1

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Writes what is left, then about.json."""
        if self._age:
            self._write(self._frame)
        if self._arrays:
            self._end_checkpoint()
        counts = {"rows": self._rows, "transitions": self._transitions}
        about = about | counts | {"files": dict(sorted(self._files.items()))}
        with (self._folder / about_file.NAME).open("w", encoding="utf-8") as file:
            file.write(json.dumps(about, indent=1, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return about

    def abandon(self) -> None:
        """Closes what is open."""
        for array in self._arrays.values():
            array.abandon()
