"""Where each seed's randomness comes from, seen from outside through a whole run.

The environment shows every seed the same frames, numbered by agent step: so what differs among
seeds is their own randomness, and a transition's frame says which one was drawn.
"""

import itertools
from typing import ClassVar, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.agents.dqn import DQNAgent
from prune_rl.experiment import create_runner
from prune_rl.networks.torsos.torso import FEATURES, Torso, merge_stack
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset
from prune_rl.specs import Discrete, ObservationSpec

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")
SEEDS, ITERATIONS, SIDE = (5, 6, 7), 2, 6
RUN = f"""
Runner.seed = 5
Runner.num_seeds = 3
Runner.num_iterations = {ITERATIONS}
Runner.training_steps = 14
Runner.evaluation_steps = 3
ReplayBuffer.batch_size = 6
"""
SPARSE = """
create_updater_from_config.sparsity = 0.5
create_updater_from_config.dist_type = 'uniform'
"""
MASKS = """
create_updater_from_config.pruner_type = 'random_ste'
create_updater_from_config.update_start_step = 0
create_updater_from_config.update_end_step = 12
create_updater_from_config.update_freq = 2
create_updater_from_config.schedule_type = 'periodic'
"""


class Numbered:
    """Six pixels of the number of agent steps played; an episode lasts seven."""

    observation_spec, action_spec = ObservationSpec((2, 3, 1)), Discrete(SIDE)
    frame_skip = 1
    steps_off_gil = life_lost = False
    protocol: ClassVar = {"suite": "numbered"}

    def __init__(self):
        self._steps = 0

    def reset(self):
        return np.full((2, 3, 1), self._steps, np.uint8)

    def step(self, action):
        self._steps += 1
        return self.reset(), 1.0, self._steps % 7 == 0

    def get_state(self):
        return {"steps": np.int64(self._steps)}

    def set_state(self, state):
        self._steps = int(state["steps"])

    def close(self):
        pass


class SquareTorso(Torso):
    """Six units of six pixels, so that both kernels of a network are 6 x 6."""

    wiring: ClassVar = {"Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation):
        return self._hidden(SIDE, merge_stack(observation).reshape(-1))


class Renewal(NamedTuple):
    """One intervention on one seed."""

    position: int
    key: tuple
    kernel: np.ndarray


class Notes:
    """What a run handed around, in order: keys are (S, 2), batches (S, B, ...)."""

    def __init__(self):
        self.environments, self.initial, self.learner = [], None, None
        self.acting, self.evaluating, self.batches, self.masks, self.renewals = [], [], [], [], []

    def create_environment(self, seed):
        self.environments.append(seed)
        return Numbered()


class SpiedAgent(DQNAgent):
    """DQN whose learner notes what it is called with."""

    notes: ClassVar[Notes]

    def learner(self, *args):
        notes, learner = self.notes, super().learner(*args)
        notes.learner = learner

        def init(seeds):
            notes.seeds = list(seeds)
            state = learner.init(seeds)
            notes.initial = jax.device_get(stacked(state, learner.state_axes))
            return state

        def act(params, keys, *rest):
            notes.acting.append(np.array(keys))
            return learner.act(params, keys, *rest)

        def act_eval(params, keys, *rest):
            notes.evaluating.append(np.array(keys))
            return learner.act_eval(params, keys, *rest)

        def update(state, batch):
            notes.batches.append(jax.tree.map(np.array, batch))
            state, *rest = learner.update(state, batch)
            masks = jax.tree.leaves(q_of(stacked(state, learner.state_axes)).opt_state.masks)
            notes.masks.append(jax.tree.map(np.array, masks))
            return state, *rest

        return learner._replace(init=init, act=act, act_eval=act_eval, update=update)


class SpiedIntervention:
    """A real intervention that also notes its keys and the first layer's new kernel."""

    def __init__(self, own, position, notes):
        self._own, self._position, self._notes = own, position, notes
        self.statistics_batch_size = own.statistics_batch_size
        self.occasions, self.check = own.occasions, own.check

    def apply(self, quantities, network, inputs, key):
        after = self._own.apply(quantities, network, inputs, key)
        kernel = after.params["params"]["torso"]["Dense_0"]["kernel"]
        jax.debug.callback(self._note, key, kernel)
        return after

    def _note(self, key, kernel):
        own = Renewal(self._position, words(key), np.array(kernel))
        self._notes.renewals.append(own)


def words(key):
    return tuple(np.asarray(key).ravel().tolist())


def make_runner(base_dir, *bindings, interventions=()):
    gin.clear_config()
    gin.parse_config([RUN, *bindings])
    notes = SpiedAgent.notes = Notes()
    agent = SpiedAgent(
        torso=SquareTorso(),
        min_replay_history=4,
        replay_ratio=1.0,
        target_update_period=5,
        seed_strategy="unroll",
    )
    spied = [SpiedIntervention(own, i, notes) for i, own in enumerate(interventions)]
    create = notes.create_environment
    runner = create_runner(base_dir, agent=agent, create_environment_fn=create, interventions=spied)
    return runner, notes


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """Of a whole run of seeds 5, 6 and 7, whose weights are renewed thrice every fourth update."""
    reset = Reset(reset_period=4, reset_layers="all")
    redo = ReDo(reset_period=4, dead_neurons_threshold=1e9, statistics_batch_size=2)
    base_dir = tmp_path_factory.mktemp("streams")
    runner, notes = make_runner(base_dir, SPARSE, MASKS, interventions=[reset, reset, redo])
    runner.run()
    jax.effects_barrier()
    return notes


@pytest.fixture(scope="module")
def first_masks(tmp_path_factory):
    """First states: of seeds 5, 6 and 7, of seed 6 alone, and that with other random masks."""
    static = (SPARSE, "create_updater_from_config.pruner_type = 'static_sparse'")
    alone = "Runner.seed = 6\nRunner.num_seeds = 1"
    base_dir = tmp_path_factory.mktemp("first")
    many = [(), (alone,), (alone, "create_updater_from_config.rng_seed = 9")]
    return [make_runner(base_dir, *static, *more)[1].initial for more in many]


def environment_seed(*entropy):
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) % 2**31


