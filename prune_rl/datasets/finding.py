"""Finds the runs that a path holds, in any format that is read."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from prune_rl.datasets import d4rl, d4rl_names, dqn_replay, minari, rlu
from prune_rl.datasets.experience import Run
from prune_rl.errors import ConfigError

_EXPECTED = (
    "GAME/RUN/replay_logs/ with $store$_*_ckpt.N.gz (DQN-replay), a folder with "
    "dataset_info.json (RL Unplugged), files as halfcheetah_medium-v2.hdf5 (D4RL), or a folder "
    "with metadata.json and main_data.hdf5 (Minari)"
)
_FORMATS: Sequence[Callable[[Path], Sequence[Run]]] = (
    *(dqn_replay.find_runs, rlu.find_runs, d4rl.find_runs),
    minari.find_runs,
)


def find_runs(binding: str, path: str | Path) -> Sequence[Run]:
    """Every run at or below `path`, by game and number; at least one.

    Args:
        path: may be a file; or the name of a set where D4RL or Minari keeps what they fetch, as
            'halfcheetah-medium-v2' or 'mujoco/halfcheetah/medium-v0'.

    Raises:
        ConfigError: there is none, or one twice; names the `binding` that gave the path.
    """
    place = _place(binding, path)
    runs = [run for find in _FORMATS for run in find(place)]
    if not runs:
        raise ConfigError(f"{binding}={str(path)!r}: no dataset there; expected {_EXPECTED}")
    runs.sort(key=lambda run: (run.game, run.number))
    for run, other in pairwise(runs):
        if (run.game, run.number) == (other.game, other.number):
            choices = " or ".join(f"{binding}={own.protocol['path']!r}" for own in (run, other))
            twice = f"run {run.number} of {run.game} is there twice"
            raise ConfigError(f"{binding}={str(path)!r}: {twice}; choose one: {choices}")
    return runs


def _place(binding: str, path: str | Path) -> Path:
    """Where it lies: as it is, or by its name in D4RL's or Minari's own folder."""
    if Path(path).exists():
        return Path(path)
    own = {name: d4rl_names.cache() / d4rl_names.file_of(name) for name in d4rl_names.NAMES}
    if str(path) in own:
        expected = f"expected it fetched to {own[str(path)]}, or a path"
        place = own[str(path)]
    elif re.fullmatch(r"[\w-]+(/[\w-]+)*-v\d+", str(path)):
        place = minari.cache() / path
        expected = f"expected a path, a name as halfcheetah-medium-v2, or what is in {place.parent}"
    else:
        raise ConfigError(f"{binding}={str(path)!r}: no such directory or file")
    if not place.exists():
        raise ConfigError(f"{binding}={str(path)!r}: not there; {expected}")
    return place
