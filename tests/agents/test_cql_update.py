"""Losses, targets and gradients of CQL and CQL+C51 against a float64 rewrite in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.agents.cql import CQLAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.errors import ConfigError
from prune_rl.learning.state import AgentState, Network
from prune_rl.pruning.config import create_updater_from_config

from .conftest import with_target

pytestmark = pytest.mark.usefixtures("quick_compiling")

ATOMS, VMAX, ACTIONS, SEEDS = 7, 2.0, 4, (3, 4, 5)
TD, CQL = 0.7, 0.3  # neither is a default, and their sum is 1: exchanged, they differ
PARTS = list(itertools.product((1, ATOMS), (False, True), (False, True)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    """One seed's update, forward and backward, everything written out in float64."""

    def __init__(self, num_atoms, double, dueling, batch, params, target_params):
        self.num_atoms, self.dueling, self.batch = num_atoms, dueling, batch
        self.support = np.linspace(-VMAX, VMAX, num_atoms)
        self.rows, self.actions = np.arange(len(batch.a_tm1)), batch.a_tm1
        self.params, self.images = params, self._flat(batch.s_tm1)
        self.hidden, self.outputs = self._forward(params, self.images)
        self.q = self._values(self.outputs)
        images = self._flat(batch.s_t)
        self.next_outputs = self._forward(target_params, images)[1]
        chooser = self._forward(params, images)[1] if double else self.next_outputs
        best = self._values(chooser).argmax(1)
        self.targets = self._targets(self.next_outputs[self.rows, best])

    def _flat(self, observations):
        return np.moveaxis(observations[..., 0], 1, -1).reshape(len(observations), -1) / 255.0

    def _forward(self, params, images):
        """Features (B, 5) and outputs (B, A, N)."""
        torso = params["torso"]["Dense_0"]
        hidden = images @ torso["kernel"] + torso["bias"]

        def stream(name, rows):
            flat = hidden @ params[name]["kernel"] + params[name]["bias"]
            return flat.reshape(len(flat), rows, self.num_atoms)

        if not self.dueling:
            return hidden, stream("head", ACTIONS)
        advantage = stream("advantage", ACTIONS)
        return hidden, stream("value", 1) + advantage - advantage.mean(1, keepdims=True)

    def _values(self, outputs):
        return outputs[..., 0] if self.num_atoms == 1 else softmax(outputs) @ self.support

    def _targets(self, outputs):
        """(B, 1) values, or (B, N) probabilities of the atoms, the mass dealt atom by atom."""
        r, discount = self.batch.r_t.astype(float), self.batch.discount_t.astype(float)
        if self.num_atoms == 1:
            return r[:, None] + discount[:, None] * outputs
        targets, spacing = np.zeros_like(outputs), self.support[1] - self.support[0]
        for b, atom in itertools.product(self.rows, range(self.num_atoms)):
            moved = np.clip(r[b] + discount[b] * self.support[atom], -VMAX, VMAX)
            place, mass = (moved + VMAX) / spacing, softmax(outputs)[b, atom]
            low = min(int(place), self.num_atoms - 2)
            targets[b, low] += mass * (1 - (place - low))
            targets[b, low + 1] += mass * (place - low)
        return targets

    def losses(self):
        """(B,), and their temporal-difference part alone."""
        taken = self.outputs[self.rows, self.actions]
        if self.num_atoms == 1:
            error = abs(self.targets - taken)[:, 0]
            td = np.where(error <= 1, error**2 / 2, error - 0.5)
        else:
            td = -(self.targets * np.log(softmax(taken))).sum(1)
        gap = np.log(np.exp(self.q).sum(1)) - self.q[self.rows, self.actions]
        return TD * td + CQL * gap, td

    def output_gradient(self):
        """Of the mean loss in the outputs, (B, A, N), by the chain rule."""
        one = np.zeros_like(self.q)
        one[self.rows, self.actions] = 1.0
        per_value = CQL * (softmax(self.q) - one)  # of the gap in q
        if self.num_atoms == 1:
            taken = self.outputs[self.rows, self.actions]
            clipped = np.clip(taken - self.targets, -1, 1)
            return (per_value[..., None] + TD * one[..., None] * clipped[:, None]) / len(self.rows)
        own = softmax(self.outputs)
        of_value = own * (self.support - self.q[..., None])  # dq / dlogits
        of_entropy = one[..., None] * (own - self.targets[:, None])
        return (per_value[..., None] * of_value + TD * of_entropy) / len(self.rows)

    def gradient(self):
        """Of the mean loss in the parameters."""
        outputs, gradient, hidden = self.output_gradient(), {}, 0.0
        streams = {"head": outputs}
        if self.dueling:
            sums = outputs.sum(1, keepdims=True)
            streams = {"advantage": outputs - sums / ACTIONS, "value": sums}
        for name, own in streams.items():
            flat = own.reshape(len(own), -1)
            gradient[name] = {"kernel": self.hidden.T @ flat, "bias": flat.sum(0)}
            hidden = hidden + flat @ self.params[name]["kernel"].T
        torso = {"kernel": self.images.T @ hidden, "bias": hidden.sum(0)}
        return gradient | {"torso": {"Dense_0": torso}}