def test_environments_are_made_from_the_seed_the_phase_and_the_iteration(notes):
    training = [environment_seed(seed, 0) for seed in SEEDS]
    evaluation = [environment_seed(seed, 1, i) for i in range(ITERATIONS) for seed in SEEDS]
    assert notes.environments == training + evaluation
    assert len(set(notes.environments)) == len(SEEDS) * (1 + ITERATIONS)


def test_the_first_seed_is_runner_seed_and_the_others_follow(notes):
    assert notes.seeds == list(SEEDS)


def all_different(arrays):
    """Of every two no entry is the same, but for zeros."""
    pairs = list(itertools.combinations(arrays, 2))
    assert pairs
    return not any(((a == b) & (a != 0)).any() for a, b in pairs)


def q_of(state):
    """The one network of DQN."""
    return state.networks["q"]


def kernels(params):
    return params["params"]["torso"]["Dense_0"]["kernel"], params["params"]["head"]["kernel"]


def test_first_weights_are_a_seeds_own(notes):
    hidden, head = kernels(q_of(notes.initial).params)
    assert all_different([*hidden, *head])


def test_a_seed_alone_starts_as_among_others(first_masks):
    together, alone, _ = first_masks

    def own(leaf):
        return leaf[1:2] if np.ndim(leaf) else leaf  # the step count is shared

    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(own, together), alone)


def test_first_weights_come_from_a_key_that_draws_nothing_else(notes):
    """Neither from a seed's stream of exploration, nor its masks', nor the seed itself."""
    init = jax.jit(notes.learner.quantities["q"].init_params)
    for i, seed in enumerate(SEEDS):
        root = jax.random.PRNGKey(seed)
        folded = [jax.random.fold_in(root, stream) for stream in range(6)]
        keys = [notes.initial.keys[i], q_of(notes.initial).opt_state.key[i], root, *folded]
        first = kernels(q_of(notes.initial).params)[0][i]
        assert all_different([first, *(kernels(init(jnp.asarray(key)))[0] for key in keys)])


def test_no_two_phases_share_a_key(notes):
    """Of exploration, evaluation, masks and interventions, for all seeds and at all times."""
    acting = {words(key) for keys in notes.acting for key in keys}
    evaluating = {words(key) for keys in notes.evaluating for key in keys}
    renewing = {renewal.key for renewal in notes.renewals}
    masking = {words(key) for key in q_of(notes.initial).opt_state.key}
    roots = {words(jax.random.PRNGKey(seed)) for seed in SEEDS}
    assert len(acting) == len(notes.acting) * len(SEEDS) == 2 * 14 * 3
    assert len(evaluating) == len(notes.evaluating) * len(SEEDS) >= 2 * 3 * 3
    assert len(masking) == len(SEEDS)
    phases = [acting, evaluating, renewing, masking, roots]
    assert len(set().union(*phases)) == sum(map(len, phases))


def test_what_acting_and_updates_make_of_their_keys_is_no_other_phases(notes):
    """Keys drawn from are children or grandchildren of those handed on."""
    split = jax.jit(jax.vmap(lambda key: jax.random.split(key, 3)))

    def descendants(noted):
        children = split(jnp.asarray(np.concatenate(noted))).reshape(-1, 2)
        return {
            words(key)
            for own in (children, split(children))
            for key in np.array(own).reshape(-1, 2)
        }

    acting, evaluating = descendants(notes.acting), descendants(notes.evaluating)
    renewing = {renewal.key for renewal in notes.renewals}
    masking = {words(key) for key in q_of(notes.initial).opt_state.key}
    assert not acting & evaluating
    assert not (acting | evaluating) & (renewing | masking)


