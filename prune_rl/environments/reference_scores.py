"""What D4RL calls 0 and 100: the mean returns of a random and of an expert player.

data/reference_scores.csv has D4RL's numbers (d4rl/infos.py), which are of its v2 environments and
the same for every dataset of one; of later versions they are what papers go on to use.
"""

import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError, nearest

_FILE = Path(__file__).parent / "data" / "reference_scores.csv"
_Returns = TypeVar("_Returns", float, npt.NDArray[np.floating])
_NAMESPACES = ("mujoco/", "d4rl/")  # of Minari's names


class References(NamedTuple):
    """Mean returns of an episode, unclipped; the file says where each is from."""

    random: float
    expert: float


def reference_scores(name: str) -> References | None:
    """Those of a game or a dataset of it, None if there are none.

    Args:
        name: as gymnasium, D4RL or Minari call it: 'HalfCheetah-v5', 'halfcheetah-medium-v2',
            'halfcheetah_medium-v2.hdf5', 'mujoco/halfcheetah/medium-v0'.
    """
    plain = re.sub(r"-v\d+(\.hdf5)?$", "", name.casefold())
    for namespace in _NAMESPACES:
        plain = plain.removeprefix(namespace)
    words = re.split(r"[-_/]", plain)
    for count in range(len(words), 0, -1):
        if (found := _table().get("-".join(words[:count]))) is not None:
            return found
    return None


def require_reference_scores(name: str) -> References:
    """The same; raises `ConfigError` where there are none."""
    found = reference_scores(name)
    if found is None:
        problem = "no reference scores, so a return cannot be normalised"
        raise ConfigError(f"{name}: {problem}; {nearest(name, _table())}")
    return found


def normalized(episode_return: _Returns, references: tuple[float, float]) -> _Returns:
    """100 (R - random) / (expert - random), as D4RL (Fu et al. 2020, section 6) has it."""
    random, expert = references
    return 100 * (episode_return - random) / (expert - random)


@cache
def _table() -> dict[str, References]:
    with _FILE.open(newline="") as file:
        return {
            row["environment"]: References(float(row["random"]), float(row["expert"]))
            for row in csv.DictReader(file)
        }
