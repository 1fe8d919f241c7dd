"""When masks change, and how sparse they are by then; steps are gradient steps, from 0.

Source: JaxPruner (google-research/jaxpruner, jaxpruner/sparsity_schedules.py), and the cubic rule
of Zhu & Gupta 2017.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


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
class OneShotSchedule:
    """Masks change once, to the target sparsity.

    Attributes:
        update_step: the gradient step at which they do, >= 0.
    """

    update_step: int

    def is_mask_update(self, step: jax.Array) -> jax.Array:
        """Whether `step` (int32 scalar, may be traced) is the one."""
        return step == self.update_step

    def sparsity(self, target: float, step: jax.Array) -> jax.Array:
        """The target at every step, float32."""
        return jnp.full_like(step, target, dtype=jnp.float32)


@dataclass(frozen=True)
class PeriodicSchedule:
    """Masks change now and then, always to the target sparsity.

    Attributes:
        update_start_step: first gradient step at which masks may change, >= 0.
        update_end_step: last one, >= `update_start_step`.
        update_freq: masks change at the multiples of it in between, >= 1.
        goes_on: masks also change at those after `update_end_step`, for as long as the run lasts.
    """

    update_start_step: int
    update_end_step: int
    update_freq: int
    goes_on: bool = False

    def is_mask_update(self, step: jax.Array) -> jax.Array:
        """Whether the masks change at `step` (int32 scalar, may be traced)."""
        not_over = (step <= self.update_end_step) | self.goes_on
        in_range = (step >= self.update_start_step) & not_over
        return in_range & (step % self.update_freq == 0)

    def sparsity(self, target: float, step: jax.Array) -> jax.Array:
        """The target at every step, float32."""
        return jnp.full_like(step, target, dtype=jnp.float32)


@dataclass(frozen=True)
class PolynomialSchedule:
    """Sparsity rises from 0 to a target between two steps, fast at first, in steps of masks.

    As JaxPruner computes it; tests/parity/README.md says what its last mask update is.

    Attributes:
        update_start_step: first gradient step at which masks may change, >= 0.
        update_end_step: last one, >= `update_start_step`; they always change at it.
        update_freq: masks change at the multiples of it in between, >= 1.
        power: of the polynomial, > 0; 3 is the paper's.
        goes_on: masks also change at the multiples of `update_freq` after `update_end_step`, at
            the target sparsity, for as long as the run lasts.
    """

    update_start_step: int
    update_end_step: int
    update_freq: int
    power: float = 3
    goes_on: bool = False

    def is_mask_update(self, step: jax.Array) -> jax.Array:
        """Whether the masks change at `step` (int32 scalar, may be traced)."""
        not_over = (step <= self.update_end_step) | self.goes_on
        in_range = (step >= self.update_start_step) & not_over
        return in_range & (step % self.update_freq == 0) | (step == self.update_end_step)

    def sparsity(self, target: float, step: jax.Array) -> jax.Array:
        """Sparsity that masks made at `step` must have, float32.

        Progress counts the update being made, as in JaxPruner: (step + 1 - start) / (end - start)
        where the paper's equation 1 has step - start.
        """
        length = max(self.update_end_step - self.update_start_step, 1)
        progress = jnp.clip((step + 1 - self.update_start_step) / length, 0.0, 1.0)
        return target * (1.0 - (1.0 - progress) ** self.power)


Schedule = NoUpdateSchedule | OneShotSchedule | PeriodicSchedule | PolynomialSchedule