def three_steps(batch):
    """The batch with rewards and discounts of three steps."""
    return batch._replace(r_t=1.5 * batch.r_t, discount_t=batch.discount_t**3)


def references(learner_settings, state, batch):
    """A `Reference` of each seed."""
    network, settings = state.networks["q"], learner_settings
    for seed in range(len(SEEDS)):

        def own(tree, seed=seed):
            return jax.tree.map(lambda leaf: np.array(leaf[seed], np.float64), tree["params"])

        one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], batch)
        yield Reference(*settings, one, own(network.params), own(network.target_params))


def start(learner):
    """Online and target networks that disagree on the best action."""
    state, others = learner.init(SEEDS), learner.init([x + 9 for x in SEEDS])
    return with_target(state, jax.tree.map(jnp.copy, others.networks["q"].params))


@pytest.mark.parametrize(("num_atoms", "double", "dueling"), PARTS)
def test_an_update_matches_float64(make_learner, make_batch, num_atoms, double, dueling):
    learner = make_learner(
        kind=CQLAgent,
        num_atoms=num_atoms,
        vmax=VMAX,
        double_dqn=double,
        dueling=dueling,
        update_horizon=3,
        td_coefficient=TD,
        cql_coefficient=CQL,
    )
    state, batch = start(learner), three_steps(make_batch(len(SEEDS)))
    expected = list(references((num_atoms, double, dueling), state, batch))
    state, metrics, priorities = learner.update(state, batch)
    moments = optax.tree.get(state.networks["q"].opt_state.inner_state, "mu")["params"]
    for seed, reference in enumerate(expected):
        losses, _ = reference.losses()
        np.testing.assert_allclose(metrics["loss"][seed], losses.mean(), rtol=1e-5)
        np.testing.assert_allclose(priorities[seed], np.sqrt(losses + 1e-10), rtol=2e-5)
        taken = reference.q[reference.rows, reference.actions].mean()
        np.testing.assert_allclose(metrics["q_mean"][seed], taken, rtol=1e-4, atol=1e-6)
        # A tenth of the first gradient.
        jax.tree.map(
            lambda a, e, seed=seed: np.testing.assert_allclose(
                a[seed] * 10, e, rtol=1e-4, atol=2e-6
            ),
            moments,
            reference.gradient(),
        )


