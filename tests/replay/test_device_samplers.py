"""Samplers of a device ring against the host's, after the same history."""

import math
import re

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from scipy.stats import chisquare

from prune_rl.errors import ConfigError
from prune_rl.replay import device_ring
from prune_rl.replay.device_samplers import DEVICE_SAMPLERS, Prioritized
from prune_rl.replay.samplers import SAMPLERS, PrioritizedSampler
from prune_rl.specs import GOES_ON, TERMINATED, Discrete, ObservationSpec

from .test_device_ring import END_CHANCES, Both, numbered, specs, stacked

GIVEN = [0.0, 0.125, 0.5, 1.0, 2.5, 40.0, math.nan, math.inf, -math.inf]
SIZE = 8


class Numbers:
    """A stream that gives what it was told."""

    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, out):
        out[:] = self.numbers


class Pair(Both):
    """With a prioritized sampler on either side."""

    def __init__(self, history, num_rows, stack_size, horizon, exponent):
        super().__init__(history, num_rows, *specs(stack_size, False))
        gin.bind_parameter("PrioritizedSampler.priority_exponent", exponent)
        self.horizon = horizon
        self.hosts = PrioritizedSampler(self.host, horizon)
        self.devices = DEVICE_SAMPLERS["prioritized"](horizon)
        self.note, self.update = jax.jit(self.devices.note), jax.jit(self.devices.update)
        self.own = self.devices.init(num_rows)

    def start(self):
        super().start()
        self.own = self.note(self.own, self.device)

    def step(self):
        super().step()
        self.own = self.note(self.own, self.device)

    def draw(self, monkeypatch, numbers):
        """Starts (SIZE,) that both draw with the same uniform numbers, and both chances."""
        candidates = self.host.candidates(self.horizon)
        starts, chances = self.hosts.draw([Numbers(numbers)], len(numbers), *candidates)
        with monkeypatch.context() as patched:
            patched.setattr(jax.random, "uniform", lambda key, shape: jnp.float32(numbers))
            mine, shares = self.devices.draw(self.own, self.device, None, len(numbers))
        assert (mine.dtype, shares.dtype) == (np.int32, np.float32)
        np.testing.assert_array_equal(mine, starts[0])
        np.testing.assert_allclose(shares, chances[0], rtol=1e-6)
        return starts[0]

    def give(self, starts, priorities):
        self.hosts.update(priorities[None])
        self.own = self.update(self.own, self.device, np.int32(starts), np.float32(priorities))

    def assert_agrees(self):
        (hosts,), mine = self.hosts.get_state(), self.devices.to_state(self.own, self.device)
        assert {x: (y.shape, y.dtype) for x, y in mine.items()} == {
            x: (np.shape(y), y.dtype) for x, y in hosts.items()
        }
        for name, values in hosts.items():
            np.testing.assert_allclose(mine[name], values, rtol=2e-6)
        nodes = np.asarray(self.own.nodes)
        children = nodes.reshape(-1, 2)[1:].sum(axis=1)
        np.testing.assert_array_equal(nodes[1 : len(nodes) // 2], children)


@settings(max_examples=15, deadline=None)
@given(
    stack_size=st.sampled_from([1, 4]),
    horizon=st.sampled_from([1, 3]),
    ends=st.sampled_from(END_CHANCES),
    extra=st.sampled_from([0, 13]),
    exponent=st.sampled_from([1.0, 0.5, 0]),
    seed=st.integers(0, 1000),
)
def test_the_same_history_makes_the_same_leaves(
    make_history, stack_size, horizon, ends, extra, exponent, seed
):
    """Draws may come steps before their priorities, and their rows be overwritten meanwhile."""
    history, rng = make_history([seed], ends), np.random.default_rng(seed)
    pair = Pair(history, stack_size + horizon + 1 + extra, stack_size, horizon, exponent)
    pair.start()
    for _ in range(40):
        pair.step()
        pair.assert_agrees()
        low, high = pair.host.candidates(horizon)
        leaves = pair.hosts.get_state()[0]["priorities"]
        if rng.random() < 0.4 and high[0] > low[0] and leaves.any():
            candidates = pair.host.candidates(horizon)
            starts, _ = pair.hosts.draw([rng], SIZE, *candidates)
            pair.play(rng.integers(0, 8))
            pair.give(starts[0], rng.choice(GIVEN, SIZE))
            pair.assert_agrees()


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.1, 0.1)])
def test_the_same_numbers_draw_the_same_transitions(make_history, monkeypatch, ends):
    """Priorities and numbers are such that neither side has to round."""
    rng = np.random.default_rng(0)
    pair = Pair(make_history([5], ends), 60, 4, 3, 1.0)
    pair.start()
    pair.play(5)
    for _ in range(60):
        pair.step()
        starts = pair.draw(monkeypatch, rng.integers(0, 256, SIZE) / 256)
        pair.give(starts, rng.integers(1, 33, SIZE) / 8)


