"""Prioritised replay against a dictionary of priorities per seed."""

import math
from collections import deque

import gin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from prune_rl.errors import ConfigError
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import PrioritizedSampler
from prune_rl.specs import Discrete, Draw, ObservationSpec

from .states import in_slots

FRAME_SHAPE = (2, 3, 1)
END_CHANCES = [(0.0, 0.0), (0.1, 0.1), (0.0, 0.3), (0.5, 0.4), (1.0, 0.0)]
GIVEN = [0.0, 1e-5, 0.3, 1.0, 2.5, 40.0, math.nan, math.inf, -math.inf]


def make_buffer(seeds=(0,), *, stack_size=1, **changes):
    return ReplayBuffer(
        seeds=seeds,
        observation_spec=ObservationSpec(FRAME_SHAPE, stack_size=stack_size),
        action_spec=Discrete(18),
        create_sampler=PrioritizedSampler,
        **{"max_capacity": 50, "batch_size": 8, **changes},
    )


def start(buffer, history, steps=0):
    buffer.add_first(history.first())
    play(buffer, history, steps)


def play(buffer, history, steps):
    for _ in range(steps):
        buffer.add(**history.step())


def number(frame):
    return int.from_bytes(frame.tobytes(), "little")


def names(batch):
    """Transitions as the number of the newest frame of s_tm1, a list per seed."""
    return [[number(stack[-1]) for stack in stacks] for stacks in batch.s_tm1]


def priorities_in(states):
    """{name: priority} of each seed, slot by slot, as far as it is above zero."""
    return [
        {number(f): float(v) for f, v in zip(in_slots(own), own["priorities"], strict=True) if v}
        for own in states
    ]


class NaiveSeed:
    """What one seed's priorities should be, by transitions' names."""

    def __init__(self, history, limits, exponent):
        self.history, self.limits, self.exponent = history, limits, exponent
        self.priorities, self.largest = {}, 1.0

    def note_step(self):
        alive = [episode.frames[t] for episode, t in self.history.startable(*self.limits)]
        new = self.largest**self.exponent
        self.priorities = {name: self.priorities.get(name, new) for name in alive}

    def update(self, drawn, given):
        largest = self.largest
        for name, priority in zip(drawn, given.tolist(), strict=True):
            value = priority if math.isfinite(priority) else largest
            value = value**self.exponent if value else 0.0
            self.largest = max(self.largest, value)
            if name in self.priorities:
                self.priorities[name] = value

    def positive(self):
        return {name: value for name, value in self.priorities.items() if value}


def assert_drawn_from(seed, drawn, probabilities):
    total = sum(seed.priorities.values())
    expected = [seed.priorities[name] / total for name in drawn]
    assert min(expected) > 0
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)


