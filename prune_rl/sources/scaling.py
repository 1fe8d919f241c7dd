"""Normalised observations and rewards, timeouts: what rows become before they are learned from.

Each run (or mixture) that a seed learns from is normalised by itself, by what was chosen of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError, require
from prune_rl.replay.ring import Fields
from prune_rl.specs import FINAL, TERMINATED, TRUNCATED, ObservationSpec

TIMEOUTS = ("bootstrap", "terminal")
_RANGE = 1_000.0  # of returns, once rewards are normalised (Kostrikov et al. 2022)


@dataclass(frozen=True)
class Scaling:
    """What is asked for; see `sources.stored.load_dataset`."""

    normalize_observations: bool
    normalization_eps: float
    normalize_rewards: bool
    reward_scale: float
    reward_shift: float
    timeouts: str

    def require_vectors(self, spec: ObservationSpec, chunks: str | None) -> None:
        """Raises `ConfigError` if observations cannot be normalised."""
        binding, asked = "Dataset.normalize_observations", self.normalize_observations
        require(not (asked and spec.is_image), binding, asked, "False: the data are of images")
        require(not (asked and chunks), binding, asked, "False with Dataset.chunks")

    @property
    def identity(self) -> dict[str, Any]:
        """JSON of what it changes, for a checkpoint; nothing if that is nothing."""
        said: dict[str, Any] = {}
        if self.normalize_observations:
            said["observations"] = f"normalized, eps {self.normalization_eps:g}"
        rewards = self.normalize_rewards, self.reward_scale, self.reward_shift
        if rewards != (False, 1.0, 0.0):
            said["rewards"] = f"{'normalized ' * rewards[0]}x {rewards[1]:g} + {rewards[2]:g}"
        if self.timeouts != "bootstrap":
            said["timeouts"] = self.timeouts
        return said

    def of_observations(self, fields: Fields, starts: np.ndarray) -> Scale | None:
        """That of the frames of rows at which transitions start (T,), if they are normalised."""
        if not self.normalize_observations:
            return None
        frames = fields["frames"]
        own = frames[starts].astype(np.float64)
        return Scale(own.mean(axis=0), own.std(axis=0) + self.normalization_eps)

    def of_rewards(self, fields: Fields, where: str) -> tuple[float, dict[str, float]]:
        """What the rewards of rows are multiplied by, and JSON of what was found of them.

        Args:
            fields: of the rows.
            where: words for whose they are, for an error.

        Raises:
            ConfigError: no two complete episodes differ, so that returns have no range.
        """
        factor, found = self.reward_scale, {}
        if self.normalize_rewards:
            returns = complete_returns(fields)
            low, high = (float(x) for x in (min(returns, default=0), max(returns, default=0)))
            if low == high:
                needed = "expected complete episodes of different returns"
                problem = f"{needed}; of the {len(returns)} of {where} all are {low:g}"
                raise ConfigError(f"Dataset.normalize_rewards=True: {problem}")
            factor *= _RANGE / (high - low)
            found = {"lowest_return": low, "highest_return": high}
        return factor, found

    def apply(self, fields: Fields, scale: Scale | None, factor: float) -> None:
        """Puts rows on the scales that were found, in place, and ends them as asked."""
        if scale is not None:
            fields["frames"][:] = scale(fields["frames"])
        if self.identity.get("rewards"):
            rewards = fields["rewards"]
            rewards[:] = rewards.astype(np.float64) * factor + self.reward_shift
        if self.timeouts == "terminal":
            fields["ends"][fields["ends"] == TRUNCATED] = TERMINATED


def complete_returns(fields: Fields) -> npt.NDArray[np.float64]:
    """Sums of rewards (E,) of the episodes of which all rows are there, in their order.

    One that the end of a file cuts off counts as if it had timed out, as in IQL's own code
    (ikostrikov/implicit_q_learning, `split_into_trajectories`); CORL leaves it out.
    """
    ages, ends = fields["ages"], fields["ends"]
    if not len(ages):
        return np.empty(0)
    # Rows of an episode follow each other; what was left out breaks it in two.
    begins = np.flatnonzero(np.diff(ages, prepend=-2) != 1)
    played = np.where(ends == FINAL, 0.0, fields["rewards"].astype(np.float64))
    is_over = np.logical_or.reduceat((ends == TERMINATED) | (ends == TRUNCATED), begins)
    returns: npt.NDArray[np.float64] = np.add.reduceat(played, begins)
    return returns[is_over & (ages[begins] == 0)]
