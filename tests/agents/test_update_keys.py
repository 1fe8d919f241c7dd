"""Which key draws what, in an update and in acting: read from the keys themselves.

Under `jax.disable_jit()` and with seeds unrolled, keys are numbers that a spy can note.
"""

import itertools
from collections import Counter

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.agents import rainbow
from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.augmentation import Augmentation
from prune_rl.learning.distributional import categorical_rules
from prune_rl.learning.seed_axis import Separate
from prune_rl.learning.temporal_difference import td_rules
from prune_rl.learning.value_learning import build_value_learner
from prune_rl.networks.noisy import dense
from prune_rl.networks.torsos.torso import merge_stack
from prune_rl.specs import Batch

from .conftest import NUM_ACTIONS, SHAPE, observation_spec, with_target


class NoisyTorso(nn.Module):
    """Three features of the flattened image."""

    noisy: bool = False

    @nn.compact
    def __call__(self, observation):
        image = merge_stack(observation).reshape(-1)
        return dense(3, "Dense_0", nn.initializers.xavier_uniform(), noisy=self.noisy)(image)


pytestmark = pytest.mark.usefixtures("quick_compiling")
NOISY = {"kind": RainbowAgent, "torso": NoisyTorso(), "noisy": True, "num_atoms": 1}
DRAWS = ("bits", "uniform", "normal", "truncated_normal", "randint", "bernoulli", "permutation")


def words(key):
    return tuple(np.asarray(key).ravel().tolist())


class SpyNetwork:
    """The same value for all actions, its weight; and notes of whose weights saw which key."""

    noisy, wiring = True, {}

    def __init__(self, num_atoms=1):
        self.num_atoms, self.calls = num_atoms, {}
        self.support = jnp.linspace(-1.0, 1.0, num_atoms)

    def init(self, key, observation):
        return {"params": {"weight": jax.random.normal(key)}}

    def apply(self, params, observation, rngs=None):
        weight = params["params"]["weight"]
        # Weights that gradients are taken at are no plain numbers.
        role = "gradient" if isinstance(weight, jax.core.Tracer) else float(weight)
        self.calls.setdefault(role, []).append(words(rngs["noise"]) if rngs else None)
        shape = (NUM_ACTIONS, self.num_atoms)[: 1 + (self.num_atoms > 1)]
        return jnp.full(shape, weight) + 0.0 * observation.sum()

    def expectation(self, outputs):
        return outputs if self.num_atoms == 1 else outputs.sum(-1)


def spied_update(rules_of, num_updates=3):
    """Keys of each update by what they are for, from one seed's stream."""
    augmented = {}

    def augment(observations, key):
        augmented[int(observations.min())] = words(key)
        return observations

    network = SpyNetwork(num_atoms=rules_of["num_atoms"])
    rules = rules_of["make"](network, augment)
    optimizers = create_optimizers({"q": None}, 100, 100)
    learner = build_value_learner(
        rules, observation_spec(SHAPE), optimizers, lambda num_seeds: "unroll"
    )
    batch = Batch(
        jnp.full((1, 2, *SHAPE), 1, jnp.uint8),
        jnp.zeros((1, 2), jnp.int32),
        jnp.ones((1, 2)),
        jnp.ones((1, 2)),
        jnp.full((1, 2, *SHAPE), 2, jnp.uint8),
    )
    notes = []
    with jax.disable_jit():
        (state,) = learner.init([0]).trees
        other = jax.tree.map(lambda leaf: leaf + 5.0, state.networks["q"].params)
        state = with_target(state, other)
        for _ in range(num_updates):
            network.calls.clear()
            both = state.networks["q"].params, other
            weights = [float(x["params"]["weight"]) for x in both]
            note = {"before": words(state.keys)}
            (state,) = learner.update(Separate([state]), batch)[0].trees
            (note["gradient"],) = network.calls["gradient"]
            (note["selector"],), (note["target"],) = (network.calls[x] for x in weights)
            note |= {"shift of s_tm1": augmented[1], "shift of s_t": augmented[2]}
            notes.append(note | {"after": words(state.keys)})
    return notes


RULES = {
    "plain": {
        "num_atoms": 1,
        "make": lambda net, aug: td_rules(net, "mse", double_dqn=True, augment=aug),
    },
    "distributional": {
        "num_atoms": 3,
        "make": lambda net, aug: categorical_rules(net, double_dqn=True, augment=aug),
    },
}


@pytest.mark.parametrize("name", RULES)
def test_everything_in_an_update_draws_from_a_key_of_its_own(name):
    """But the selector of double learning, which has the target's noise, as in Dopamine."""
    notes = spied_update(RULES[name])
    for note, following in itertools.pairwise(notes):
        assert following["before"] == note["after"]
    for note in notes:
        assert note["selector"] == note["target"]
        del note["selector"], note["after"]
    keys = [key for note in notes for key in note.values()]
    assert None not in keys
    assert len(keys) == 3 * 5
    assert len(set(keys)) == len(keys)


@pytest.fixture
def spied_draws(monkeypatch):
    """(function, key) of every call of `jax.random` that takes a key; folds apart from the rest."""
    calls, folds = [], []

    def spy(name):
        function = getattr(jax.random, name)

        def spied(key, *args, **kwargs):
            if isinstance(key, jax.core.Tracer):
                pass  # flax asks initialisers for shapes
            elif name == "fold_in":
                folds.append((words(key), int(args[0])))
            else:
                calls.append((name, words(key)))
            return function(key, *args, **kwargs)

        monkeypatch.setattr(jax.random, name, spied)

    for name in ("split", "fold_in", *DRAWS):
        spy(name)
    return calls, folds


