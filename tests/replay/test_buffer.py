"""The buffer, sampled uniformly, against a reference that keeps whole episodes in lists."""

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

FRAME_SHAPE = (2, 3, 1)
SPECS = {"observation_spec": ObservationSpec(FRAME_SHAPE), "action_spec": Discrete(18)}
GAMMA = 0.9
END_CHANCES = [(0.0, 0.0), (0.1, 0.0), (0.05, 0.05), (0.0, 0.3), (0.5, 0.4), (1.0, 0.0)]


def numbers(stack):
    """Frame numbers of an observation (stack, H, W, C)."""
    return tuple(int.from_bytes(frame.tobytes(), "little") for frame in stack)


def valid_transitions(history, capacity, stack_size, horizon):
    """All that may be sampled, by the number of the newest frame of s_tm1."""
    return {
        episode.frames[t]: transition(episode, t, stack_size, horizon)
        for episode, t in history.startable(capacity, stack_size, horizon)
    }


def transition(episode, t, stack_size, horizon):
    span = min(horizon, len(episode.actions) - t)
    padded = [0] * (stack_size - 1) + episode.frames
    reward = sum(GAMMA**k * episode.rewards[t + k] for k in range(span))
    ends_here = t + span == len(episode.actions) and episode.end == "terminated"
    return (
        tuple(padded[t : t + stack_size]),
        episode.actions[t],
        pytest.approx(reward, abs=1e-5),
        pytest.approx(0.0 if ends_here else GAMMA**span, abs=1e-5),
        tuple(padded[t + span : t + span + stack_size]),
    )


def drawn(batch, s):
    """Transitions of seed `s` in the reference's form."""
    states, next_states = map(numbers, batch.s_tm1[s]), map(numbers, batch.s_t[s])
    scalars = (field[s].tolist() for field in (batch.a_tm1, batch.r_t, batch.discount_t))
    return list(zip(states, *scalars, next_states, strict=True))


def make_buffer(num_seeds=1, *, stack_size=1, **changes):
    defaults = {"seeds": range(num_seeds), "gamma": GAMMA, "max_capacity": 50, "batch_size": 8}
    specs = {**SPECS, "observation_spec": ObservationSpec(FRAME_SHAPE, stack_size=stack_size)}
    return ReplayBuffer(**{**specs, **defaults, **changes})


def play(buffer, history, steps):
    buffer.add_first(history.first())
    for _ in range(steps):
        buffer.add(**history.step())


@settings(max_examples=60, deadline=None)
@given(
    num_seeds=st.sampled_from([1, 3]),
    stack_size=st.sampled_from([1, 4]),
    horizon=st.sampled_from([1, 3, 5]),
    ends=st.sampled_from(END_CHANCES),
    extra=st.integers(0, 30),
    steps=st.integers(0, 120),
    seed=st.integers(0, 1000),
)
def test_samples_exactly_the_valid_transitions(
    make_history, num_seeds, stack_size, horizon, ends, extra, steps, seed
):
    capacity = stack_size + horizon + 1 + extra
    buffer = make_buffer(
        num_seeds,
        stack_size=stack_size,
        update_horizon=horizon,
        max_capacity=capacity,
        batch_size=1500,
    )
    history = make_history([seed + s for s in range(num_seeds)], ends)
    play(buffer, history, steps)
    valid = [valid_transitions(h, capacity, stack_size, horizon) for h in history.per_seed]
    if not all(valid):
        with pytest.raises(ConfigError, match="min_replay_history"):
            buffer.sample()
        return
    batch = buffer.sample()
    for s in range(num_seeds):
        seen = {}
        for sample in drawn(batch, s):
            assert sample == valid[s][sample[0][-1]]
            seen[sample[0][-1]] = True
        assert seen.keys() == valid[s].keys()