def test_streams_of_a_seed_are_numbered(notes):
    """0 trains, 1 evaluates, 2 makes masks (rng_seed 8 folded in): else runs would not repeat."""
    init = jax.jit(notes.learner.quantities["q"].init_params)
    evaluating = {words(key) for keys in notes.evaluating for key in keys}
    for i, seed in enumerate(SEEDS):
        streams = [jax.random.fold_in(jax.random.PRNGKey(seed), number) for number in range(3)]
        weights, exploration = jax.random.split(streams[0])
        np.testing.assert_array_equal(notes.initial.keys[i], exploration)
        for got, expected in zip(
            kernels(q_of(notes.initial).params), kernels(init(weights)), strict=True
        ):
            np.testing.assert_allclose(got[i], expected, rtol=1e-6)
        for iteration in range(ITERATIONS):
            assert words(jax.random.fold_in(streams[1], iteration)) in evaluating
        masks = jax.random.fold_in(streams[2], 8)
        np.testing.assert_array_equal(q_of(notes.initial).opt_state.key[i], masks)


def test_evaluation_leaves_no_trace_in_training(notes):
    """The exploration key of the second iteration follows that of the first."""
    following = jax.vmap(lambda key: jax.random.split(key)[0])
    for before, after in itertools.pairwise(notes.acting):
        np.testing.assert_array_equal(following(jnp.asarray(before)), after)


def drawn_steps(batch):
    """Agent steps (S, B) of the transitions, which their frames show."""
    return batch.s_tm1[:, :, 0, 0, 0, 0]


def test_replay_draws_are_a_seeds_own_and_new_each_time(notes):
    draws = np.array([drawn_steps(batch) for batch in notes.batches])  # (updates, S, B)
    assert len(draws) == 2 * 14 - 5
    draws = draws[5:]  # of 10 transitions or more, so that six hardly agree by chance
    for update in draws:
        assert len(np.unique(update, axis=0)) == len(SEEDS)
    for seed in range(len(SEEDS)):
        assert len(np.unique(draws[:, seed], axis=0)) == len(draws)


def test_interventions_at_one_step_and_of_one_kind_draw_new_weights(notes):
    """15 renewals of each seed: three at each of five occasions."""
    renewals = notes.renewals
    assert sorted(renewal.position for renewal in renewals) == sorted([0, 1, 2] * 5 * 3)
    assert len({renewal.key for renewal in renewals}) == 5 * 3 * 3
    first = kernels(q_of(notes.initial).params)[0]
    assert all_different([*first, *(renewal.kernel for renewal in renewals)])


def test_an_interventions_stream_is_the_seeds_own(notes):
    """Its key is folded out of the one that the seed acts with next: by 3, then by its place."""
    for position in range(3):
        renewed = {renewal.key for renewal in notes.renewals if renewal.position == position}
        acting = {
            words(jax.random.fold_in(jax.random.fold_in(key, 3), position)): key
            for keys in notes.acting
            for key in keys
        }
        assert len(renewed) == 5 * 3
        assert renewed <= acting.keys()


def test_random_masks_are_of_a_seed_a_tensor_and_an_update(notes):
    """Straight-through: weights may come back, and do where masks are drawn anew."""
    hidden, head = (np.array(masks) for masks in zip(*notes.masks, strict=True))
    times = [0, 2, 4, 6, 8, 10, 12]  # gradient steps at which masks change
    for tensors in (hidden, head):
        drawn = tensors[times]
        assert len(np.unique(drawn.reshape(-1, drawn.shape[-1]), axis=0)) == len(times) * 3
        for before, after in itertools.pairwise(drawn):
            assert (after & ~before).any(axis=-1).all()
    assert (hidden[times] != head[times]).any(axis=-1).all()


def test_first_random_masks_are_of_a_seed_a_tensor_and_the_pruners_own_seed(first_masks):
    together, alone, reseeded = (
        np.array(jax.tree.leaves(q_of(state).opt_state.masks)) for state in first_masks
    )
    rows = np.concatenate([together.reshape(6, -1), reseeded.reshape(2, -1)])
    assert len(np.unique(rows, axis=0)) == 8
    np.testing.assert_array_equal(alone, together[:, 1:2])


def test_rng_seed_of_masks_changes_masks_and_keys_alone(first_masks):
    _, before, after = first_masks
    np.testing.assert_array_equal(before.keys, after.keys)
    assert words(q_of(before).opt_state.key) != words(q_of(after).opt_state.key)
    for a, b in zip(kernels(q_of(before).params), kernels(q_of(after).params), strict=True):
        kept = (a != 0) & (b != 0)
        np.testing.assert_array_equal(a[kept], b[kept])
