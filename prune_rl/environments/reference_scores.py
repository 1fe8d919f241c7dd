"""What is called 0 and 100: the mean returns of a random and of an expert player.

data/reference_scores.csv has D4RL's numbers (d4rl/infos.py) of the robots that are played here.
They are of its v2 environments and the same for every dataset of one; of later versions they are
what papers go on to use. A dataset may bring its own, as Minari's can.
"""

import csv
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError, nearest

_FILE = Path(__file__).parent / "data" / "reference_scores.csv"
_Returns = TypeVar("_Returns", float, npt.NDArray[np.floating])


class References(NamedTuple):
    """Mean returns of an episode, unclipped; the file says where each is from."""

    random: float
    expert: float


def reference_scores(game: str) -> References | None:
    """D4RL's of a game, as gymnasium calls it: 'HalfCheetah-v5'; None if there are none."""
    return _table().get(re.sub(r"-v\d+$", "", game))


def require_reference_scores(game: str) -> References:
    """The same; raises `ConfigError` where there are none."""
    found = reference_scores(game)
    if found is None:
        problem = "no reference scores, so a return cannot be normalised"
        raise ConfigError(f"{game}: {problem}; {nearest(game, _table())}")
    return found


def references_of(protocol: Mapping[str, Any]) -> References | None:
    """A run's, by its protocol: those that its data bring, else D4RL's of its game."""
    own = protocol.get("reference_scores")
    return References(*own) if own else reference_scores(protocol.get("game", ""))


def agreed(each: Collection[References | None], game: str) -> References | None:
    """What all have of several that are about a game, else D4RL's."""
    return next(iter(each)) if len(set(each)) == 1 else reference_scores(game)


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