@pytest.mark.parametrize(("stack_size", "horizon"), [(1, 1), (4, 1), (4, 3)])
@pytest.mark.parametrize("ends", [(0.1, 0.1), (0.5, 0.4)])
@pytest.mark.parametrize("steps", [20, 100])
def test_every_valid_transition_is_equally_likely(make_history, stack_size, horizon, ends, steps):
    buffer = make_buffer(2, stack_size=stack_size, update_horizon=horizon, batch_size=20_000)
    history = make_history([5, 6], ends)
    play(buffer, history, steps)
    batch = buffer.sample()
    for s, seed_history in enumerate(history.per_seed):
        valid = valid_transitions(seed_history, 50, stack_size, horizon)
        newest = [numbers(stack)[-1] for stack in batch.s_tm1[s]]
        counts = [newest.count(number) for number in valid]
        assert sum(counts) == 20_000
        assert chisquare(counts).pvalue > 1e-3


def test_a_run_never_overflows_what_its_length_allocates(make_history):
    buffer = make_buffer(longest_run=30, max_capacity=10**6, batch_size=1000)
    history = make_history([0], (1.0, 0.0))  # every step ends an episode: the most rows there are
    play(buffer, history, 30)
    assert len(set(drawn(buffer.sample(), 0))) == 30
    assert buffer.get_state()[0]["rows"].capacity == 62


def test_max_capacity_caps_a_long_run():
    assert make_buffer(longest_run=10**9).get_state()[0]["rows"].capacity == 50


def test_shapes_dtypes_and_fresh_memory(make_history):
    buffer = make_buffer(3, stack_size=4, update_horizon=3, batch_size=5)
    history = make_history([0, 1, 2])
    play(buffer, history, 40)
    batch = buffer.sample()
    observations, scalars = (3, 5, 4, *FRAME_SHAPE), (3, 5)
    shapes = [observations, scalars, scalars, scalars, observations]
    dtypes = [np.uint8, np.int32, np.float32, np.float32, np.uint8]
    assert batch.probabilities is None
    arrays = batch[:-1]
    assert [(x.shape, x.dtype) for x in arrays] == list(zip(shapes, dtypes, strict=True))
    before = [x.copy() for x in arrays]
    for _ in range(60):  # overwrites every row
        buffer.add(**history.step())
        buffer.sample()
    for x, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("others", [[], [3], [3, 90]])
def test_what_a_seed_draws_depends_on_it_alone(make_history, others):
    def samples(seeds):
        buffer = make_buffer(seeds=seeds, stack_size=4, update_horizon=3, max_capacity=40)
        play(buffer, make_history(seeds, (0.3, 0.2)), 70)
        return [buffer.sample() for _ in range(4)]

    for alone, among in zip(samples([7]), samples([*others, 7]), strict=True):
        for x, y in zip(alone[:-1], among[:-1], strict=True):
            np.testing.assert_array_equal(x[0], y[-1])


def test_seeds_draw_differently(make_history):
    buffer = ReplayBuffer(seeds=[1, 2], **SPECS)
    play(buffer, make_history([9, 9], (0.0, 0.0)), 100)  # the same history twice
    batch = buffer.sample()
    assert (batch.s_tm1[0] != batch.s_tm1[1]).any()


def test_first_frames_come_once_and_first(make_history):
    buffer, history = make_buffer(), make_history([0])
    with pytest.raises(RuntimeError, match="add_first"):
        buffer.add(**history.step())
    with pytest.raises(ValueError, match="uint8"):
        buffer.add_first(history.first().astype(np.float32))
    buffer.add_first(history.first())
    with pytest.raises(RuntimeError, match="already"):
        buffer.add_first(history.first())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 32.0),
        ("max_capacity", 1e6),
        ("max_capacity", 5),
        ("max_capacity", True),
        ("update_horizon", 0),
        ("gamma", 1.5),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(ConfigError, match=rf"ReplayBuffer\.{name}={value}"):
        make_buffer(**{"stack_size": 4, name: value})