def test_a_start_drawn_twice_takes_the_later_priority():
    sampler, ring = Prioritized(1, 1.0), appended(9, 6)
    own = sampler.note(sampler.init(9), ring)
    own = sampler.update(own, ring, np.int32([2, 4, 2]), np.float32([7, 1, 3]))
    own = jax.jit(sampler.update)(own, ring, np.int32([3, 4, 3]), np.float32([1, 9, 5]))
    assert sampler.to_state(own, ring)["priorities"].tolist()[2:5] == [3, 5, 9]
    assert own.largest == 9


def appended(num_rows, steps, shape=(1, 1, 1)):
    """A ring with that many transitions of one episode, its frames numbered."""
    ring = device_ring.empty(num_rows, ObservationSpec(shape), Discrete(6))
    ring = device_ring.start(ring, numbered(0, shape))
    if not steps:
        return ring

    def step(i, ring):
        new = numbered(i + 1, shape)
        return device_ring.append(ring, 0, 1.0, jnp.uint8(GOES_ON), new, new)

    return jax.jit(lambda ring: lax.fori_loop(0, steps, step, ring))(ring)


def with_priorities(num_rows, values):
    """A full ring whose leaves are given."""
    sampler, ring = Prioritized(1, 1.0), appended(num_rows, num_rows - 1)
    state = {"priorities": np.append(values, 0.0), "max_priority": np.float64(1)}
    return sampler, ring, sampler.from_state(state, ring)


def test_each_transition_is_drawn_as_often_as_its_priority_says():
    values = np.random.default_rng(1).exponential(size=40) ** 2
    sampler, ring, own = with_priorities(41, values)
    draw = jax.jit(jax.vmap(lambda key: sampler.draw(own, ring, key, 32)))
    starts, chances = draw(jax.random.split(jax.random.PRNGKey(0), 2000))
    counts = np.bincount(np.ravel(starts), minlength=40)
    assert chisquare(counts, values / values.sum() * 64_000).pvalue > 1e-3
    np.testing.assert_allclose(chances, (values / values.sum())[starts], rtol=1e-5)


def test_one_draw_falls_into_each_stratum():
    sampler, ring, own = with_priorities(33, np.ones(32))
    starts, chances = sampler.draw(own, ring, jax.random.PRNGKey(0), 32)
    assert starts.tolist() == list(range(32))
    assert (chances == 1 / 32).all()


