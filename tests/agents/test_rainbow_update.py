"""Losses, gradients and priorities of Rainbow's parts against a float64 rewrite in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.learning.state import AgentState, Network
from prune_rl.learning.value_learning import importance_weights, priorities
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.specs import Batch

from ..seeds import stacked
from .conftest import with_target

pytestmark = pytest.mark.usefixtures("quick_compiling")

ATOMS, VMAX, ACTIONS = 7, 2.0, 4
PARTS = list(itertools.product((1, ATOMS), (False, True), (False, True), (False, True)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    """One seed's loss as a function of the parameters, everything written out."""

    def __init__(self, num_atoms, double, dueling, batch, params, target_params):
        self.num_atoms, self.dueling, self.batch = num_atoms, dueling, batch
        self.support = np.linspace(-VMAX, VMAX, num_atoms)
        next_out = self.outputs(target_params, batch.s_t)
        choice = self.values(self.outputs(params, batch.s_t) if double else next_out).argmax(1)
        rows = np.arange(len(choice))
        self.next_out = next_out[rows, choice]  # (B, N)

    def outputs(self, params, observations):
        images = np.moveaxis(observations[..., 0], 1, -1).reshape(len(observations), -1) / 255.0
        torso = params["torso"]["Dense_0"]
        hidden = images @ torso["kernel"] + torso["bias"]

        def stream(name, rows):
            flat = hidden @ params[name]["kernel"] + params[name]["bias"]
            return flat.reshape(len(flat), rows, self.num_atoms)

        if not self.dueling:
            return stream("head", ACTIONS)
        advantage = stream("advantage", ACTIONS)
        return stream("value", 1) + advantage - advantage.mean(1, keepdims=True)

    def values(self, outputs):
        return outputs[..., 0] if self.num_atoms == 1 else softmax(outputs) @ self.support

    def targets(self):
        """(B, 1) values, or (B, N) probabilities of the atoms."""
        r, discount = self.batch.r_t.astype(float), self.batch.discount_t.astype(float)
        if self.num_atoms == 1:
            return (r + discount * self.next_out[:, 0])[:, None]
        target = np.zeros((len(r), self.num_atoms))
        spacing = self.support[1] - self.support[0]
        for b, atom in itertools.product(range(len(r)), range(self.num_atoms)):
            moved = np.clip(r[b] + discount[b] * self.support[atom], -VMAX, VMAX)
            place, mass = (moved + VMAX) / spacing, softmax(self.next_out)[b, atom]
            low = min(int(place), self.num_atoms - 2)
            target[b, low] += mass * (1 - (place - low))
            target[b, low + 1] += mass * (place - low)
        return target

    def losses(self, params):
        rows, targets = np.arange(len(self.batch.a_tm1)), self.targets()
        taken = self.outputs(params, self.batch.s_tm1)[rows, self.batch.a_tm1]
        if self.num_atoms == 1:
            error = abs(targets - taken)[:, 0]
            return np.where(error <= 1, error**2 / 2, error - 0.5)
        return -(targets * np.log(softmax(taken))).sum(1)

    def weights(self):
        if self.batch.probabilities is None:
            return np.ones(len(self.batch.a_tm1))
        weights = 1 / np.sqrt(self.batch.probabilities.astype(float) + 1e-10)
        return weights / weights.max()

    def gradient(self, params):
        """Central differences of the weighted mean loss."""

        def entry(leaf, index):
            kept, values = leaf[index], []
            for step in (1e-5, -1e-5):
                leaf[index] = kept + step
                values.append((self.weights() * self.losses(params)).mean())
            leaf[index] = kept
            return (values[0] - values[1]) / 2e-5

        def of_leaf(leaf):
            return np.array([entry(leaf, i) for i in np.ndindex(leaf.shape)]).reshape(leaf.shape)

        return jax.tree.map(of_leaf, params)


@pytest.mark.parametrize(("num_atoms", "double", "dueling", "prioritized"), PARTS)
def test_an_update_matches_float64(
    make_learner, make_batch, num_atoms, double, dueling, prioritized
):
    learner = make_learner(
        kind=RainbowAgent, num_atoms=num_atoms, vmax=VMAX, double_dqn=double, dueling=dueling
    )
    state = learner.init([3])
    other = learner.init([4])  # so that online and target networks disagree on the best action
    state = with_target(state, jax.tree.map(jnp.copy, other.networks["q"].params))
    batch = make_batch(1, prioritized=prioritized)

    def own(tree):
        return jax.tree.map(lambda leaf: np.array(leaf[0], np.float64), tree["params"])

    network = state.networks["q"]
    params, target_params = own(network.params), own(network.target_params)
    one = jax.tree.map(lambda leaf: leaf[0], batch)
    reference = Reference(num_atoms, double, dueling, one, params, target_params)
    state, metrics, got_priorities = learner.update(state, batch)
    losses = reference.losses(params)
    np.testing.assert_allclose(got_priorities[0], np.sqrt(losses + 1e-10), rtol=2e-5, atol=1e-5)
    loss = (reference.weights() * losses).mean()
    np.testing.assert_allclose(metrics["loss"][0], loss, rtol=1e-5)
    # A tenth of the first gradient.
    moment = optax.tree.get(state.networks["q"].opt_state.inner_state, "mu")
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a * 10, e, rtol=1e-4, atol=2e-6),
        own(moment),
        reference.gradient(params),
    )


