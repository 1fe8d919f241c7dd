"""Scores of games on one scale: 0 a random player and 1 a person, or 1 an arm of one's own.

Or that of D4RL, 0 a random player and 100 an expert, by the references of a run's data, or by its
own for the robots that `reference_scores` has.

data/human_scores.csv holds returns of a random and of a human player (Mnih et al. 2015, Wang et al.
2016), as in Dopamine (labs/atari_100k/normalization_utils.py at commit a6f414c) and in DQN Zoo
(dqn_zoo/atari_data.py at 359945d); its last column says which has them. They agree but in
VideoPinball's random player, where Dopamine has 0 and DQN Zoo 16,256.9: Dopamine's, as the paper's
agents are. Five of the paper's 60 games have none, nor have MinAtar's or MuJoCo's: `units_of` or
`expert_normalized` serves there.
"""

import csv
import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from prune_rl.environments.games import MINATAR, MUJOCO, OLDER
from prune_rl.environments.reference_scores import (
    References,
    normalized,
    reference_scores,
    require_reference_scores,
)
from prune_rl.errors import ConfigError, nearest
from prune_rl.reporting.runs import Floats
from prune_rl.reporting.table import Score

_HUMAN_SCORES = Path(__file__).parent / "data" / "human_scores.csv"
# Of the 60 games; nobody has published how a person plays them under this protocol.
WITHOUT_HUMAN = ("AirRaid", "Carnival", "ElevatorAction", "JourneyEscape", "Pooyan")
_Returns = TypeVar("_Returns", float, Floats)


class Players(NamedTuple):
    """Mean returns of a random and of a human player of one game, and who says so."""

    random: float
    human: float
    source: str


@functools.cache
def human_scores() -> Mapping[str, Players]:
    """The players of every game that has a human one, by its name, as 'MsPacman'."""
    with _HUMAN_SCORES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["game"]: Players(float(row["random"]), float(row["human"]), row["source"])
        for row in rows
    }


def normalize(game: str, score: _Returns) -> _Returns:
    """Human-normalised `score`, a return or an array of them: (score - random) / (human - random).

    Raises:
        ConfigError: nobody's score on `game` is known.
    """
    if game not in human_scores():
        if game in (*MUJOCO, *OLDER):
            expert = "D4RL's expert is its scale: --normalize=d4rl"
            arm = "normalise it by an arm, as --normalize='sac mlp x1 dense'"
            advice = expert if reference_scores(game) else arm
            raise ConfigError(f"{game}: has no human score; {advice}")
        unknown = game not in (*WITHOUT_HUMAN, *MINATAR)
        hint = f"; {nearest(game, human_scores())}" if unknown else ""
        raise ConfigError(
            f"{game}: has no human score{hint}; {', '.join(WITHOUT_HUMAN)} and MinAtar's games "
            "have none: normalise them by an arm, as --normalize='dqn minatar x1 dense'"
        )
    players = human_scores()[game]
    return (score - players.random) / (players.human - players.random)


def expert_normalized(game: str, score: _Returns, references: References | None) -> _Returns:
    """D4RL's score of a return or an array of them: 100 (score - random) / (expert - random).

    Raises:
        ConfigError: there are no `references`, and D4RL has none of `game`.
    """
    known = references or require_reference_scores(game)
    return normalized(score, known)  # type: ignore[return-value]


def units_of(scores: Sequence[Score], arm: str) -> Mapping[str, float]:
    """The mean score of `arm` on each game that it has a score on; scores over it are on one scale.

    Raises:
        ConfigError: its mean on a game is not above 0: a share of that says nothing.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        if score.arm == arm and not math.isnan(score.value):
            values[score.game].append(score.value)
    units = {game: sum(own) / len(own) for game, own in values.items()}
    for game, unit in units.items():
        if unit <= 0:
            problem = f"its mean on {game} is {unit:g}; expected one above 0"
            raise ConfigError(f"--normalize={arm}: {problem}; name another arm")
    return units
