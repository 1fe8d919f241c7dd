"""Whether an exported policy does what the full network does."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.loaded_run import LoadedRun
from prune_rl.specs import Box

# Of float32 sums in another order, as a part of the largest value, or of the box of actions.
ROUNDING = 1e-5


class Plays(Protocol):
    """What an exported policy is, whoever computes it; see `numpy_policy.Policy`."""

    def act(self, observations: Any) -> Any:
        """Actions (B, *action) of observations (B, *observation)."""

    def values(self, observations: Any) -> Any:
        """Values (B, A) of numbered actions."""


class Agreement(NamedTuple):
    """How far two policies agree that do the same.

    Attributes:
        observations: that both saw.
        ties: in how many of them they chose differently, where the full network's values of both
            choices are equal but for rounding.
        largest_difference: of values; of actions, where they are vectors.
    """

    observations: int = 0
    ties: int = 0
    largest_difference: float = 0.0

    def joined(self, other: "Agreement") -> "Agreement":
        """Of the observations of both."""
        seen, ties = self.observations + other.observations, self.ties + other.ties
        return Agreement(seen, ties, max(self.largest_difference, other.largest_difference))


class Disagrees(ConfigError):  # noqa: N818
    """An exported policy does something else."""


def compared(run: LoadedRun, policy: Plays, observations: np.ndarray) -> Agreement:
    """Compares what a policy does with what the run's full network does.

    Args:
        run: of the full network.
        policy: exported of it.
        observations: raw, (B, *observation).

    Raises:
        Disagrees: they differ by more than rounding.
    """
    wanted, got = run.act(observations), policy.act(observations)
    spec = run.action_spec
    if isinstance(spec, Box):
        largest = float(np.abs(wanted - got).max())
        _require(largest, float(np.max(np.subtract(spec.high, spec.low))), "actions")
        return Agreement(len(observations), 0, largest)
    q = run.values(observations)
    assert q is not None  # of numbered actions
    size, rows = float(np.abs(q).max()), np.arange(len(q))
    largest = float(np.abs(q - policy.values(observations)).max())
    _require(largest, size, "values")
    _require(float((q[rows, wanted] - q[rows, got]).max()), size, "values of the actions chosen")
    return Agreement(len(observations), int((wanted != got).sum()), largest)


def _require(difference: float, size: float, what: str) -> None:
    if not difference <= ROUNDING * size:
        problem = f"{what} differ from the full network's by {difference:.2g}"
        raise Disagrees(f"export: {problem}; nothing is written (a mistake of ours, or of a torso)")
