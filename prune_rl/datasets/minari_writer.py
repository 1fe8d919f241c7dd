"""Writes what S agents see as Minari's datasets, `mujoco/halfcheetah/run_1-v0` and so on.

Each lies in `<id>/data/`, so with MINARI_DATASETS_PATH at the root Minari itself reads them; see
`datasets.minari` for the layout. An episode that goes on where the run ends is truncated there.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets.hdf5_files import in_memory, write
from prune_rl.datasets.minari import MAIN, METADATA
from prune_rl.datasets.recorder import Played
from prune_rl.environments.reference_scores import reference_scores
from prune_rl.specs import Box

_VERSION = "0.5.4"  # of the layout, as Minari counts: its own


def dataset_id(game: str, number: int) -> str:
    """Of run `number`: 'mujoco/halfcheetah/run_1-v0' of 'HalfCheetah-v5'."""
    return f"mujoco/{game.partition('-')[0].casefold()}/run_{number}-v0"


class MinariWriter:
    """A `RunWriter` of one dataset, which memory holds until it is finished."""

    def __init__(self, root: Path, played: Played, number: int) -> None:
        self._played, self._id = played, dataset_id(played.game, number)
        self._folder = root / self._id / "data"
        self._folder.mkdir(parents=True)
        self._file = in_memory(self._folder / MAIN, track_order=True)
        self._episodes = self._steps = 0
        self._frames: list[np.ndarray] = []  # of the episode; one more than steps
        self._taken: list[tuple[np.ndarray, Any, bool, bool]] = []

    def begin(self, frame: np.ndarray) -> None:
        """See `RunWriter`."""
        self._end()
        self._frames = [np.array(frame)]

    def add(
        self, action: Any, reward: Any, terminated: bool, cut: bool, next_frame: np.ndarray
    ) -> None:
        """See `RunWriter`."""
        self._taken.append((np.array(action), reward, terminated, cut))
        self._frames.append(np.array(next_frame))

    def _end(self) -> None:
        """Writes the episode, if it has a step."""
        if not self._taken:
            return
        actions, rewards, terminations, truncations = map(np.array, zip(*self._taken, strict=True))
        truncations[-1] |= not terminations[-1]
        group = self._file.create_group(f"episode_{self._episodes}")
        arrays: dict[str, np.ndarray] = {
            "observations": np.array(self._frames, np.float32),
            "actions": actions.astype(np.float32),
            "rewards": rewards.astype(np.float64),  # as Minari's collector has them
            "terminations": terminations,
            "truncations": truncations,
        }
        for name, array in arrays.items():
            group.create_dataset(name, data=array)
        group.attrs.update({"id": self._episodes, "total_steps": len(rewards)})
        for name in ("sum", "mean", "std", "max", "min"):
            group.attrs[f"rewards_{name}"] = float(getattr(arrays["rewards"], name)())
        self._episodes, self._steps = self._episodes + 1, self._steps + len(rewards)
        self._taken, self._frames = [], self._frames[-1:]

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """See `RunWriter`."""
        self._end()
        write(self._file, self._folder / MAIN)
        about = about | {"rows": self._steps, "transitions": self._steps}
        with (self._folder / METADATA).open("w", encoding="utf-8") as file:
            json.dump(self._metadata(about), file)
            file.flush()
            os.fsync(file.fileno())
        return about

    def _metadata(self, about: dict[str, Any]) -> dict[str, Any]:
        spec, actions = self._played.observation_spec, self._played.action_spec
        assert isinstance(actions, Box)
        free = (-np.inf,) * spec.shape[0]
        metadata = {
            "total_episodes": self._episodes,
            "total_steps": self._steps,
            "data_format": "hdf5",
            "observation_space": _space(free, tuple(-x for x in free)),
            "action_space": _space(actions.low, actions.high),
            "dataset_id": self._id,
            "minari_version": _VERSION,
            "algorithm_name": str(about.get("agent", "")),
            "dataset_size": round((self._folder / MAIN).stat().st_size / 1e6, 1),
            "prune_rl": about,
        }
        if (spec_of_game := _env_spec(self._played.game)) is not None:
            metadata["env_spec"] = spec_of_game
        if (known := reference_scores(self._played.game)) is not None:
            metadata |= {"ref_min_score": known.random, "ref_max_score": known.expert}
        return metadata

    def abandon(self) -> None:
        """See `RunWriter`."""
        self._file.close()


def _space(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    """A box, in Minari's JSON, which has infinities."""
    form = {"type": "Box", "dtype": "float32", "shape": [len(low)]}
    return json.dumps(form | {"low": list(low), "high": list(high)})


def _env_spec(game: str) -> str | None:
    """gymnasium's specification of a game, None where it knows none."""
    try:
        import gymnasium
    except ImportError:
        return None
    try:
        return str(gymnasium.spec(game).to_json())
    except gymnasium.error.Error:
        return None
