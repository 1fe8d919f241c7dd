"""First weights of every layer, against laws worked out from its fans.

Sources: Dopamine 4.1.2, dopamine/jax/networks.py. Xavier-uniform (NatureDQNNetwork, ImpalaEncoder):
±sqrt(6 / (inputs + outputs)). 'rainbow' (RainbowNetwork): variance_scaling(1/sqrt(3), 'fan_in',
'uniform'), ±sqrt(sqrt(3) / inputs). Residual convolutions: flax's default, a normal of variance
1 / inputs cut at twice its parent's deviation. Noisy layers (NoisyNetwork): ±1/sqrt(inputs), sigmas
0.1/sqrt(inputs). A fan of a convolution is its kernel's area times its channels.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from scipy import stats

from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.seed_axis import split_seeds
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.specs import Discrete, ObservationSpec

pytestmark = pytest.mark.usefixtures("quick_compiling")
ATARI, MINATAR = (4, 84, 84, 1), (1, 10, 10, 4)
ACTIONS, ATOMS = 6, 51
CHOSEN, RESIDUAL, DENSE = "chosen", "residual", "dense"  # DENSE: as chosen, or noisy

# Layer: shape of the kernel, law, inputs and outputs of its fans.
NATURE = {
    "torso/Conv_0": ((8, 8, 4, 32), CHOSEN, 256, 2048),
    "torso/Conv_1": ((4, 4, 32, 64), CHOSEN, 512, 1024),
    "torso/Conv_2": ((3, 3, 64, 64), CHOSEN, 576, 576),
    "torso/Dense_0": ((7744, 512), DENSE, 7744, 512),
}
_STACK = "torso/ImpalaStack_{}/"
_RESIDUAL = [f"ResidualBlock_{i}/Conv_{j}" for i in (0, 1) for j in (0, 1)]
IMPALA = {
    _STACK.format(0) + "Conv_0": ((3, 3, 4, 16), CHOSEN, 36, 144),
    _STACK.format(1) + "Conv_0": ((3, 3, 16, 32), CHOSEN, 144, 288),
    _STACK.format(2) + "Conv_0": ((3, 3, 32, 32), CHOSEN, 288, 288),
    **{_STACK.format(0) + x: ((3, 3, 16, 16), RESIDUAL, 144, 144) for x in _RESIDUAL},
    **{_STACK.format(1) + x: ((3, 3, 32, 32), RESIDUAL, 288, 288) for x in _RESIDUAL},
    **{_STACK.format(2) + x: ((3, 3, 32, 32), RESIDUAL, 288, 288) for x in _RESIDUAL},
    "torso/Dense_0": ((3872, 512), DENSE, 3872, 512),
}
MINATAR_LAYERS = {
    "torso/Conv_0": ((3, 3, 4, 16), CHOSEN, 36, 144),
    "torso/Dense_0": ((1024, 128), DENSE, 1024, 128),
}
MINATAR_TWICE = {
    "torso/Conv_0": ((3, 3, 4, 32), CHOSEN, 36, 288),
    "torso/Dense_0": ((2048, 128), DENSE, 2048, 128),
}
TORSOS = {
    "nature": (NatureTorso, {}, ATARI, NATURE, 512),
    "impala": (ImpalaTorso, {}, ATARI, IMPALA, 512),
    "minatar": (MinAtarTorso, {}, MINATAR, MINATAR_LAYERS, 128),
    "minatar_twice_as_wide": (MinAtarTorso, {"width": 2}, MINATAR, MINATAR_TWICE, 128),
}
# Names, and outputs of the last layers: of 6 actions, or of them and 51 atoms.
HEADS = {
    "single": ({}, {"head": 6}),
    "dueling": ({"num_atoms": ATOMS, "dueling": True}, {"advantage": 306, "value": 51}),
    "noisy": ({"num_atoms": ATOMS, "noisy": True}, {"head": 306}),
    "noisy_dueling": ({"dueling": True, "noisy": True}, {"advantage": 6, "value": 1}),
}
INITIALIZERS = ("xavier_uniform", "rainbow")
OTHER = {"xavier_uniform": "rainbow", "rainbow": "xavier_uniform"}


def _layers(torso, head):
    _, _, _, layers, features = TORSOS[torso]
    last = {name: ((features, n), DENSE, features, n) for name, n in HEADS[head][1].items()}
    return layers, last


def _bound(kernel_init, inputs, outputs):
    if kernel_init == "xavier_uniform":
        return math.sqrt(6 / (inputs + outputs))
    return math.sqrt(math.sqrt(3) / inputs)


def _expect_uniform(values, bound):
    """Fills [-bound, bound] evenly; of small tensors little more can be said than that."""
    _expect_law(values, stats.uniform(-bound, 2 * bound))
    largest = abs(values).max()
    assert largest <= bound * (1 + 1e-6)
    assert largest >= bound * (1 - 12 / values.size)


def _expect_truncated_normal(values, deviation):
    """A normal cut at twice its parent's deviation, so widened that it keeps `deviation`."""
    parent = deviation / 0.87962566103423978
    _expect_law(values, stats.truncnorm(-2, 2, scale=parent))
    assert 2 * parent * 0.97 < abs(values).max() <= 2 * parent * (1 + 1e-6)


