"""Which diagnostics a run measures, on which transitions, and how often."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax

from prune_rl.diagnostics.dead_units import dead_units
from prune_rl.diagnostics.dormant import dormant_fraction
from prune_rl.diagnostics.gradient_covariance import gradient_correlation, gradient_covariance
from prune_rl.diagnostics.norms import parameter_norm, parameter_norms_by_tensor
from prune_rl.diagnostics.q_values import q_norm, q_target_variance, q_variance
from prune_rl.diagnostics.srank import srank
from prune_rl.errors import require, require_choice
from prune_rl.learning.learner import AgentState, Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import map_seeds
from prune_rl.specs import Batch, Draw, Probe

MATRIX = "gradient_covariance"
_CHUNK = 256  # observations that go through the network at once
Row = dict[str, Any]


@dataclass(frozen=True)
class _Seed:
    """What is measured of one seed; what measurements share is computed once inside jit."""

    settings: "Diagnostics"
    quantities: Any  # `Quantities`, of which those asked for are there
    state: AgentState
    probe: Mapping[str, Any]  # by the names in `BoundDiagnostics.draws`

    @cached_property
    def q_values(self) -> jax.Array:
        values: jax.Array = self.quantities.q_values(self.state.params, self.probe["values"].s_tm1)
        return values

    def loss(self, params: Any, batch: Batch) -> jax.Array:
        losses: jax.Array = self.quantities.losses(params, self.state, batch)
        return losses.mean()

    @cached_property
    def mean_gradient(self) -> tuple[jax.Array, Any]:
        return jax.value_and_grad(self.loss)(self.state.params, self.probe["values"])

    @property
    def gradients(self) -> Any:
        """Of the losses of single transitions, leaves (num_gradients, ...)."""
        alone = jax.tree.map(lambda leaf: leaf[:, None], self.probe["gradients"])
        return jax.vmap(jax.grad(self.loss), in_axes=(None, 0))(self.state.params, alone)

    @property
    def features(self) -> jax.Array:
        def features_of(observation: jax.Array) -> jax.Array:
            features: jax.Array = self.quantities.features(self.state.params, observation[None])
            return features[0]

        return jax.lax.map(features_of, self.probe["srank"], batch_size=_CHUNK)


class _Measurement(NamedTuple):
    compute: Callable[[_Seed], Row]
    needs: str | None = None  # field of `Quantities`
    probe: str | None = None  # what it is measured on, a name in `BoundDiagnostics.draws`


def _with_layers(name: str, measured: tuple[jax.Array, dict[str, jax.Array]]) -> Row:
    return {name: measured[0], f"{name}_by_layer": measured[1]}


def _q_target_variance(seed: _Seed) -> Row:
    targets = seed.quantities.q_targets(seed.state, seed.probe["values"])
    return {"q_target_variance": q_target_variance(targets)}


def _parameter_norm(seed: _Seed) -> Row:
    params = seed.state.params
    norms = parameter_norm(params), parameter_norms_by_tensor(params)
    return _with_layers("parameter_norm", norms)


def _dormant(seed: _Seed) -> Row:
    activations = seed.quantities.activations(seed.state.params, seed.probe["dormant"])
    threshold = seed.settings.dead_neurons_threshold
    return _with_layers("dormant", dormant_fraction(activations, threshold))


def _dead_units(seed: _Seed) -> Row:
    return _with_layers("dead_units", dead_units(seed.state.params, seed.quantities.wiring))


def _gradient_covariance(seed: _Seed) -> Row:
    matrix = gradient_covariance(seed.gradients)
    return {MATRIX: matrix, "gradient_correlation": gradient_correlation(matrix)}


MEASUREMENTS = {
    "q_variance": _Measurement(
        lambda seed: {"q_variance": q_variance(seed.q_values)}, "q_values", "values"
    ),
    "q_target_variance": _Measurement(_q_target_variance, "q_targets", "values"),
    "q_norm": _Measurement(lambda seed: {"q_norm": q_norm(seed.q_values)}, "q_values", "values"),
    "parameter_norm": _Measurement(_parameter_norm),
    "srank": _Measurement(
        lambda seed: {"srank": srank(seed.features, seed.settings.srank_delta)}, "features", "srank"
    ),
    "dormant": _Measurement(_dormant, "activations", "dormant"),
    "dead_units": _Measurement(_dead_units, "wiring"),
    MATRIX: _Measurement(_gradient_covariance, "losses", "gradients"),
    "mask_churn": _Measurement(lambda seed: {"mask_churn": seed.state.opt_state.churn}),
    "loss": _Measurement(lambda seed: {"probe_loss": seed.mean_gradient[0]}, "losses", "values"),
    "grad_norm": _Measurement(
        lambda seed: {"probe_grad_norm": optax.tree.norm(seed.mean_gradient[1])}, "losses", "values"
    ),
}


class BoundDiagnostics(NamedTuple):
    """The measurement of one agent.

    Attributes:
        draws: what it wants from the replay, by name.
        rows: (state, the answers by name, each with the leading seed axis) -> a row per seed.
            Rows hold floats by name, dicts of floats by layer, and `MATRIX` as a (k, k) array.
    """

    draws: Mapping[str, Draw]
    rows: Callable[[AgentState, Mapping[str, Probe]], list[Row]]


@gin.configurable
@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The paper's measurements (figures 11 and 13) and a few more, during a run.

    They see transitions of each seed's replay, drawn anew at every measurement and apart from what
    training samples: one batch for srank, one for dormancy, one for the gradient covariance and
    one for values, targets, loss and gradient norm together.

    Attributes:
        quantities: names among `MEASUREMENTS`; None for all that the agent has.
        period: iterations between measurements, which come after the training phase.
        fixed_probe: the transitions of the first measurement serve all later ones instead, and
            lie in the checkpoints (81 MB of each seed on Atari).
        probe_size: transitions for values, targets, loss and gradient norm.
        srank_probe_size: observations for srank, whose rank it bounds: never fewer are drawn than
            there are features. 2,048 as in google-research's coherence_compute.py.
        dormant_probe_size: observations for dormancy; 256 as in Dopamine's labs/redo.
        num_gradients: transitions that the gradient covariance compares, k of its k x k.
        dead_neurons_threshold: tau of the dormant neurons (Sokar et al. 2023).
        srank_delta: delta of the effective rank (Kumar et al. 2021).

    Raises:
        ConfigError: a setting is wrong; names the gin binding.
    """

    quantities: Sequence[str] | None = None
    period: int = 1
    fixed_probe: bool = False
    probe_size: int = 256
    srank_probe_size: int = 2048
    dormant_probe_size: int = 256
    num_gradients: int = 32
    dead_neurons_threshold: float = 0.025
    srank_delta: float = 0.01

    def __post_init__(self) -> None:
        for name in self.quantities or ():
            require_choice("Diagnostics.quantities", name, MEASUREMENTS)
        sizes = ("probe_size", "srank_probe_size", "dormant_probe_size", "num_gradients")
        for name in ("period", *sizes):
            value = getattr(self, name)
            valid = type(value) is int and value >= 1
            require(valid, f"Diagnostics.{name}", value, "an integer >= 1")
        fixed, expected = self.fixed_probe, "True or False"
        require(isinstance(fixed, bool), "Diagnostics.fixed_probe", fixed, expected)
        threshold, delta = self.dead_neurons_threshold, self.srank_delta
        require(threshold >= 0, "Diagnostics.dead_neurons_threshold", threshold, "a number >= 0")
        require(0 < delta < 1, "Diagnostics.srank_delta", delta, "a number in (0, 1), as 0.01")

    def bind(self, learner: Learner) -> BoundDiagnostics:
        """The compiled measurement of an agent.

        Raises:
            ConfigError: the agent lacks a quantity.
        """
        quantities = learner.quantities
        names = self._names(quantities)

        def measure(state: AgentState, probe: Mapping[str, Any]) -> Row:
            seed = _Seed(self, quantities, state, probe)
            row: Row = {}
            for name in names:
                row |= MEASUREMENTS[name].compute(seed)
            return row

        # One seed after another: per-sample gradients of all at once may not fit.
        of_seeds = map_seeds(jax.jit(measure), "unroll", (learner.state_axes, 0), 0)

        def rows(state: AgentState, probe: Mapping[str, Probe]) -> list[Row]:
            measured = jax.device_get(of_seeds(state, jax.tree.map(jnp.asarray, dict(probe))))
            return [_of_seed(measured, i) for i in range(len(state.keys))]

        draws = self._draws(quantities)
        asked = {MEASUREMENTS[name].probe for name in names}
        return BoundDiagnostics({name: draws[name] for name in draws if name in asked}, rows)

    def _draws(self, quantities: Quantities) -> dict[str, Draw]:
        srank_size = max(self.srank_probe_size, _num_features(quantities))
        return {
            "values": Draw(self.probe_size),
            "srank": Draw(srank_size, observations_only=True),
            "dormant": Draw(self.dormant_probe_size, observations_only=True),
            "gradients": Draw(self.num_gradients),
        }

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


def _num_features(quantities: Quantities) -> int:
    if quantities.features is None:
        return 0
    observations = jax.ShapeDtypeStruct((1, *quantities.observation_shape), jnp.uint8)
    params = jax.eval_shape(quantities.init_params, jax.random.PRNGKey(0))
    return jax.eval_shape(quantities.features, params, observations).shape[-1]


def _of_seed(measured: Any, i: int) -> Row:
    def value(leaf: np.ndarray) -> Any:
        return leaf[i] if leaf.ndim > 1 else float(leaf[i])

    return jax.tree.map(value, measured)
