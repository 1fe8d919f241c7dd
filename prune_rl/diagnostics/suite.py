"""Which diagnostics a run measures, on which transitions, and how often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax

from prune_rl.agents.learner import AgentState, Learner
from prune_rl.agents.quantities import Quantities
from prune_rl.agents.seed_axis import map_seeds
from prune_rl.diagnostics.dormant import dormant_fraction
from prune_rl.diagnostics.gradient_covariance import gradient_correlation, gradient_covariance
from prune_rl.diagnostics.norms import parameter_norm, parameter_norms_by_layer
from prune_rl.diagnostics.q_values import q_norm, q_target_variance, q_variance
from prune_rl.diagnostics.srank import srank
from prune_rl.diagnostics.units import dead_units
from prune_rl.errors import require, require_choice
from prune_rl.replay.batch import Batch

MATRIX = "gradient_covariance"
Row = dict[str, Any]


@dataclass(frozen=True)
class _Probe:
    """What the measurements share: computed once inside jit, if one of them asks."""

    settings: "Diagnostics"
    quantities: Any  # `Quantities`, of which those asked for are there
    state: AgentState
    batch: Batch

    @cached_property
    def q_values(self) -> jax.Array:
        values: jax.Array = self.quantities.q_values(self.state.params, self.batch.s_tm1)
        return values

    def loss(self, params: Any, batch: Batch) -> jax.Array:
        losses: jax.Array = self.quantities.losses(params, self.state, batch)
        return losses.mean()

    @cached_property
    def mean_gradient(self) -> tuple[jax.Array, Any]:
        return jax.value_and_grad(self.loss)(self.state.params, self.batch)

    def gradients(self, number: int) -> Any:
        """Of the losses of the first transitions, leaves (number, ...)."""
        alone = jax.tree.map(lambda leaf: leaf[:number, None], self.batch)
        return jax.vmap(jax.grad(self.loss), in_axes=(None, 0))(self.state.params, alone)


class _Measurement(NamedTuple):
    compute: Callable[[_Probe], Row]
    needs: str | None = None  # field of `Quantities`


def _with_layers(name: str, measured: tuple[jax.Array, dict[str, jax.Array]]) -> Row:
    return {name: measured[0], f"{name}_by_layer": measured[1]}


def _q_target_variance(probe: _Probe) -> Row:
    targets = probe.quantities.q_targets(probe.state, probe.batch)
    return {"q_target_variance": q_target_variance(targets)}


def _parameter_norm(probe: _Probe) -> Row:
    params = probe.state.params
    norms = parameter_norm(params), parameter_norms_by_layer(params)
    return _with_layers("parameter_norm", norms)


def _srank(probe: _Probe) -> Row:
    features = probe.quantities.features(probe.state.params, probe.batch.s_tm1)
    return {"srank": srank(features, probe.settings.srank_delta)}


def _dormant(probe: _Probe) -> Row:
    activations = probe.quantities.activations(probe.state.params, probe.batch.s_tm1)
    threshold = probe.settings.dead_neurons_threshold
    return _with_layers("dormant", dormant_fraction(activations, threshold))


def _dead_units(probe: _Probe) -> Row:
    return _with_layers("dead_units", dead_units(probe.state.params, probe.quantities.wiring))


def _gradient_covariance(probe: _Probe) -> Row:
    matrix = gradient_covariance(probe.gradients(probe.settings.num_gradients))
    return {MATRIX: matrix, "gradient_correlation": gradient_correlation(matrix)}


MEASUREMENTS = {
    "q_variance": _Measurement(lambda p: {"q_variance": q_variance(p.q_values)}, "q_values"),
    "q_target_variance": _Measurement(_q_target_variance, "q_targets"),
    "q_norm": _Measurement(lambda p: {"q_norm": q_norm(p.q_values)}, "q_values"),
    "parameter_norm": _Measurement(_parameter_norm),
    "srank": _Measurement(_srank, "features"),
    "dormant": _Measurement(_dormant, "activations"),
    "dead_units": _Measurement(_dead_units, "wiring"),
    MATRIX: _Measurement(_gradient_covariance, "losses"),
    "mask_churn": _Measurement(lambda p: {"mask_churn": p.state.opt_state.churn}),
    "loss": _Measurement(lambda p: {"probe_loss": p.mean_gradient[0]}, "losses"),
    "grad_norm": _Measurement(
        lambda p: {"probe_grad_norm": optax.tree.norm(p.mean_gradient[1])}, "losses"
    ),
}


@gin.configurable
@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The paper's measurements (figures 11 and 13) and a few more, during a run.

    All of them see the same transitions from first to last: `probe_size` of each seed's replay,
    drawn when first measured.

    Attributes:
        quantities: names among `MEASUREMENTS`; None for all that the agent has.
        period: iterations between measurements, which come after the training phase.
        probe_size: transitions of each seed that are measured on.
        num_gradients: how many of them the gradient covariance compares, k of its k x k.
        dead_neurons_threshold: tau of the dormant neurons (Sokar et al. 2023).
        srank_delta: delta of the effective rank (Kumar et al. 2021).

    Raises:
        ConfigError: a setting is wrong; names the gin binding.
    """

    quantities: Sequence[str] | None = None
    period: int = 1
    probe_size: int = 256
    num_gradients: int = 32
    dead_neurons_threshold: float = 0.025
    srank_delta: float = 0.01

    def __post_init__(self) -> None:
        for name in self.quantities or ():
            require_choice("Diagnostics.quantities", name, MEASUREMENTS)
        for name in ("period", "probe_size", "num_gradients"):
            value = getattr(self, name)
            valid = type(value) is int and value >= 1
            require(valid, f"Diagnostics.{name}", value, "an integer >= 1")
        expected = f"at most probe_size, {self.probe_size}"
        fits = self.num_gradients <= self.probe_size
        require(fits, "Diagnostics.num_gradients", self.num_gradients, expected)
        threshold, delta = self.dead_neurons_threshold, self.srank_delta
        require(threshold >= 0, "Diagnostics.dead_neurons_threshold", threshold, "a number >= 0")
        require(0 < delta < 1, "Diagnostics.srank_delta", delta, "a number in (0, 1), as 0.01")

    def bind(self, learner: Learner) -> Callable[[AgentState, Batch], list[Row]]:
        """The compiled measurement of an agent: (state, probe) of all seeds -> a row per seed.

        Rows hold floats by name, dicts of floats by layer, and `MATRIX` as a (k, k) array.

        Raises:
            ConfigError: the agent lacks a quantity.
        """
        names = self._names(learner.quantities)

        def measure(state: AgentState, batch: Batch) -> Row:
            probe = _Probe(self, learner.quantities, state, batch)
            row: Row = {}
            for name in names:
                row |= MEASUREMENTS[name].compute(probe)
            return row

        # One seed after another: per-sample gradients of all at once may not fit.
        of_seeds = map_seeds(jax.jit(measure), "unroll", (learner.state_axes, 0), 0)

        def rows(state: AgentState, probe: Batch) -> list[Row]:
            measured = jax.device_get(of_seeds(state, jax.tree.map(jnp.asarray, probe)))
            return [_of_seed(measured, i) for i in range(len(probe.a_tm1))]

        return rows

    def _names(self, quantities: Quantities) -> list[str]:
        def has(name: str) -> bool:
            needs = MEASUREMENTS[name].needs
            return needs is None or bool(getattr(quantities, needs))

        available = [name for name in MEASUREMENTS if has(name)]
        if self.quantities is None:
            return available
        for name in self.quantities:
            expected = f"what this agent and network have: {', '.join(available)}"
            require(name in available, "Diagnostics.quantities", name, expected)
        return list(self.quantities)


def _of_seed(measured: Any, i: int) -> Row:
    def value(leaf: np.ndarray) -> Any:
        return leaf[i] if leaf.ndim > 1 else float(leaf[i])

    return jax.tree.map(value, measured)