def _expect_law(values, law):
    """Kolmogorov and Smirnov's test on 20,000 values, the variance on all of them.

    Kurtosis is -1.2 of a uniform law, -0.63 of the truncated normal one, 0 of a normal one.
    """
    values = np.asarray(values, np.float64).ravel()
    some = values[:: max(1, values.size // 20_000)]
    assert len(np.unique(some)) > 0.98 * len(some)  # none repeated along an axis
    assert stats.kstest(some, law.cdf).pvalue > 1e-4
    root = math.sqrt(values.size)
    assert abs(values.mean()) < 4.5 * law.std() / root
    assert values.var() == pytest.approx(law.var(), rel=5 / root)
    if values.size > 500:
        kurtosis = float(law.stats("k"))
        assert stats.kurtosis(values) == pytest.approx(kurtosis, abs=0.25)
    if values.size > 4000:
        assert stats.kurtosis(values) == pytest.approx(kurtosis, abs=0.1)


def _expect_layer(own, spec, kernel_init, noisy):
    shape, law, inputs, outputs = spec
    assert own["kernel"].shape == shape
    units = shape[-1:]
    if law == DENSE and noisy:
        assert set(own) == {"kernel", "bias", "kernel_sigma", "bias_sigma"}
        bound = 1 / math.sqrt(inputs)
        _expect_uniform(own["kernel"], bound)
        _expect_uniform(own["bias"], bound)
        for name, expected in (("kernel_sigma", shape), ("bias_sigma", units)):
            assert own[name].shape == expected
            np.testing.assert_allclose(own[name], 0.1 / math.sqrt(inputs), rtol=1e-6)
        return
    assert set(own) == {"kernel", "bias"}
    assert own["bias"].shape == units
    assert not own["bias"].any()
    if law == RESIDUAL:
        _expect_truncated_normal(own["kernel"], 1 / math.sqrt(inputs))
    else:
        _expect_uniform(own["kernel"], _bound(kernel_init, inputs, outputs))


def _expect_network(variables, torso, head, kernel_init, head_init):
    noisy = HEADS[head][0].get("noisy", False)
    leaves = flatten_dict(jax.device_get(variables["params"]), sep="/")
    got = {}
    for path, leaf in leaves.items():
        layer, _, name = path.rpartition("/")
        got.setdefault(layer, {})[name] = leaf
    layers, last = _layers(torso, head)
    assert set(got) == set(layers) | set(last)
    for layer, spec in layers.items():
        _expect_layer(got[layer], spec, kernel_init, noisy)
    for layer, spec in last.items():
        _expect_layer(got[layer], spec, head_init, noisy)
    _expect_no_two_alike(got)


def _expect_no_two_alike(layers):
    """Layers drawn from one key would hold the same numbers, but for their scales."""
    starts = {}
    for layer, own in layers.items():
        first = own["kernel"].ravel()[:6] / abs(own["kernel"]).max()
        assert not any(np.allclose(first, other, atol=1e-2) for other in starts.values()), layer
        starts[layer] = first


def _cases():
    """All of MinAtar; of the large networks every head once, and both initialisers in turn."""
    for torso, (i, head), (j, own) in itertools.product(
        TORSOS, enumerate(HEADS), enumerate(INITIALIZERS)
    ):
        if torso == "minatar" or (i + i // 2 + j) % 2 == 0:
            yield torso, head, own


@pytest.mark.parametrize(("torso", "head", "kernel_init"), list(_cases()))
def test_every_layer_has_its_law(torso, head, kernel_init):
    """The torso and the last layers are asked for different initialisers, to tell who reads which.

    Under `jax.jit`, which leaves out what `init` computes beside the parameters.
    """
    make, settings, shape, _, _ = TORSOS[torso]
    parts, head_init = HEADS[head][0], OTHER[kernel_init]
    inner = make(kernel_init=kernel_init, noisy=parts.get("noisy", False), **settings)
    network = QNetwork(inner, ACTIONS, kernel_init=head_init, **parts)
    observation = jnp.zeros(shape, jnp.uint8)
    variables = jax.jit(network.init)(jax.random.PRNGKey(5), observation)
    _expect_network(variables, torso, head, kernel_init, head_init)


def test_the_last_layers_of_offline_rainbow_have_the_law_of_flaxs_own():
    """LeCun's normal one, there as in residual convolutions; the torso keeps its own."""
    network = QNetwork(
        MinAtarTorso(), ACTIONS, kernel_init="lecun_normal", num_atoms=ATOMS, dueling=True
    )
    variables = jax.jit(network.init)(jax.random.PRNGKey(5), jnp.zeros(MINATAR, jnp.uint8))
    layers, last = _layers("minatar", "dueling")
    params = jax.device_get(variables["params"])
    for name, (shape, _, features, _) in last.items():
        assert params[name]["kernel"].shape == shape
        _expect_truncated_normal(params[name]["kernel"], 1 / math.sqrt(features))
        assert not params[name]["bias"].any()
    for path, spec in layers.items():
        own = params["torso"][path.removeprefix("torso/")]
        _expect_layer(own, spec, "xavier_uniform", noisy=False)


@pytest.mark.parametrize("head", ["dueling", "noisy"])
def test_defaults_of_an_agent_are_xavier_from_the_start_and_at_a_renewal(head):
    """What a run starts with, and what `Reset` and `ReDo` take their weights from."""
    agent = RainbowAgent(torso=MinAtarTorso(), **{"num_atoms": 1} | HEADS[head][0])
    optimizers = create_optimizers(agent.networks, 100, 100)
    learner = agent.learner(ObservationSpec(MINATAR[1:]), Discrete(ACTIONS), optimizers)
    (state,) = split_seeds(learner.init([11]), learner.state_axes)
    network = state.networks["q"]
    for params in (
        network.params,
        network.target_params,
        jax.jit(learner.quantities["q"].init_params)(jax.random.PRNGKey(6)),
    ):
        _expect_network(params, "minatar", head, "xavier_uniform", "xavier_uniform")
