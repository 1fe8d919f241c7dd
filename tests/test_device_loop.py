"""The host's side of a run on the device: chunks, metrics, seeds, states, and what is compiled."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.learning.saved import to_states
from prune_rl.learning.seed_axis import Separate
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset
from prune_rl.state import flatten

from .device_games import SmallTorso, on_device
from .replay.states import rows_of

_END = 160  # agent steps
_SPARSITY = 0.85
_PRUNED = f"""
create_updater_from_config.pruner_type = 'magnitude'
create_updater_from_config.sparsity = {_SPARSITY}
create_updater_from_config.update_start_step = 4
create_updater_from_config.update_end_step = 60
create_updater_from_config.update_freq = 3
"""


def agent(strategy):
    return RainbowAgent(
        torso=SmallTorso(),
        num_atoms=5,
        vmax=4.0,
        min_replay_history=12,
        target_update_period=10,
        epsilon_decay_period=60,
        replay_ratio=0.5,
        seed_strategy=strategy,
    )


class Run:
    """A run that begins again and again, compiled once."""

    def __init__(self, folder, strategy, seeds):
        redo = ReDo(reset_period=17, dead_neurons_threshold=0.2, statistics_batch_size=8)
        self.runner = on_device(
            folder,
            _PRUNED,
            agent=agent(strategy),
            training_steps=_END,
            seed=seeds[0],
            num_seeds=len(seeds),
            interventions=[Reset(reset_period=40), redo],
        )
        self.loop, self.source = self.runner.trainer, self.runner.source
        self.first = self.loop.get_state()

    def begin(self):
        self.loop.set_state(self.first)
        return self

    def on(self, chunks):
        """Episodes that end in chunks of so many agent steps, with the steps that end them."""
        ended = []
        for count in chunks:
            self.loop._steps = count
            for since, episode in self.loop.step(_END):
                ended.append((self.source.steps - since, episode))
        return ended

    def left(self):
        """All that a checkpoint holds of each seed, as arrays by name, and its rows."""
        found = []
        for state in self.loop.get_state():
            flat = flatten(state)
            flat.pop("source/replay/rows")
            rows = rows_of(state["source"]["replay"])
            found.append(flat | {f"row/{name}": x for name, x in rows.items()})
        return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By strategy, of two seeds, and what such a run leaves, made in one chunk."""
    made = {}
    for strategy in ("unroll", "vmap"):
        run = Run(tmp_path_factory.mktemp(strategy), strategy, [3, 4])
        ended = run.on([_END])
        made[strategy] = run, ended, run.left()
    return made


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_where_chunks_end_changes_nothing(runs, strategy):
    run, ended, left = runs[strategy]
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.choice(np.arange(1, _END), 12, replace=False))
    chunks = [1, 1, 1, *np.diff(np.concatenate([[3], cuts[cuts > 3], [_END]])).tolist()]
    assert sum(chunks) == _END
    assert run.begin().on(chunks) == ended
    assert_equal(run.left(), left)
    assert {x.terminated for _, x in ended} == {False, True}


def test_a_chunk_does_not_pass_the_end_that_it_is_told(runs):
    run = runs["unroll"][0].begin()
    run.loop._steps = 50
    run.loop.step(7)
    assert run.source.steps == 7
    run.on([1])
    assert (run.source.steps, run.source.frames) == (8, 8 * 4)
    run.loop._steps = 30
    run.loop.step()
    assert run.source.steps == 38