@pytest.mark.parametrize(("num_atoms", "double", "dueling"), PARTS)
def test_targets_and_losses_that_diagnostics_measure_match_float64(
    make_learner, make_batch, num_atoms, double, dueling
):
    """The targets are those without the penalty, the losses those with it."""
    settings = {"num_atoms": num_atoms, "vmax": VMAX, "double_dqn": double, "dueling": dueling}
    coefficients = {"td_coefficient": TD, "cql_coefficient": CQL}
    learner = make_learner(kind=CQLAgent, **settings, **coefficients)
    quantities, state = learner.quantities["q"], start(learner)
    batch = make_batch(len(SEEDS), 1)
    for seed, reference in enumerate(references((num_atoms, double, dueling), state, batch)):
        own = state.networks["q"]
        trees = (own.params, own.target_params, batch)
        params, target_params, one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], trees)
        network = Network(params, target_params, opt_state=None)
        alone = AgentState({"q": network}, step=None, keys=None, diverged_at=None)
        support = reference.support if num_atoms > 1 else np.ones(1)
        targets = reference.targets @ support
        np.testing.assert_allclose(quantities.q_targets(alone, one), targets, rtol=1e-4, atol=1e-5)
        losses = quantities.losses(params, alone, one)
        np.testing.assert_allclose(losses, reference.losses()[0], rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_rewrite_is_that_of_its_loss():
    """By central differences in the outputs, so that no slip in the chain rule hides a fault."""
    rng = np.random.default_rng(0)
    for num_atoms in (1, ATOMS):
        own = object.__new__(Reference)
        own.num_atoms, own.support = num_atoms, np.linspace(-VMAX, VMAX, num_atoms)
        own.rows, own.actions = np.arange(5), rng.integers(0, ACTIONS, 5)
        own.outputs = rng.normal(0, 2, (5, ACTIONS, num_atoms))
        own.targets = (
            rng.normal(0, 2, (5, 1)) if num_atoms == 1 else softmax(rng.normal(size=(5, 7)))
        )
        own.q = own._values(own.outputs)
        expected, kept = own.output_gradient(), own.outputs.copy()
        for index in np.ndindex(kept.shape):
            ends = []
            for step in (1e-6, -1e-6):
                own.outputs = kept.copy()
                own.outputs[index] += step
                own.q = own._values(own.outputs)
                ends.append(own.losses()[0].mean())
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected[index], abs=1e-8)


@pytest.mark.parametrize("parts", [{}, {"num_atoms": ATOMS, "dueling": True, "double_dqn": True}])
def test_without_the_penalty_it_is_the_agent_it_is_made_of_to_the_bit(
    make_learner, make_batch, parts
):
    settings = {"num_atoms": 1, "vmax": VMAX, "update_horizon": 1} | parts

    def train(**own):
        learner = make_learner(**settings, **own)
        state = learner.init(SEEDS)
        for step in range(3):
            state, metrics, _ = learner.update(state, make_batch(len(SEEDS), step))
        return jax.device_get((state.networks["q"].params, metrics))

    plain = train(kind=RainbowAgent)
    jax.tree.map(np.testing.assert_array_equal, train(kind=CQLAgent, cql_coefficient=0.0), plain)
    assert train(kind=CQLAgent)[1]["loss"].tolist() != plain[1]["loss"].tolist()


@pytest.mark.parametrize("num_atoms", [1, ATOMS])
def test_pruned_weights_stay_zero_whatever_the_penalty_pulls_at(
    make_learner, make_batch, num_atoms
):
    pruner = create_updater_from_config(
        num_gradient_steps=20,
        pruner_type="magnitude",
        dist_type="uniform",
        update_start_step=2,
        update_end_step=8,
        update_freq=2,
        sparsity=0.5,
    )
    learner = make_learner(
        kind=CQLAgent, pruner=pruner, num_atoms=num_atoms, vmax=VMAX, dueling=True
    )
    state, zeros = learner.init(SEEDS), None
    for step in range(20):
        state, metrics, _ = learner.update(state, make_batch(len(SEEDS), step))
        assert np.isfinite(metrics["loss"]).all()
        kernels = [x for x in jax.tree.leaves(state.networks["q"].params) if x.ndim == 3]
        now = [np.asarray(kernel) == 0 for kernel in kernels]
        assert zeros is None or all((a | b == b).all() for a, b in zip(zeros, now, strict=True))
        zeros = now
    # Advantages of 5 x 4, the torso of 18 x 5, values of 5 x 1; streams are as wide as the atoms.
    kept = [round(size / 2) for size in (20 * num_atoms, 90, 5 * num_atoms)]
    assert [(~own).sum((1, 2)).tolist() for own in zeros] == [[x] * len(SEEDS) for x in kept]


@pytest.mark.parametrize("name", ["cql_coefficient", "td_coefficient"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_wrong_coefficient_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"^CQLAgent\.{name}=.*>= 0"):
        CQLAgent(**{name: value})
