"""Each measurement of one network of one seed: what it computes, and what it needs for that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import optax

from prune_rl.diagnostics.churn import policy_churn, value_churn
from prune_rl.diagnostics.dead_units import dead_units
from prune_rl.diagnostics.dormant import dormant_fraction
from prune_rl.diagnostics.gradient_covariance import gradient_correlation, gradient_covariance
from prune_rl.diagnostics.norms import parameter_norm, parameter_norms_by_tensor
from prune_rl.diagnostics.q_values import q_norm, q_target_variance, q_variance
from prune_rl.diagnostics.srank import srank
from prune_rl.learning.state import AgentState, Network, Params
from prune_rl.specs import Batch, Inputs

MATRIX, CHURN, VALIDATION = "gradient_covariance", "churn", "validation"
_CHUNK = 256  # observations that go through the network at once
Row = dict[str, Any]  # floats by name, dicts of floats by layer, and `MATRIX`


@dataclass(frozen=True)
class Measured:
    """What is measured of one network, of one seed and member.

    What measurements share is computed once inside jit.
    """

    settings: Any  # `suite.Diagnostics`
    quantities: Any  # `Quantities`, of which those asked for are there
    network: Network
    updated: Network  # one gradient step later, see `suite.Diagnostics.churn_batch_size`
    state: AgentState
    probe: Mapping[str, Any]  # by the names in `suite.BoundDiagnostics.draws`

    @cached_property
    def q_values(self) -> jax.Array:
        inputs = self.probe["values"].inputs
        values: jax.Array = self.quantities.q_values(self.network.params, inputs)
        return values

    @cached_property
    def updated_q_values(self) -> jax.Array:
        values: jax.Array = self.quantities.q_values(
            self.updated.params, self.probe["values"].inputs
        )
        return values

    def loss(self, params: Params, batch: Batch) -> jax.Array:
        losses: jax.Array = self.quantities.losses(params, self.state, batch)
        return losses.mean()

    @cached_property
    def mean_gradient(self) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(self.loss)(self.network.params, self.probe["values"])

    @property
    def gradients(self) -> Params:
        """Of the losses of single transitions, leaves (num_gradients, ...)."""
        alone = jax.tree.map(lambda leaf: leaf[:, None], self.probe["gradients"])
        return jax.vmap(jax.grad(self.loss), in_axes=(None, 0))(self.network.params, alone)

    @property
    def features(self) -> jax.Array:
        def features_of(inputs: Inputs) -> jax.Array:
            alone = jax.tree.map(lambda leaf: leaf[None], inputs)
            features: jax.Array = self.quantities.features(self.network.params, alone)
            return features[0]

        return jax.lax.map(features_of, self.probe["srank"], batch_size=_CHUNK)


class Measurement(NamedTuple):
    """How one is made, and of what."""

    compute: Callable[[Measured], Row]
    needs: str | None = None  # field of `Quantities`
    probes: tuple[str, ...] = ()  # what it is measured on, names in `suite.BoundDiagnostics.draws`


def _by_layer(name: str, measured: tuple[jax.Array, dict[str, jax.Array]]) -> Row:
    return {name: measured[0], f"{name}_by_layer": measured[1]}


def _q_target_variance(own: Measured) -> Row:
    targets = own.quantities.q_targets(own.state, own.probe["values"])
    return {"q_target_variance": q_target_variance(targets)}


def _parameter_norm(own: Measured) -> Row:
    params = own.network.params
    by_tensor = parameter_norms_by_tensor(params)
    return {"parameter_norm": parameter_norm(params), "parameter_norm_by_tensor": by_tensor}


def _dormant(own: Measured) -> Row:
    activations = own.quantities.activations(own.network.params, own.probe["dormant"])
    return _by_layer("dormant", dormant_fraction(activations, own.settings.dead_neurons_threshold))


def _dead_units(own: Measured) -> Row:
    return _by_layer("dead_units", dead_units(own.network.params, own.quantities.wiring))


def _gradient_covariance(own: Measured) -> Row:
    matrix = gradient_covariance(own.gradients)
    return {MATRIX: matrix, "gradient_correlation": gradient_correlation(matrix)}


def _churn(own: Measured) -> Row:
    values = own.q_values, own.updated_q_values
    row: Row = {"value_churn": value_churn(*values)}
    if own.q_values.shape[-1] > 1:  # of actions taken there is one value, and no best
        row["policy_churn"] = policy_churn(*values)
    return row


MEASUREMENTS = {
    "q_variance": Measurement(
        lambda own: {"q_variance": q_variance(own.q_values)}, "q_values", ("values",)
    ),
    "q_target_variance": Measurement(_q_target_variance, "q_targets", ("values",)),
    "q_norm": Measurement(lambda own: {"q_norm": q_norm(own.q_values)}, "q_values", ("values",)),
    "parameter_norm": Measurement(_parameter_norm),
    "srank": Measurement(
        lambda own: {"srank": srank(own.features, own.settings.srank_delta)}, "features", ("srank",)
    ),
    "dormant": Measurement(_dormant, "activations", ("dormant",)),
    "dead_units": Measurement(_dead_units, "wiring"),
    MATRIX: Measurement(_gradient_covariance, "losses", ("gradients",)),
    "mask_churn": Measurement(lambda own: {"mask_churn": own.network.opt_state.churn}),
    "churn": Measurement(_churn, "q_values", ("values", CHURN)),
    "loss": Measurement(lambda own: {"probe_loss": own.mean_gradient[0]}, "losses", ("values",)),
    "validation_loss": Measurement(
        lambda own: {"validation_loss": own.loss(own.network.params, own.probe[VALIDATION])},
        "losses",
        (VALIDATION,),
    ),
    "grad_norm": Measurement(
        lambda own: {"probe_grad_norm": optax.tree.norm(own.mean_gradient[1])},
        "losses",
        ("values",),
    ),
}