@pytest.mark.parametrize("seeds", [[], [3, -1]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ConfigError, match="seeds="):
        ReplayBuffer(seeds=seeds, **SPECS)


def test_gin_sets_capacity_and_batch_size(make_history):
    with gin.unlock_config():
        gin.parse_config(["ReplayBuffer.max_capacity = 20", "ReplayBuffer.batch_size = 6"])
    try:
        buffer = ReplayBuffer(seeds=[0], **SPECS)
    finally:
        gin.clear_config()
    play(buffer, make_history([0]), 50)
    assert buffer.sample().a_tm1.shape == (1, 6)
    assert buffer.get_state()[0]["rows"].capacity == 20


def _filled(make_history, num_seeds, steps):
    history, buffer = make_history(list(range(num_seeds))), make_buffer(num_seeds)
    play(buffer, history, steps)
    return buffer, history


def _differ(first, second):
    """Whether two batches of uniform draws hold other transitions, in every seed."""
    return all((a != b).any() for a, b in zip(first.s_tm1, second.s_tm1, strict=True))


def test_a_probe_is_a_function_of_seed_name_and_contents_and_disturbs_no_sample(make_history):
    (buffer, history), (other, _) = _filled(make_history, 2, 60), _filled(make_history, 2, 60)
    first, draw = buffer.probe(Draw(40), "one"), Draw(40)
    assert first.s_t.shape[:2] == (2, 40)
    for a, b in zip(buffer.sample(), other.sample(), strict=True):
        np.testing.assert_array_equal(a, b)
    other.sample()  # moves the stream of one of the two
    for same in (buffer.probe(draw, "one"), other.probe(draw, "one")):
        for a, b in zip(first[:-1], same[:-1], strict=True):
            np.testing.assert_array_equal(a, b)
    assert _differ(first, buffer.probe(draw, "two"))
    assert (first.s_tm1[0] != first.s_tm1[1]).any()
    buffer.add(**history.step())
    assert _differ(first, buffer.probe(draw, "one"))


def test_a_probe_of_inputs_only_is_where_the_transitions_begin(make_history):
    buffer = make_buffer(2, stack_size=3)
    play(buffer, make_history([0, 1]), 60)  # the ring has wrapped around
    whole = buffer.probe(Draw(40), "one")
    observations, actions = buffer.probe(Draw(40, inputs_only=True), "one")
    np.testing.assert_array_equal(observations, whole.s_tm1)
    np.testing.assert_array_equal(actions, whole.a_tm1)
    assert (observations == 0).all(axis=(-3, -2, -1)).any()  # frames from before an episode


def test_a_probe_draws_from_a_stream_of_its_own(make_history):
    """Not what the first batch of its size is, and each seed's own."""
    buffer, _ = _filled(make_history, 2, 60)
    probe, batch = buffer.probe(Draw(40), "one"), buffer.sample_uniformly(40)
    assert (probe.s_tm1 != batch.s_tm1).any(axis=(2, 3, 4, 5)).mean() > 0.5
    same = ReplayBuffer(seeds=[1, 2], **SPECS)
    play(same, make_history([9, 9], (0.0, 0.0)), 100)  # the same history twice
    probe = same.probe(Draw(40), "one")
    assert (probe.s_tm1[0] != probe.s_tm1[1]).any(axis=(1, 2, 3, 4)).mean() > 0.5


def test_a_batch_of_another_size(make_history):
    buffer, _ = _filled(make_history, 1, 30)
    assert buffer.sample_uniformly(7).s_tm1.shape[:2] == (1, 7)
    assert buffer.sample().s_tm1.shape[:2] == (1, buffer.batch_size)


def test_a_uniform_buffer_takes_no_priorities(make_history):
    buffer = make_buffer()
    play(buffer, make_history([0]), 20)
    buffer.sample()
    with pytest.raises(RuntimeError, match="'uniform'"):
        buffer.update_priorities(np.ones((1, 8)))


@pytest.mark.parametrize("exponent", [-0.1, 1.5, "1", True])
def test_a_bad_exponent_is_named(exponent):
    gin.bind_parameter("PrioritizedSampler.priority_exponent", exponent)
    with pytest.raises(ConfigError, match=r"PrioritizedSampler\.priority_exponent="):
        make_buffer(create_sampler=PrioritizedSampler)
