"""The optimizer that a pruner wraps."""

import gin
import optax

from prune_rl.errors import require, require_choice


@gin.configurable
def create_optimizer(
    name: str = "adam",
    *,
    learning_rate: float = 6.25e-5,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1.5e-4,
) -> optax.GradientTransformation:
    """Creates an optimizer; defaults are those of Dopamine 4.1.2 (jax/agents/dqn/configs/dqn.gin).

    Args:
        name: 'adam', the only choice so far.
        learning_rate: > 0.
        beta1: decay of the first moment, in [0, 1).
        beta2: decay of the second moment, in [0, 1).
        eps: > 0, added to the root of the second moment.

    Raises:
        ConfigError: an argument is outside its range.
    """
    require_choice("create_optimizer.name", name, ["adam"])
    for argument, value in (("learning_rate", learning_rate), ("eps", eps)):
        require(value > 0, f"create_optimizer.{argument}", value, "a number > 0")
    for argument, value in (("beta1", beta1), ("beta2", beta2)):
        require(0 <= value < 1, f"create_optimizer.{argument}", value, "a number in [0, 1)")
    return optax.adam(learning_rate, b1=beta1, b2=beta2, eps=eps)
