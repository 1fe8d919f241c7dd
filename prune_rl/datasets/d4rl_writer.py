"""Writes what S agents see as D4RL's v2 files hold it: `halfcheetah_run_1-v5.hdf5` and so on.

A row is a transition: observations, actions, rewards, terminals, timeouts, next_observations. Of
infos there are none: what plays says no more than the replay is told. Beside D4RL's own metadata,
algorithm and iteration (agent steps here), `metadata/about` is JSON, by which `datasets.d4rl` knows
the game.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets.hdf5_files import in_memory, write
from prune_rl.datasets.recorder import Played
from prune_rl.specs import Box

_CHUNK_ROWS = 1024  # that are compressed, and written, together


def file_name(game: str, number: int) -> str:
    """Of run `number`: 'halfcheetah_run_1-v5.hdf5' of 'HalfCheetah-v5'."""
    kind, _, version = game.partition("-")
    return f"{kind.casefold()}_run_{number}-{version or 'v0'}.hdf5"


class D4RLWriter:
    """A `RunWriter` of one file, which memory holds, compressed, until it is finished."""

    def __init__(self, root: Path, played: Played, number: int) -> None:
        assert isinstance(played.action_spec, Box)
        root.mkdir(parents=True, exist_ok=True)
        self.path = root / file_name(played.game, number)
        self._file = in_memory(self.path)
        sizes, actions = played.observation_spec.shape, played.action_spec.shape
        self._forms: dict[str, tuple[tuple[int, ...], type]] = {
            "observations": (sizes, np.float32),
            "actions": (actions, np.float32),
            "rewards": ((), np.float32),
            "terminals": ((), bool),
            "timeouts": ((), bool),
            "next_observations": (sizes, np.float32),
        }
        for name, (shape, dtype) in self._forms.items():
            chunk = (_CHUNK_ROWS, *shape)
            self._file.create_dataset(
                name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunk, compression="gzip"
            )
        self._rows: list[tuple[Any, ...]] = []  # that are not written yet
        self._written, self._frame = 0, np.zeros(sizes, np.float32)

    def begin(self, frame: np.ndarray) -> None:
        """See `RunWriter`."""
        self._frame = np.array(frame)

    def add(
        self, action: Any, reward: Any, terminated: bool, cut: bool, next_frame: np.ndarray
    ) -> None:
        """See `RunWriter`."""
        following = np.array(next_frame)
        self._rows.append((self._frame, np.array(action), reward, terminated, cut, following))
        self._frame = following
        if len(self._rows) == _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        first, last = self._written, self._written + len(self._rows)
        for (name, (shape, dtype)), column in zip(
            self._forms.items(), zip(*self._rows, strict=True), strict=False
        ):
            self._file[name].resize((last, *shape))
            self._file[name][first:last] = np.array(column, dtype)
        self._rows, self._written = [], last

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """See `RunWriter`."""
        if self._rows:
            self._flush()
        about = about | {"rows": self._written, "transitions": self._written}
        self._file["metadata/algorithm"] = str(about.get("agent", ""))
        self._file["metadata/iteration"] = int(about.get("agent_steps", 0))
        self._file["metadata/about"] = json.dumps(about, allow_nan=False)
        write(self._file, self.path)
        return about

    def abandon(self) -> None:
        """See `RunWriter`."""
        self._file.close()
