"""The optimizer that a pruner wraps, and the regularisers that live in it."""

from typing import Annotated, Any, Literal

import gin
import jax
import jax.numpy as jnp
import optax

from prune_rl.pruning.tensors import tensor_name
from prune_rl.pruning.ties import is_weight
from prune_rl.settings import NotNegative, Positive, Range, checked

Decay = Annotated[float, Range(least=0, below=1)]


@gin.configurable
@checked
def create_optimizer(
    name: Literal["adam", "adamw"] = "adam",
    *,
    learning_rate: Positive = 6.25e-5,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Positive = 1.5e-4,
    weight_decay: NotNegative = 0.0,
    unit_norm_penalty: NotNegative = 0.0,
    l1_penalty: NotNegative = 0.0,
    learning_rate_decay: Literal["none", "cosine"] = "none",
    num_gradient_steps: int | None = None,
) -> optax.GradientTransformation:
    """Creates an optimizer; defaults are those of Dopamine 4.1.2 (jax/agents/dqn/configs/dqn.gin).

    Args:
        name: 'adam' or 'adamw'; they differ in what weight decay is.
        learning_rate: > 0.
        beta1: decay of the first moment, in [0, 1).
        beta2: decay of the second moment, in [0, 1).
        eps: > 0, added to the root of the second moment.
        weight_decay: >= 0, of all parameters, biases included. With 'adam' it is added to the
            gradient as weight_decay·w, before the moments (Dopamine's labs/redo, the paper's
            source); with 'adamw' the step is learning_rate·weight_decay·w larger (Loshchilov &
            Hutter 2019).
        unit_norm_penalty: >= 0, coefficient c of `penalize_norms`.
        l1_penalty: >= 0, coefficient c of `penalize_sizes`.
        learning_rate_decay: 'none', or 'cosine' for a rate that falls to 0 at the run's end
            (Loshchilov & Hutter 2017, without restarts).
        num_gradient_steps: those that it will make in the run, which a decay is over.

    Raises:
        ConfigError: an argument is outside its range; names the gin binding.
    """
    rate: optax.ScalarOrSchedule = learning_rate
    if learning_rate_decay == "cosine":
        if num_gradient_steps is None:
            raise ValueError("a decay needs num_gradient_steps")
        rate = optax.cosine_decay_schedule(learning_rate, max(1, num_gradient_steps))
    if name == "adamw":
        optimizer = optax.adamw(rate, beta1, beta2, eps, weight_decay=weight_decay)
    else:
        optimizer = optax.adam(rate, beta1, beta2, eps)
    before = [penalize_norms(unit_norm_penalty)] if unit_norm_penalty else []
    if l1_penalty:
        before.append(penalize_sizes(l1_penalty))
    if name == "adam" and weight_decay:
        before.append(optax.add_decayed_weights(weight_decay))
    return optax.chain(*before, optimizer) if before else optimizer


def penalize_sizes(coefficient: float) -> optax.GradientTransformation:
    """Adds the gradient of coefficient·Σ|w| over every kernel, and what is tied to one.

    Tibshirani 1996, as part of the loss; a weight of zero gets none.
    """

    def add(path: Any, grad: jax.Array, param: jax.Array) -> jax.Array:
        return grad + coefficient * jnp.sign(param) if is_weight(tensor_name(path)) else grad

    def update(grads: Any, params: Any = None) -> Any:
        return jax.tree_util.tree_map_with_path(add, grads, params)

    return optax.stateless(update)


def penalize_norms(coefficient: float) -> optax.GradientTransformation:
    """Adds the gradient of coefficient/2·(‖w‖₂ - 1)² for every kernel w, and what is tied to one.

    The second reading of the paper's L2 baseline, "an l2 norm of 1 for the parameters" (section
    5.1); the first, normalised features, is `QNetwork.normalize_representation`. A tensor of
    zeros gets no gradient.
    """

    def add(path: Any, grad: jax.Array, param: jax.Array) -> jax.Array:
        if not is_weight(tensor_name(path)):
            return grad
        norm = jnp.linalg.norm(param)
        direction = param / jnp.where(norm > 0, norm, 1.0)
        return grad + coefficient * (norm - 1.0) * direction

    def update(grads: Any, params: Any = None) -> Any:
        return jax.tree_util.tree_map_with_path(add, grads, params)

    return optax.stateless(update)
