"""Which diagnostics a run measures, on which transitions, and how often."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from prune_rl.diagnostics.measurements import CHURN, MEASUREMENTS, VALIDATION, Measured, Row
from prune_rl.errors import require
from prune_rl.learning.learner import Learner
from prune_rl.learning.quantities import Quantities
from prune_rl.learning.seed_axis import split_seeds
from prune_rl.learning.state import AgentState, AgentStates, Network
from prune_rl.replay.ram import require_room
from prune_rl.settings import Count, NotNegative, OneOf, Range, checked
from prune_rl.specs import Draw, Probe, bytes_of

_HELD_OUT = "fixed data of which some are held out (Dataset.held_out); here nothing is"
_SIZES = (  # settings that are numbers of transitions
    *("probe_size", "srank_probe_size", "dormant_probe_size", "churn_batch_size"),
    "num_gradients",
)


class BoundDiagnostics(NamedTuple):
    """The measurement of one agent.

    Attributes:
        period: see `Diagnostics`.
        fixed_probe: likewise.
        draws: what it wants from the source, by name.
        rows: (state, the answers by name, each with the leading seed axis) -> a row per seed.
            Rows hold floats by name, dicts of floats by layer, and `MATRIX` as a (k, k) array.
            Names are of the measurement alone for an agent of one network, else as
            'critic/srank'; of a network with members they are means over these.
    """

    period: int
    fixed_probe: bool
    draws: Mapping[str, Draw]
    rows: Callable[[AgentStates, Mapping[str, Probe]], list[Row]]


@gin.configurable
@checked
@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The paper's measurements (figures 11 and 13) and a few more, during a run.

    They see transitions of each seed's source, drawn anew at every measurement and apart from what
    training samples: one batch for srank, one for dormancy, one for the gradient covariance, one
    to update on for churn, and one for values, targets, loss and gradient norm together. The
    validation loss is that of transitions that are held out of fixed data (`Dataset.held_out`).

    Attributes:
        quantities: names among `MEASUREMENTS`; None for all that the agent and its source have.
        period: iterations between measurements, which come after the training phase.
        fixed_probe: the transitions of the first measurement serve all later ones instead, and
            lie in the checkpoints (81 MB of each seed on Atari).
        probe_size: transitions for values, targets, loss and gradient norm; and held-out ones for
            the validation loss.
        srank_probe_size: observations for srank, whose rank it bounds: never fewer are drawn than
            there are features. 2,048 as in google-research's coherence_compute.py.
        dormant_probe_size: observations for dormancy; 256 as in Dopamine's labs/redo.
        churn_batch_size: transitions of the one gradient step whose changes of the values are
            churn; that step is of the agent's own kind, and forgotten. One that remakes the masks
            counts as it is.
        num_gradients: transitions that the gradient covariance compares, k of its k x k.
        dead_neurons_threshold: tau of the dormant neurons (Sokar et al. 2023).
        srank_delta: delta of the effective rank (Kumar et al. 2021).

    Raises:
        ConfigError: a setting is wrong; names the gin binding.
    """

    quantities: Sequence[Annotated[str, OneOf(MEASUREMENTS)]] | None = None
    period: Count = 1
    fixed_probe: bool = False
    probe_size: Count = 256
    srank_probe_size: Count = 2048
    dormant_probe_size: Count = 256
    churn_batch_size: Count = 32
    num_gradients: Count = 32
    dead_neurons_threshold: NotNegative = 0.025
    srank_delta: Annotated[float, Range(above=0, below=1), "a number in (0, 1), as 0.01"] = 0.01

    def bind(self, learner: Learner, *, has_held_out: bool = False) -> BoundDiagnostics:
        """The compiled measurement of an agent.

        Args:
            learner: of the agent.
            has_held_out: whether its source has transitions that are never learned from.

        Raises:
            ConfigError: the agent or its source lacks a quantity.
        """
        names = self._names(learner.quantities, has_held_out)

        def measure(state: AgentState, probe: Mapping[str, Probe]) -> Row:
            row: Row = {}
            for network in learner.quantities:
                own = self._measure(learner, network, names[network], state, probe)
                alone = len(learner.quantities) == 1
                row |= own if alone else {f"{network}/{name}": own[name] for name in own}
            return row

        compiled = jax.jit(measure)

        # One seed after another: per-sample gradients of all at once may not fit.
        def rows(states: AgentStates, probe: Mapping[str, Probe]) -> list[Row]:
            own = split_seeds(states, learner.state_axes)
            shown = split_seeds(dict(probe), 0) if probe else [{} for _ in own]
            measured = [jax.device_get(compiled(*pair)) for pair in zip(own, shown, strict=True)]
            return jax.tree.map(lambda leaf: leaf if leaf.ndim else float(leaf), measured)

        self._require_room(learner.quantities)
        draws = self._draws(learner.quantities)
        asked = {x for own in names.values() for name in own for x in MEASUREMENTS[name].probes}
        draws = {name: draws[name] for name in draws if name in asked}
        return BoundDiagnostics(self.period, self.fixed_probe, draws, rows)

    def _require_room(self, networks: Mapping[str, Quantities]) -> None:
        """Raises `ConfigError` for a probe that the machine could not hold, of one seed alone."""
        for own in networks.values():
            params = jax.eval_shape(own.init_params, jax.random.PRNGKey(0))
            gradient = 4 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
            for name in _SIZES:
                size = getattr(self, name)
                each = gradient + 4 * size if name == "num_gradients" else bytes_of(own.inputs)
                require_room(f"Diagnostics.{name}", size, size * each)

    def _measure(
        self,
        learner: Learner,
        name: str,
        measurements: Sequence[str],
        state: AgentState,
        probe: Mapping[str, Any],
    ) -> Row:
        """The measurements of one network of one seed, means over its members."""
        quantities = learner.quantities[name]
        network = updated = state.networks[name]
        if CHURN in measurements:
            updated = learner.one.update(state, probe[CHURN])[0].networks[name]

        def of_member(network: Network, updated: Network) -> Row:
            own, row = Measured(self, quantities, network, updated, state, probe), Row()
            for measurement in measurements:
                row |= MEASUREMENTS[measurement].compute(own)
            return row

        if learner.members[name] is None:
            return of_member(network, updated)
        # The axes of members are those of seeds: first everywhere, but for the shared count.
        axes = learner.state_axes.networks[name]
        of_members = jax.vmap(of_member, in_axes=(axes, axes))(network, updated)
        return jax.tree.map(lambda leaf: leaf.mean(axis=0), of_members)

    def _draws(self, networks: Mapping[str, Quantities]) -> dict[str, Draw]:
        most_features = max(_num_features(own) for own in networks.values())
        return {
            "values": Draw(self.probe_size),
            "srank": Draw(max(self.srank_probe_size, most_features), inputs_only=True),
            "dormant": Draw(self.dormant_probe_size, inputs_only=True),
            "gradients": Draw(self.num_gradients),
            CHURN: Draw(self.churn_batch_size),
            VALIDATION: Draw(self.probe_size, held_out=True),
        }

    def _names(
        self, networks: Mapping[str, Quantities], has_held_out: bool
    ) -> dict[str, list[str]]:
        """The measurements of each network: those asked for that it has."""

        def has(quantities: Quantities, name: str) -> bool:
            needs = MEASUREMENTS[name].needs
            return needs is None or bool(getattr(quantities, needs))

        available = [x for x in MEASUREMENTS if any(has(own, x) for own in networks.values())]
        there = [x for x in available if has_held_out or VALIDATION not in MEASUREMENTS[x].probes]
        asked = there if self.quantities is None else list(self.quantities)
        for name in asked:
            expected = f"what this agent and network have: {', '.join(available)}"
            require(name in available, "Diagnostics.quantities", name, expected)
            require(name in there, "Diagnostics.quantities", name, _HELD_OUT)
        return {network: [x for x in asked if has(own, x)] for network, own in networks.items()}


def _num_features(quantities: Quantities) -> int:
    features = quantities.features
    if features is None:
        return 0
    inputs = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), quantities.inputs)
    key = jax.random.PRNGKey(0)
    return jax.eval_shape(lambda: features(quantities.init_params(key), inputs)).shape[-1]