def test_no_key_is_used_twice(make_learner, make_batch, spied_draws):
    """By acting, noise, shifts and intensities, through two agent steps with an update each.

    A key is split, or drawn from, once; or numbers are folded into it.
    """
    calls, folds = spied_draws
    learner = make_learner("unroll", data_augmentation=True, **NOISY)
    batch = make_batch(1, batch_size=3)
    with jax.disable_jit():
        state = learner.init([0])
        calls.clear()
        folds.clear()
        for _ in range(2):
            _, keys = learner.act(state.params, state.keys, batch.s_tm1[:, 0], 0.5)
            state, *_ = learner.update(state.replace(keys=keys), batch)
    counts = Counter(name for name, _ in calls)
    assert counts["randint"] == 2 * (1 + 2)  # an action; offsets of s_tm1 and of s_t
    assert counts["uniform"] == 2 * 1  # whether to explore
    assert counts["normal"] == 2 * (2 + 3 * 2 * 2)  # intensities; 3 passes, 2 layers, 2 vectors
    used = [key for _, key in calls]
    assert len(set(used)) == len(used)
    parents = {key for key, _ in folds}
    assert not parents & set(used)
    assert len(parents) == 2 * 3  # passes
    assert len(set(folds)) == len(folds)


def test_evaluation_is_silent_and_moves_its_own_keys_on(make_learner, make_batch, spied_draws):
    calls, folds = spied_draws
    learner = make_learner("unroll", **NOISY)
    observation = make_batch(1).s_tm1[:, 0]
    with jax.disable_jit():
        state = learner.init([0])
        calls.clear()
        folds.clear()
        keys = state.keys
        for _ in range(2):
            _, keys = learner.act_eval(state.params, keys, observation, 0.5)
    assert Counter(name for name, _ in calls) == {"split": 4, "uniform": 2, "randint": 2}
    used = [key for _, key in calls]
    assert len(set(used)) == len(used)
    assert words(keys) not in used
    assert not folds


def test_acting_explores_by_two_independent_draws(make_learner):
    """Of 4,000 keys: actions taken at random are uniform, however rare they are."""
    learner = make_learner()
    state = learner.init([0])
    params = jax.tree.map(lambda leaf: jnp.repeat(leaf, 4000, 0), state.params)
    keys = jax.random.split(jax.random.PRNGKey(1), 4000)
    observations = np.zeros((4000, *SHAPE), np.uint8)
    for epsilon in (0.2, 0.8):
        actions, _ = learner.act(params, keys, observations, epsilon)
        counts = np.bincount(np.asarray(actions), minlength=NUM_ACTIONS)
        explored = np.sort(counts)[:-1]  # greedy is one and the same action
        expected = 4000 * epsilon / NUM_ACTIONS
        assert (abs(explored - expected) < 4 * np.sqrt(expected)).all()


def test_an_augmentation_draws_shifts_and_intensities_from_two_keys(spied_draws):
    calls, _ = spied_draws
    key = jax.random.PRNGKey(4)
    Augmentation()(jnp.zeros((3, *SHAPE), jnp.uint8), key)
    assert sorted(name for name, _ in calls) == ["normal", "randint", "split"]
    used = [own for _, own in calls]
    assert len(set(used)) == 3
    assert used.count(words(key)) == 1


@pytest.mark.parametrize("num_atoms", [1, 7])
def test_what_is_learnt_from_is_what_the_augmentation_returns(
    monkeypatch, make_learner, make_batch, num_atoms
):
    """An augmentation that inverts: the same loss as on observations inverted beforehand."""
    settings = {"kind": RainbowAgent, "num_atoms": num_atoms, "vmax": 2.0, "double_dqn": True}
    batch = make_batch(1)
    inverted = batch._replace(s_tm1=255 - batch.s_tm1, s_t=255 - batch.s_t)
    monkeypatch.setattr(rainbow, "Augmentation", lambda: lambda images, key: 255 - images)

    def loss(learner, own):
        return float(learner.update(learner.init([0]), own)[1]["loss"][0])

    plain, augmenting = (make_learner(data_augmentation=x, **settings) for x in (False, True))
    assert loss(augmenting, batch) == pytest.approx(loss(plain, inverted), rel=1e-5)
    for other in (batch, inverted._replace(s_t=batch.s_t), inverted._replace(s_tm1=batch.s_tm1)):
        assert loss(plain, other) != pytest.approx(loss(plain, inverted), rel=1e-4)


def test_settings_of_the_augmentation_come_from_gin(make_learner, monkeypatch):
    gin.parse_config("Augmentation.img_pad = 2\nAugmentation.intensity_scale = 0.25")
    made, td_rules_of = [], rainbow.td_rules

    def spied(*args, augment, **settings):
        made.append(augment)
        return td_rules_of(*args, augment=augment, **settings)

    monkeypatch.setattr(rainbow, "td_rules", spied)
    make_learner(kind=RainbowAgent, num_atoms=1, data_augmentation=True)
    make_learner(kind=RainbowAgent, num_atoms=1)
    assert made == [Augmentation(2, 0.25), None]


@pytest.mark.parametrize("kind", [DQNAgent, RainbowAgent])
def test_an_update_that_draws_nothing_leaves_the_stream_alone(make_learner, make_batch, kind):
    learner = make_learner(kind=kind)
    state = learner.init([0, 1])
    keys = np.asarray(state.keys)
    state, *_ = learner.update(state, make_batch(2))
    np.testing.assert_array_equal(state.keys, keys)