def assert_agrees(naive, states):
    for seed, own, state in zip(naive, priorities_in(states), states, strict=True):
        assert own == pytest.approx(seed.positive(), rel=1e-12)
        assert state["max_priority"] == pytest.approx(seed.largest, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    num_seeds=st.sampled_from([1, 3]),
    stack_size=st.integers(1, 4),
    horizon=st.integers(1, 5),
    ends=st.sampled_from(END_CHANCES),
    extra=st.integers(0, 20),
    exponent=st.sampled_from([1.0, 0.5, 0]),
    sample_chance=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_long_histories_agree_with_a_dictionary(
    make_history, num_seeds, stack_size, horizon, ends, extra, exponent, sample_chance, seed
):
    limits = (stack_size + horizon + 1 + extra, stack_size, horizon)
    gin.bind_parameter("PrioritizedSampler.priority_exponent", exponent)
    seeds = range(seed, seed + num_seeds)
    buffer = make_buffer(
        seeds, stack_size=stack_size, update_horizon=horizon, max_capacity=limits[0]
    )
    history = make_history(list(seeds), ends)
    naive = [NaiveSeed(own, limits, exponent) for own in history.per_seed]
    rng, waiting = np.random.default_rng(seed), deque()
    start(buffer, history)
    for _ in range(120):
        play(buffer, history, 1)
        for own in naive:
            own.note_step()
        if rng.random() < sample_chance and all(own.positive() for own in naive):
            batch = buffer.sample()
            waiting.append(names(batch))
            for own, drawn, chances in zip(naive, waiting[-1], batch.probabilities, strict=True):
                assert_drawn_from(own, drawn, chances)
        while waiting and rng.random() < 0.6:
            given = rng.choice(GIVEN, (num_seeds, 8))
            buffer.update_priorities(given)
            for own, drawn, row in zip(naive, waiting.popleft(), given, strict=True):
                own.update(drawn, row)
        if not waiting and rng.random() < 0.3:
            assert_agrees(naive, buffer.get_state())
    while waiting:
        buffer.update_priorities(np.ones((num_seeds, 8)))
        for own, drawn in zip(naive, waiting.popleft(), strict=True):
            own.update(drawn, np.ones(8))
    assert_agrees(naive, buffer.get_state())


def played(make_history, seeds=(0,), steps=100, **changes):
    """A buffer whose transitions have all been given some priority or other."""
    buffer = make_buffer(seeds, **changes)
    history, rng = make_history(list(seeds)), np.random.default_rng(0)
    start(buffer, history, 10)
    for _ in range(steps):
        play(buffer, history, 1)
        size = (len(seeds), buffer.sample().a_tm1.shape[1])
        buffer.update_priorities(rng.exponential(size=size) ** 2)
    return buffer, history


def test_each_transition_is_drawn_as_often_as_its_priority_says(make_history):
    buffer, _ = played(make_history, (5, 6))
    expected = priorities_in(buffer.get_state())
    batches = [names(buffer.sample()) for _ in range(1500)]
    for s, priorities in enumerate(expected):
        drawn = [name for batch in batches for name in batch[s]]
        counts = [drawn.count(name) for name in priorities]
        assert sum(counts) == len(drawn)
        shares = np.array(list(priorities.values())) / sum(priorities.values())
        assert chisquare(counts, shares * len(drawn)).pvalue > 1e-3


def test_one_draw_falls_into_each_stratum(make_history):
    buffer, _ = played(make_history, (5, 6), batch_size=16)
    states = buffer.get_state()
    values = [own["priorities"] for own in states]
    for _ in range(50):
        for s, drawn in enumerate(names(buffer.sample())):
            slots = [number(frame) for frame in in_slots(states[s])]
            ends = np.cumsum(values[s]) / values[s].sum()
            for part, name in enumerate(drawn):
                slot = slots.index(name)
                begin = ends[slot - 1] if slot else 0.0
                assert begin <= (part + 1) / 16
                assert ends[slot] >= part / 16


def test_with_as_many_strata_as_equal_priorities_each_is_drawn_once(make_history):
    buffer = make_buffer(batch_size=30)
    start(buffer, make_history([0], (0.0, 0.0)), 30)
    for _ in range(5):
        batch = buffer.sample()
        assert sorted(names(batch)[0]) == list(range(1, 31))
        np.testing.assert_allclose(batch.probabilities, 1 / 30, rtol=1e-6)


def test_draws_within_a_stratum_vary(make_history):
    buffer = make_buffer(batch_size=3)
    start(buffer, make_history([0], (0.0, 0.0)), 30)
    assert len({name for _ in range(300) for name in names(buffer.sample())[0]}) == 30


def test_a_batch_is_a_uniform_one_with_probabilities(make_history):
    buffer, _ = played(make_history, (1, 2, 3), stack_size=4, update_horizon=3)
    batch, uniform = buffer.sample(), buffer.sample_uniformly(8)
    for x, y in zip(batch[:-1], uniform[:-1], strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
    assert uniform.probabilities is None
    assert (batch.probabilities.shape, batch.probabilities.dtype) == ((3, 8), np.float32)


def test_priorities_go_to_the_oldest_batch_first(make_history):
    buffer = make_buffer(batch_size=1)
    start(buffer, make_history([0], (0.0, 0.0)), 20)
    first, second = names(buffer.sample())[0], names(buffer.sample())[0]
    assert first != second
    buffer.update_priorities(np.array([[7.0]]))
    buffer.update_priorities(np.array([[0.25]]))
    priorities = priorities_in(buffer.get_state())[0]
    assert (priorities[first[0]], priorities[second[0]]) == (7.0, 0.25)


def test_new_transitions_get_the_largest_priority_so_far(make_history):
    buffer, history = make_buffer((0, 1), batch_size=1), make_history([0, 1], (0.0, 0.0))
    start(buffer, history, 3)
    drawn = names(buffer.sample())
    play(buffer, history, 1)  # stored before any priority above 1 was known
    buffer.update_priorities(np.array([[5.0], [0.5]]))
    play(buffer, history, 1)
    first, second = priorities_in(buffer.get_state())
    assert first == {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 5.0} | {drawn[0][0]: 5.0}
    assert second == {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0} | {drawn[1][0]: 0.5}


def test_a_transition_overwritten_meanwhile_keeps_what_its_slot_has_now(make_history):
    buffer, history = make_buffer(max_capacity=6), make_history([0], (0.0, 0.0))
    start(buffer, history, 5)
    assert set(names(buffer.sample())[0]) == {1, 2, 3, 4, 5}
    play(buffer, history, 3)  # frames 1, 2 and 3 are gone
    buffer.update_priorities(np.full((1, 8), 9.0))
    assert priorities_in(buffer.get_state())[0] == {4: 9.0, 5: 9.0, 6: 1.0, 7: 1.0, 8: 1.0}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_priority_that_is_not_finite_counts_as_the_largest(make_history, bad):
    buffer, history = make_buffer(batch_size=1), make_history([0], (0.0, 0.0))
    start(buffer, history, 3)
    buffer.sample()
    buffer.update_priorities(np.array([[6.0]]))
    play(buffer, history, 30)
    drawn = names(buffer.sample())[0][0]
    buffer.update_priorities(np.array([[0.1]]))
    while names(buffer.sample())[0][0] != drawn:
        buffer.update_priorities(np.array([[0.1]]))
    buffer.update_priorities(np.array([[bad]]))
    states = buffer.get_state()
    assert priorities_in(states)[0][drawn] == 6.0
    assert states[0]["max_priority"] == 6.0


def test_without_any_priority_above_zero_sampling_says_so(make_history):
    buffer = make_buffer()
    start(buffer, make_history([0], (0.0, 0.0)), 2)
    buffer.sample()
    buffer.update_priorities(np.zeros((1, 8)))
    with pytest.raises(ConfigError, match="priorities"):
        buffer.sample()


def test_without_a_complete_transition_sampling_says_so(make_history):
    buffer, history = make_buffer(update_horizon=3), make_history([0], (0.0, 0.0))
    start(buffer, history, 2)
    with pytest.raises(ConfigError, match="min_replay_history >= 3"):
        buffer.sample()
    play(buffer, history, 1)
    assert names(buffer.sample()) == [[1] * 8]


def test_uniform_draws_need_no_priorities_and_take_none(make_history):
    buffer, _ = played(make_history)
    buffer.sample_uniformly(30)
    buffer.probe(Draw(30), "one")
    with pytest.raises(RuntimeError, match="every batch"):
        buffer.update_priorities(np.ones((1, 8)))


@pytest.mark.parametrize("given", [np.ones((1, 7)), np.ones(8), np.full((1, 8), -0.1)])
def test_bad_priorities_are_refused(make_history, given):
    buffer, _ = played(make_history)
    buffer.sample()
    with pytest.raises(ValueError, match=r"\(1, 8\)"):
        buffer.update_priorities(given)
    buffer.update_priorities(np.ones((1, 8)))  # the batch is still waiting


@pytest.mark.parametrize("others", [[], [3], [3, 90]])
def test_what_a_seed_draws_depends_on_it_alone(make_history, others):
    def samples(seeds):
        buffer = make_buffer(seeds, stack_size=4, update_horizon=3)
        history, batches = make_history(seeds, (0.3, 0.2)), []
        start(buffer, history, 20)
        for _ in range(60):
            play(buffer, history, 2)
            batches.append(buffer.sample())
            buffer.update_priorities(np.abs(batches[-1].r_t) + 0.01)
        return batches

    for alone, among in zip(samples([7]), samples([*others, 7]), strict=True):
        for x, y in zip(alone, among, strict=True):
            np.testing.assert_array_equal(x[0], y[-1])