@pytest.mark.parametrize("num_atoms", [1, ATOMS])
def test_what_an_agent_shows_of_itself_matches_float64(make_learner, make_batch, num_atoms):
    """Values, targets and losses that diagnostics measure: of distributions, their means."""
    learner = make_learner(kind=RainbowAgent, num_atoms=num_atoms, vmax=VMAX)
    quantities, batch = learner.quantities["q"], jax.tree.map(lambda leaf: leaf[0], make_batch(1))
    state, other = learner.init([3]), learner.init([4])
    networks = (jax.tree.map(lambda leaf: leaf[0], x.networks["q"].params) for x in (state, other))
    network = Network(*networks, opt_state=None)
    state = AgentState({"q": network}, step=None, keys=None, diverged_at=None)
    params, target = (
        jax.tree.map(lambda leaf: np.array(leaf, np.float64), own["params"])
        for own in (network.params, network.target_params)
    )
    reference = Reference(num_atoms, False, False, batch, params, target)
    support = reference.support if num_atoms > 1 else np.ones(1)
    for got, expected in (
        (
            quantities.q_values(network.params, batch.inputs),
            reference.values(reference.outputs(params, batch.s_tm1)),
        ),
        (quantities.q_targets(state, batch), reference.targets() @ support),
        (quantities.losses(network.params, state, batch), reference.losses(params)),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_double_learning_and_target_network_disagree_in_the_test_above(make_learner, make_batch):
    """Else the update test could not tell whose argmax is taken."""
    losses = []
    for double in (False, True):
        learner = make_learner(kind=RainbowAgent, num_atoms=ATOMS, vmax=VMAX, double_dqn=double)
        state = learner.init([3])
        other = learner.init([4])
        state = with_target(state, jax.tree.map(jnp.copy, other.networks["q"].params))
        losses.append(float(learner.update(state, make_batch(1))[1]["loss"][0]))
    assert abs(losses[0] - losses[1]) > 1e-3


def test_importance_weights_by_hand():
    batch = Batch(None, None, jnp.zeros(2), None, None, jnp.array([0.04, 0.01]))
    np.testing.assert_allclose(importance_weights(batch), [0.5, 1.0], rtol=1e-6)
    uniform = Batch(None, None, jnp.zeros(2), None, None)
    assert importance_weights(uniform).tolist() == [1.0, 1.0]


def test_priorities_by_hand():
    np.testing.assert_allclose(priorities(jnp.array([0.25, 0.0])), [0.5, 1e-5], rtol=1e-5)


NOISY = {"kind": RainbowAgent, "torso": MinAtarTorso(), "shape": (1, 10, 10, 2), "noisy": True}


def test_noise_changes_actions_in_training_and_never_in_evaluation(make_learner, make_batch):
    learner = make_learner(**NOISY)
    state = learner.init([0])
    observation = make_batch(1, shape=NOISY["shape"]).s_tm1[:, 0]
    keys, eval_keys, actions, eval_actions = state.keys, state.keys, set(), set()
    for _ in range(40):
        action, keys = learner.act(state.params, keys, observation, 0.0)
        eval_action, eval_keys = learner.act_eval(state.params, eval_keys, observation, 0.0)
        actions.add(int(action[0]))
        eval_actions.add(int(eval_action[0]))
    assert len(eval_actions) == 1
    assert len(actions) > 1


def test_every_update_draws_noise_of_its_own(make_learner, make_batch):
    """The same batch on the same weights: other losses, as the stream of keys moves on."""
    learner, losses = make_learner(**NOISY), []
    keys = learner.init([0]).keys
    for _ in range(2):
        state = learner.init([0]).replace(keys=keys)
        state, metrics, _ = learner.update(state, make_batch(1, shape=NOISY["shape"]))
        keys = jnp.copy(state.keys)
        losses.append(float(metrics["loss"][0]))
    assert losses[0] != losses[1]


def test_without_noise_and_augmentation_an_update_leaves_the_stream_alone(make_learner, make_batch):
    learner = make_learner(kind=RainbowAgent)
    state = learner.init([0])
    keys = np.asarray(state.keys)
    state, *_ = learner.update(state, make_batch(1))
    np.testing.assert_array_equal(state.keys, keys)


def test_seeds_learn_alike_under_both_strategies_and_alone(make_learner, make_batch):
    """With every part at once: noise, shifts, distributions, both streams, priorities."""
    parts = {"dueling": True, "double_dqn": True, "data_augmentation": True}
    batches = [make_batch(2, step, NOISY["shape"], prioritized=True) for step in range(2)]

    def train(strategy, seeds, own):
        learner = make_learner(strategy, **NOISY, **parts)
        state = learner.init(seeds)
        for batch in batches:
            state, metrics, new = learner.update(state, jax.tree.map(lambda x: x[own], batch))
        params = stacked(state, learner.state_axes).networks["q"].params
        return jax.device_get((params, stacked(metrics), stacked(new)))

    mapped, unrolled = (train(x, [3, 4], slice(None)) for x in ("vmap", "unroll"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), mapped, unrolled
    )
    alone = train("unroll", [4], slice(1, 2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1:], b, rtol=1e-6), unrolled, alone)
