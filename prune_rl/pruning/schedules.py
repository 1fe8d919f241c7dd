"""When masks change, and how sparse they are by then; steps are gradient steps, from 0.

Source: JaxPruner (google-research/jaxpruner, jaxpruner/sparsity_schedules.py), and the cubic rule
of Zhu & Gupta 2017.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prune_rl.errors import require

_DEFAULT_START, _DEFAULT_END = 0.2, 0.8  # fractions of the run
_DEFAULT_FREQ, _LEAST_UPDATES = 1000, 100


@dataclass(frozen=True)
class NoUpdateSchedule:
    """Masks never change."""

    def is_mask_update(self, step: jax.Array) -> jax.Array:
        """Whether the masks change at `step`: False."""
        return jnp.zeros_like(step, dtype=bool)

    def sparsity(self, target: float, step: jax.Array) -> jax.Array:
        """The target at every step, float32."""
        return jnp.full_like(step, target, dtype=jnp.float32)


@dataclass(frozen=True)
class PolynomialSchedule:
    """Sparsity rises from 0 to a target between two steps, fast at first, in steps of masks.

    As JaxPruner computes it, except that the masks also change at `update_end_step` when that is
    no multiple of `update_freq`: JaxPruner makes its last update before it, short of the target.

    Attributes:
        update_start_step: first gradient step at which masks may change, >= 0.
        update_end_step: last one, >= `update_start_step`.
        update_freq: masks change at the multiples of it in between, >= 1.
        power: of the polynomial; 3 is the paper's.
    """

    update_start_step: int
    update_end_step: int
    update_freq: int
    power: int = 3

    def is_mask_update(self, step: jax.Array) -> jax.Array:
        """Whether the masks change at `step` (int32 scalar, may be traced)."""
        in_range = (step >= self.update_start_step) & (step <= self.update_end_step)
        return in_range & (step % self.update_freq == 0) | (step == self.update_end_step)

    def sparsity(self, target: float, step: jax.Array) -> jax.Array:
        """Sparsity that masks made at `step` must have, float32.

        Progress counts the update being made, as in JaxPruner: (step + 1 - start) / (end - start)
        where the paper's equation 1 has step - start.
        """
        length = max(self.update_end_step - self.update_start_step, 1)
        progress = jnp.clip((step + 1 - self.update_start_step) / length, 0.0, 1.0)
        return target * (1.0 - (1.0 - progress) ** self.power)


Schedule = NoUpdateSchedule | PolynomialSchedule


def resolve_schedule(
    num_gradient_steps: int,
    update_start_step: int | float | None = None,
    update_end_step: int | float | None = None,
    update_freq: int | None = None,
) -> PolynomialSchedule:
    """Turns a user's settings into a schedule that ends within the run.

    Args:
        num_gradient_steps: length of the run, >= 1. Steps are counted from 0, so that a start or
            end at the run's length means its last step, `num_gradient_steps` - 1.
        update_start_step: int for gradient steps, float for a fraction of the run, None for 0.2.
        update_end_step: likewise; None for 0.8.
        update_freq: gradient steps between mask updates; None for 1000, or less where fewer than
            100 mask updates would fit between start and end.

    Raises:
        ConfigError: a setting is of the wrong type, lies outside the run, or start is after end.
    """
    expected = "a run that makes at least 1 gradient step to prune at; make it longer"
    _require(num_gradient_steps >= 1, "num_gradient_steps", num_gradient_steps, expected)
    given_start = _DEFAULT_START if update_start_step is None else update_start_step
    given_end = _DEFAULT_END if update_end_step is None else update_end_step
    start = _resolve_step("update_start_step", given_start, num_gradient_steps)
    end = _resolve_step("update_end_step", given_end, num_gradient_steps)
    place = f"gradient step {end} of {num_gradient_steps}"
    expected = f"no later than update_end_step={given_end!r} ({place}); the latest is {end}"
    _require(start <= end, "update_start_step", given_start, expected)
    if update_freq is None:
        update_freq = max(1, min(_DEFAULT_FREQ, (end - start) // _LEAST_UPDATES))
    expected = f"an integer >= 1 or None; {_DEFAULT_FREQ} is common"
    _require(type(update_freq) is int and update_freq >= 1, "update_freq", update_freq, expected)
    return PolynomialSchedule(start, end, update_freq)


def _resolve_step(name: str, given: object, num_gradient_steps: int) -> int:
    if isinstance(given, float):
        nearest = min(max(0.0, given), 1.0)
        expected = f"a fraction of the run in [0.0, 1.0], the nearest is {nearest}; "
        expected += "or an integer number of gradient steps"
        _require(0.0 <= given <= 1.0, name, given, expected)
        return min(round(given * num_gradient_steps), num_gradient_steps - 1)
    if isinstance(given, int) and not isinstance(given, bool):
        nearest_step = min(max(0, given), num_gradient_steps)
        expected = f"within the run's {num_gradient_steps} gradient steps, the nearest is "
        _require(given == nearest_step, name, given, expected + str(nearest_step))
        return min(given, num_gradient_steps - 1)
    expected = "an integer number of gradient steps, a float fraction of the run, or None"
    _require(False, name, given, expected)
    raise AssertionError("unreachable")


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    require(condition, f"create_updater_from_config.{name}", value, expected)