def test_a_state_goes_on_to_the_bit(runs):
    run, ended, left = runs["unroll"]
    before = run.begin().on([61])
    states = run.loop.get_state()
    run.on([40])  # donates what the states were taken from
    run.loop.set_state(states)
    assert before + run.on([_END - 61]) == ended
    assert_equal(run.left(), left)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_metrics_are_kept_of_one_gradient_step_in_ten_over_all_chunks(runs, strategy):
    run = runs[strategy][0].begin()
    kept = []
    for _ in range(_END // 8):
        run.on([8])
        kept += run.loop._metrics
        assert len(kept) == -(-run.loop.gradient_steps // 10)
        run.loop._metrics = []
    run.begin().on([_END])
    assert len(run.loop._metrics) == len(kept) == 8
    for one, other in zip(run.loop._metrics, kept, strict=True):
        assert one.keys() == {"loss", "grad_norm", "q_mean"}
        assert_equal([one], [other])
    assert len({float(x["loss"][0]) for x in kept}) == len(kept)


@pytest.mark.parametrize(("place", "seed"), [(0, 3), (1, 4)])
def test_a_seed_alone_is_what_it_is_among_others(runs, tmp_path, place, seed):
    alone = Run(tmp_path, "unroll", [seed])
    ended = alone.on([_END])
    assert all(x.seed_index == 0 for _, x in ended)
    (own,) = alone.left()
    assert_equal([own], [runs["unroll"][2][place]])
    among = [(t, x._replace(seed_index=0)) for t, x in runs["unroll"][1] if x.seed_index == place]
    assert ended == among
    # Mapped over seeds, sums are taken in another order.
    for name, x in runs["vmap"][2][place].items():
        if "/networks/" in name and x.dtype.kind == "f" and "params" in name:
            np.testing.assert_allclose(x, own[name], rtol=1e-2, atol=1e-4, err_msg=name)


def masks_of(run):
    """Packed masks by name, of each seed: a bit for each weight that is left."""
    states = to_states(run.loop.agent_state, run.runner.policy.learner.state_axes)
    return [flatten(own["networks"]["q"]["opt_state"]["masks"]) for own in states]


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_masks_only_lose_weights_until_just_what_was_asked_for_is_left(runs, strategy):
    run = runs[strategy][0].begin()
    before = masks_of(run)
    for _ in range(_END // 5):
        run.on([5])
        after = masks_of(run)
        for one, other in zip(before, after, strict=True):
            assert all(not (other[name] & ~one[name]).any() for name in one)
        before = after
    sizes = {"head": 12 * 15, "torso/Dense_0": 18 * 12}  # 3 actions of 5 atoms
    for own in after:
        assert {name.removesuffix("/kernel").removeprefix("params/") for name in own} == set(sizes)
        left = sum(int(np.unpackbits(x).sum()) for x in own.values())
        assert abs(left - (1 - _SPARSITY) * sum(sizes.values())) <= 1


def test_a_burst_makes_so_many_rounds_due_or_not(runs):
    run = runs["unroll"][0].begin()
    rounds = run.loop.rounds_at_once
    run.loop.burst(0, 1)
    assert (run.source.steps, run.loop.gradient_steps) == (rounds, 0)
    run.loop.burst(1, 4)
    assert (run.source.steps, run.loop.gradient_steps) == (5 * rounds, rounds)
    assert int(jax.tree.leaves(run.loop.agent_state.step)[0]) == rounds


def test_a_seed_that_diverges_is_frozen_and_the_other_is_not(runs):
    run, _, left = runs["unroll"]
    run.begin()
    first, second = run.loop.agent_state.trees
    network = second.networks["q"]
    poisoned = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), network.params)
    second = second.with_network("q", network.replace(params=poisoned))
    run.loop.agent_state = Separate([first, second])
    run.on([70, _END - 70])
    assert np.asarray(run.loop.agent_state.diverged_at).tolist() == [0, 1]
    own, other = run.left()
    assert_equal([own], left[:1])
    assert other["agent/step"] == own["agent/step"] == run.source.num_gradient_steps(_END)
    assert other["source/agent_steps"] == _END  # it plays on


_ROWS = 100_000


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
@pytest.mark.parametrize("kind", [DQNAgent, RainbowAgent])
def test_the_whole_program_never_copies_its_rows(tmp_path, strategy, kind):
    """All that makes rows or sums of priorities anew writes some of them where they lie."""
    small = {"torso": SmallTorso(), "seed_strategy": strategy, "min_replay_history": 100}
    runner = on_device(
        tmp_path,
        f"ReplayBuffer.max_capacity = {_ROWS}",
        agent=kind(**small),
        training_steps=10**6,
        num_seeds=2,
        game="breakout",
    )
    loop, source = runner.trainer, runner.source
    one, stacked = loop._run.programs
    args = loop.agent_state, source.worlds, source.keys
    if strategy == "unroll":
        one_seed = [x.trees[0] for x in args]
        compiled = one.lower(*one_seed, loop._plan(1)).compile()
    else:
        compiled = stacked.lower(*args, loop._plan(1)).compile()
    large = rf"%(\S+) = \w+\[(?:2,)?(?:{_ROWS}|{_ROWS + 1}|{2**18})[,\]]\S* ([a-z-]+)\("
    made = re.findall(large, compiled.as_text())
    operations = {name if operation == "fusion" else operation for name, operation in made}
    operations -= {"parameter", "get-tuple-element", "bitcast"}
    assert operations
    assert [x for x in operations if not re.search("dynamic-update-slice|scatter", x)] == []
    assert compiled.memory_analysis().temp_size_in_bytes < 40 * _ROWS
