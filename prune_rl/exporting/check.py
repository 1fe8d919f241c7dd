"""Whether an exported policy does what the full network does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.loading import LoadedRun
from prune_rl.specs import Box

# Of float32 sums in another order, as a part of the largest value or of the box of actions.
ROUNDING = 1e-5


class Agreement(NamedTuple):
    """How far two policies agree.

    Attributes:
        observations: that both saw.
        ties: of them, in how many they chose differently, for the full network's values of both
            choices are equal but for rounding.
        largest_difference: of values; of actions that are vectors, of those.
    """

    observations: int = 0
    ties: int = 0
    largest_difference: float = 0.0

    def __str__(self) -> str:
        ties = f"{self.ties} of them ties" if self.ties else "no ties"
        gap = f"largest difference {self.largest_difference:.1e}"
        return f"on {self.observations:,} observations ({ties}; {gap})"


class Disagrees(ConfigError):
    """The exported policy does something else."""


def compared(run: LoadedRun, act: Callable[..., Any], values: Callable[..., Any] | None,
             observations: np.ndarray) -> Agreement:
    """Compares what a policy does with what the run's full network does.

    Args:
        run: of the full network.
        act: of the policy: (B, *observation) -> (B, *action).
        values: of the policy likewise, of numbered actions; None where actions are vectors.
        observations: raw, (B, *observation).

    Raises:
        Disagrees: they differ by more than rounding.
    """
    wanted, got = run.act(observations), np.asarray(act(observations))
    spec = run.action_spec
    if isinstance(spec, Box):
        width = float(np.max(np.subtract(spec.high, spec.low)))
        largest = float(np.abs(wanted - got).max())
        _require(largest <= ROUNDING * width, "actions", largest)
        return Agreement(len(observations), 0, largest)
    q = run.values(observations)
    assert q is not None  # numbered actions have values
    rows, size = np.arange(len(q)), float(np.abs(q).max())
    gaps = q[rows, wanted] - q[rows, got]
    _require(float(gaps.max()) <= ROUNDING * size, "values of its actions", float(gaps.max()))
    largest = 0.0 if values is None else float(np.abs(q - values(observations)).max())
    _require(largest <= ROUNDING * size, "values", largest)
    return Agreement(len(observations), int((wanted != got).sum()), largest)


def joined(one: Agreement, other: Agreement) -> Agreement:
    """Of two batches together."""
    return Agreement(
        one.observations + other.observations,
        one.ties + other.ties,
        max(one.largest_difference, other.largest_difference),
    )


def _require(agrees: bool, what: str, difference: float) -> None:
    if not agrees:
        problem = f"{what} differ from the full network's by up to {difference:.2g}"
        raise Disagrees(f"export: {problem}: not written, please report it")
