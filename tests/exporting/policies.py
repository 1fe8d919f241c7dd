"""Small networks of every kind that can be exported, with holes, and what flax says they answer."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from prune_rl.environments.scaled import Scale
from prune_rl.exporting.numpy_policy import Policy
from prune_rl.exporting.walk import layers_of
from prune_rl.learning.acting_rules import ActingRules
from prune_rl.learning.policies import CLIPPED, DETERMINISTIC, SQUASHED, ActionBox
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.simba import SimBaTorso
from prune_rl.specs import ObservationSpec

IMAGES = ObservationSpec((11, 9, 2), np.uint8, stack_size=2)
VECTORS = ObservationSpec((5,), np.float32)
BOX = ActionBox(np.array([0.5, -1, 0], np.float32), np.array([2, 1, 0.25], np.float32))
SCALE = Scale(np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5))
SMALL = (2, 3, 3)


def _actor(torso: Any, choice: Any, **settings: Any) -> ActingRules:
    return ActingRules(PolicyNetwork(torso, action_size=3, **settings), choice, BOX)


class Case(NamedTuple):
    """What acts, what it sees, and the scale of that."""

    acts_with: Any
    spec: ObservationSpec
    scale: Scale | None = None

    @property
    def network(self) -> Any:
        own = self.acts_with
        return own if isinstance(own, QNetwork) else own.network


CASES = {
    "nature": Case(QNetwork(NatureTorso(), 4), IMAGES),
    "nature, pooled": Case(QNetwork(NatureTorso(global_average_pooling=True), 4), IMAGES),
    "nature, noisy dueling C51": Case(
        QNetwork(NatureTorso(noisy=True), 4, num_atoms=5, dueling=True, noisy=True), IMAGES
    ),
    "impala": Case(QNetwork(ImpalaTorso(stacks=SMALL), 4), IMAGES),
    "impala, normalised C51": Case(
        QNetwork(ImpalaTorso(stacks=SMALL), 4, num_atoms=5, normalize_representation=True), IMAGES
    ),
    "minatar": Case(QNetwork(MinAtarTorso(), 4), IMAGES),
    "minatar, normalised dueling": Case(
        QNetwork(MinAtarTorso(), 4, dueling=True, normalize_representation=True), IMAGES
    ),
    "mlp": Case(_actor(MLPTorso(units=7), SQUASHED), VECTORS),
    "mlp, deterministic": Case(
        _actor(MLPTorso(units=7, dropout=0.5), DETERMINISTIC, spread="none", bounded=True),
        VECTORS,
        SCALE,
    ),
    "mlp, normalised": Case(
        _actor(MLPTorso(units=7, layer_norm=True, spectral_norm=True), CLIPPED, spread="free"),
        VECTORS,
        SCALE,
    ),
    "mlp, normalised last": Case(
        _actor(MLPTorso(units=7, layer_norm=True, layer_norm_last=True, dropout=0.5), SQUASHED),
        VECTORS,
    ),
    "mlp, spectral, normalised last": Case(
        _actor(
            MLPTorso(units=7, layer_norm=True, layer_norm_last=True, spectral_norm=True), CLIPPED
        ),
        VECTORS,
    ),
    "mlp, last of no normalisation": Case(
        _actor(MLPTorso(units=7, layer_norm_last=True), SQUASHED), VECTORS
    ),
    "simba": Case(_actor(SimBaTorso(units=4, num_blocks=2), SQUASHED), VECTORS),
}


def shapes_of(case: Case) -> Any:
    """Of the parameters."""
    example = np.zeros(case.spec.shape, case.spec.dtype)
    return jax.eval_shape(case.network.init, jax.random.PRNGKey(0), example)


def random_params(case: Case, rng: np.random.Generator) -> Any:
    """Parameters with holes: weights, all that leads into some units, all that leads out of some.

    Biases of either sign, so that units without inputs are constants or silent.
    """
    holes = rng.uniform(0, 0.6, 3)

    def draw(path: Any, leaf: Any) -> np.ndarray:
        x = rng.normal(0, leaf.size**-0.25, leaf.shape)
        if leaf.ndim > 1:
            x[rng.random(leaf.shape) < holes[0] + 0.3] = 0
            x[..., rng.random(leaf.shape[-1]) < holes[1]] = 0
            x[..., rng.random(leaf.shape[-2]) < holes[2], :] = 0
            if rng.random() < 0.2:
                x = -np.abs(x)
        return x.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(case))


def observations(case: Case, rng: np.random.Generator, count: int = 3) -> np.ndarray:
    """(count, *observation)."""
    shape = (count, *case.spec.shape)
    if case.spec.is_image:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.normal(0, 2, shape).astype(np.float32)


def answers_of_flax(case: Case, params: Any, batch: np.ndarray) -> np.ndarray:
    """(B, A): action values, or actions as evaluations play them."""
    seen = case.scale(batch) if case.scale else batch
    if id(case) not in _COMPILED:
        _COMPILED[id(case)] = _compiled(case)
    return np.asarray(_COMPILED[id(case)](params, seen))


_COMPILED: dict[int, Any] = {}  # CASES live as long as this


def _compiled(case: Case) -> Any:
    def of_one(params: Any, observation: Any) -> Any:
        if isinstance(case.acts_with, QNetwork):
            return case.network.expectation(case.network.apply(params, observation))
        key = jax.random.PRNGKey(0)
        return case.acts_with.act_eval({"actor": params}, key, observation, 0.0)[0]

    return jax.jit(jax.vmap(of_one, (None, 0)))


def full_layers(case: Case, params: Any) -> list[Any]:
    """Of the whole network, zeros included."""
    return layers_of(case.acts_with, params, case.spec, case.scale)


def num_inputs(case: Case) -> int:
    """Channels of the observation."""
    return case.spec.stack_size * case.spec.frame_shape[-1]


def about(case: Case) -> dict[str, Any]:
    """As much of policy.json as a policy needs."""
    numbered = isinstance(case.acts_with, QNetwork)
    form = {"shape": list(case.spec.shape), "dtype": np.dtype(case.spec.dtype).name}
    actions = {"kind": "numbered", "size": 4} if numbered else {"kind": "box", "size": 3}
    return {"observation": form, "actions": actions}


def of_dtype(layers: Any, dtype: Any) -> Any:
    """The layers with weights of that dtype; what is float64 stays so."""
    return [replace(x, arrays={k: _as(v, dtype) for k, v in x.arrays.items()}) for x in layers]


def _as(array: np.ndarray, dtype: Any) -> np.ndarray:
    return array.astype(dtype) if array.dtype == np.float32 else array


def answers(case: Case, layers: Any, batch: np.ndarray) -> np.ndarray:
    """(B, A): what `answers_of_flax` gives, by NumPy, of layers that are written nowhere."""
    policy = Policy(about(case), [vars(x) for x in layers])
    numbered = isinstance(case.acts_with, QNetwork)
    result: np.ndarray = policy.values(batch) if numbered else policy.act(batch)
    return result
