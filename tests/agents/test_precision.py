"""Updates of each precision: in what they multiply, and what does not depend on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.extend import core

from prune_rl.agents.cql import CQLAgent
from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.errors import ConfigError
from prune_rl.networks.precision import PRECISIONS
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso

SHAPE = (1, 10, 10, 2)
AGENTS = {
    "dqn": (DQNAgent, {}),
    "c51": (RainbowAgent, {}),
    "full": (RainbowAgent, {"double_dqn": True, "dueling": True, "noisy": True}),
    "cql": (CQLAgent, {"num_atoms": 51}),
}
TORSOS = [NatureTorso(), ImpalaTorso(stacks=(2, 2, 2)), MinAtarTorso()]
HIGHEST, HIGH = (2 * (x,) for x in (lax.Precision.HIGHEST, lax.Precision.HIGH))


class Plain(nn.Module):
    """A torso that knows no dtype."""


def products(jaxpr):
    """Every convolution and matrix product below, as equations."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda x: isinstance(x, (core.Jaxpr, core.ClosedJaxpr))
        ):
            if isinstance(inner, core.ClosedJaxpr):
                inner = inner.jaxpr
            if isinstance(inner, core.Jaxpr):
                yield from products(inner)


def kinds(learner, batch):
    """(dtypes of the factors, precision) of each product of an update and of an action."""
    state = jax.eval_shape(lambda: learner.init([0])).trees[0]
    batch = jax.tree.map(lambda x: x[0], batch)
    update = jax.make_jaxpr(learner.one.update)(state, batch)
    act = jax.make_jaxpr(learner.one.act)(state.params, state.keys, batch.s_t[0], 0.1)
    return [
        ({x.aval.dtype.name for x in equation.invars}, equation.params["precision"])
        for own in (update, act)
        for equation in products(own.jaxpr)
    ]


@pytest.mark.parametrize("torso", TORSOS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("name", AGENTS)
def test_every_product_of_a_step_has_the_precision(name, torso, make_learner, make_batch):
    kind, settings = AGENTS[name]
    batch, found = make_batch(1, shape=SHAPE), {}
    if name != "dqn":
        batch = batch._replace(probabilities=jnp.full((1, 8), 0.1))
    for precision in PRECISIONS:
        learner = make_learner(
            "unroll", kind=kind, torso=torso, shape=SHAPE, precision=precision, **settings
        )
        found[precision] = kinds(learner, batch)
    assert all(own == ({"float32"}, HIGHEST) for own in found["fp32"])
    # Distributions and expectations of them are float32 however the network computes.
    others = [own for own in found["tf32"] if own != ({"float32"}, HIGH)]
    assert all(own == ({"float32"}, HIGHEST) for own in others)
    atoms = sum(own[0] == {"float32"} and own[1] == HIGHEST for own in found["bf16"])
    assert atoms == len(others)
    assert bool(atoms) == (name != "dqn")
    wide = sum(own[0] != {"bfloat16"} for own in found["bf16"]) - atoms
    streams = 2 if "dueling" in settings else 1
    noisy_layers = streams + 1 if "noisy" in settings else streams
    assert wide == 2 * noisy_layers  # of the layers that answer float32, going backwards


@pytest.mark.parametrize("name", AGENTS)
def test_on_cpu_tf32_is_fp32_to_the_bit_and_bf16_is_near(name, make_learner, make_batch):
    if jax.default_backend() != "cpu":
        pytest.skip("of CPUs")
    kind, settings = AGENTS[name]
    states = {}
    for precision in PRECISIONS:
        learner = make_learner(
            kind=kind, torso=MinAtarTorso(), shape=SHAPE, precision=precision, **settings
        )
        states[precision] = learner.init([3, 4])
        for seed in range(3):
            batch = make_batch(2, seed, shape=SHAPE, prioritized=name == "full")
            states[precision], _, _ = learner.update(states[precision], batch)
    leaves = {name: jax.tree.leaves(own) for name, own in states.items()}
    assert all(map(np.array_equal, leaves["fp32"], leaves["tf32"]))
    assert [x.dtype for x in leaves["fp32"]] == [x.dtype for x in leaves["bf16"]]
    exact, rounded = (jax.tree.leaves(states[x].params) for x in ("fp32", "bf16"))
    assert not all(map(np.array_equal, exact, rounded))
    for one, other in zip(exact, rounded, strict=True):
        np.testing.assert_allclose(one, other, atol=2 * 3 * 6.25e-5)  # Adam's steps, at most


def test_bf16_needs_a_torso_with_a_dtype():
    with pytest.raises(ConfigError, match=r"^DQNAgent\.precision='bf16': .*no `dtype`"):
        DQNAgent(torso=Plain(), precision="bf16")
    assert DQNAgent(torso=Plain(), precision="tf32").precision == "tf32"


def test_the_dtype_is_the_agents_to_set():
    with pytest.raises(ConfigError, match=r"^DQNAgent\.torso="):
        DQNAgent(torso=NatureTorso(dtype=jnp.bfloat16))