def test_neighbours_among_a_million_are_told_apart(monkeypatch):
    """As one float32, a target 0.97 into one leaf would be rounded to the next."""
    count = 1_000_000
    sampler, ring, own = with_priorities(count + 1, np.ones(count))
    within = np.arange(32) * 971 + 7
    numbers = np.float32((within + 0.97) / (count // 32))
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.array(numbers))
    starts, _ = sampler.draw(own, ring, None, 32)
    np.testing.assert_array_equal(starts, np.arange(32) * (count // 32) + within)


def test_where_all_priorities_are_zero_chances_are_not_numbers():
    sampler, ring, own = with_priorities(9, np.zeros(8))
    assert np.isnan(sampler.draw(own, ring, jax.random.PRNGKey(0), 4)[1]).all()


def test_the_uniform_sampler_takes_no_priorities():
    sampler, ring = DEVICE_SAMPLERS["uniform"](1), appended(9, 6)
    own = sampler.note(sampler.init(9), ring)
    starts, chances = sampler.draw(own, ring, jax.random.PRNGKey(0), 4)
    assert chances is None
    key = jax.random.PRNGKey(0)
    np.testing.assert_array_equal(starts, device_ring.draw_uniformly(ring, key, 4, 1))
    with pytest.raises(RuntimeError, match="'uniform'"):
        sampler.update(own, ring, starts, np.ones(4))


def test_there_is_one_of_each_name():
    assert DEVICE_SAMPLERS.keys() == SAMPLERS.keys()
    for name, make in DEVICE_SAMPLERS.items():
        ring = appended(9, 6)
        sampler = make(2)
        own = sampler.note(sampler.init(9), ring)
        assert sampler.to_state(own, ring).keys() == SAMPLERS[name].STATE


@pytest.mark.parametrize("exponent", [-0.1, "1"])
def test_a_bad_exponent_is_named(exponent):
    gin.bind_parameter("PrioritizedSampler.priority_exponent", exponent)
    with pytest.raises(ConfigError, match=r"PrioritizedSampler\.priority_exponent="):
        DEVICE_SAMPLERS["prioritized"](1)


@pytest.mark.parametrize("steps", [0, 15, 90])
def test_a_state_goes_on_bit_for_bit(make_history, steps):
    """Into a ring of its own, and from the host's sampler as from its own."""
    pair = Pair(make_history([3], (0.1, 0.1)), 20, 4, 3, 0.5)
    pair.start()
    pair.play(steps)
    state = pair.devices.to_state(pair.own, pair.device)
    restored = pair.devices.from_state(state, pair.device)
    for mine, other in zip(jax.tree.leaves(pair.own), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype
    pair.own = pair.devices.from_state(pair.hosts.get_state()[0], pair.device)
    pair.play(30)
    pair.assert_agrees()


def test_a_state_of_other_rows_is_refused():
    sampler, ring, own = with_priorities(9, np.ones(8))
    state = sampler.to_state(own, ring)
    with pytest.raises(ConfigError, match="priorities"):
        sampler.from_state(state, appended(9, 3))


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_loop_that_draws_and_updates_never_copies_its_sums(num_seeds):
    sampler, num_rows = Prioritized(3, 0.5), 100_000

    def learn(ring, own):
        def step(i, carry):
            ring, own, total = carry
            end = jnp.where(i % 7 == 6, TERMINATED, GOES_ON).astype(jnp.uint8)
            new = numbered(i, (2, 2, 1))
            ring = device_ring.append(ring, i % 3, jnp.float32(i), end, new, new)
            own = sampler.note(own, ring)
            starts, chances = sampler.draw(own, ring, jax.random.PRNGKey(0), 32)
            own = sampler.update(own, ring, starts, jnp.sin(starts.astype(jnp.float32)) + 1)
            return ring, own, total + chances.sum()

        return lax.fori_loop(0, 10, step, (ring, own, 0.0))

    ring = appended(num_rows, 0, (2, 2, 1))
    carry, function = (ring, sampler.note(sampler.init(num_rows), ring)), learn
    if num_seeds > 1:
        carry, function = stacked([carry] * num_seeds), jax.vmap(learn)
    compiled = jax.jit(function, donate_argnums=(0, 1)).lower(*carry).compile()
    copied = rf"= \w+\[(?:{num_seeds},)?(?:100000|100001|262144)[,\]]\S* copy"
    assert not re.findall(copied, compiled.as_text())
    assert compiled.memory_analysis().temp_size_in_bytes < num_rows
