"""A restored buffer goes on as if nothing had happened."""

import io

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Box, Discrete, ObservationSpec

SEEDS = [4, 8]
CAPACITY = 40


def make_buffer(**settings):
    defaults = {
        "seeds": SEEDS,
        "observation_spec": ObservationSpec((2, 3, 1), stack_size=4),
        "action_spec": Discrete(18),
        "update_horizon": 3,
        "max_capacity": CAPACITY,
        "batch_size": 7,  # odd, so that a generator holds half a draw
    }
    return ReplayBuffer(**{**defaults, **settings})


def played(history, steps, **settings):
    buffer = make_buffer(**settings)
    buffer.add_first(history.first())
    for _ in range(steps):
        buffer.add(**history.step())
        if buffer.add_count > 5:
            buffer.sample()
    return buffer


def through_a_file(state):
    """Saves and loads, which fails unless the state is plain arrays."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    return dict(np.load(file, allow_pickle=False))


def assert_same_future(history, buffer, restored, steps=100):
    for _ in range(steps):
        for x, y in zip(buffer.sample(), restored.sample(), strict=True):
            np.testing.assert_array_equal(x, y)
        step = history.step()
        buffer.add(**step)
        restored.add(**step)
    assert buffer.add_count == restored.add_count


@pytest.mark.parametrize("steps", [6, 20, 33, 90, 133])
@pytest.mark.parametrize("used", [False, True])
def test_goes_on_bit_for_bit(make_history, steps, used):
    history = make_history(SEEDS, (0.1, 0.1))
    buffer = played(history, steps)
    restored = played(make_history([1, 2]), 70) if used else make_buffer()
    restored.set_state(through_a_file(buffer.get_state()))
    assert_same_future(history, buffer, restored)


def test_holds_only_what_is_filled(make_history):
    state = played(make_history(SEEDS, (0.0, 0.0)), 12).get_state()
    assert state["frames"].shape == (2, 13, 2, 3, 1)
    assert state["rewards"].shape == (2, 13)
    assert all(isinstance(value, np.ndarray) for value in state.values())


def test_is_a_copy(make_history):
    history = make_history(SEEDS)
    buffer = played(history, 90)
    state = buffer.get_state()
    before = {name: value.copy() for name, value in state.items()}
    for _ in range(50):
        buffer.add(**history.step())
        buffer.sample()
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)


def test_an_empty_buffer_can_be_saved(make_history):
    history = make_history(SEEDS)
    restored = make_buffer()
    restored.set_state(through_a_file(make_buffer().get_state()))
    restored.add_first(history.first())


def test_a_run_that_is_given_more_steps_keeps_its_replay(make_history):
    history = make_history(SEEDS)
    short, long = played(history, 15), make_buffer(max_capacity=500)
    long.set_state(short.get_state())
    assert_same_future(history, short, long, steps=5)  # until the short one overwrites


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": [4, 9]}, r"seeds=\[4, 8\]"),
        ({"seeds": [4]}, r"seeds=\[4, 8\]"),
        ({"observation_spec": ObservationSpec((3, 2, 1))}, r"frames=\(2, 40, 2, 3, 1\)"),
        (
            {"observation_spec": ObservationSpec((2, 3, 1), np.float32)},
            "frames='uint8': expected float32",
        ),
        (
            {"action_spec": Box((-1.0,), (1.0,))},
            r"actions=\(2, 40\): expected \(2, 40, 1\)",
        ),
        ({"max_capacity": 50}, "capacity in frames=40"),
        ({"max_capacity": 30}, "capacity in frames=40"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(make_history, settings, message):
    state = played(make_history(SEEDS), 90).get_state()
    with pytest.raises(ConfigError, match=message):
        make_buffer(**settings).set_state(state)


@pytest.mark.parametrize("name", ["frames", "random_words", "cursors"])
def test_a_state_with_an_array_missing_is_refused(make_history, name):
    state = played(make_history(SEEDS), 10).get_state()
    del state[name]
    with pytest.raises(ConfigError, match=name):
        make_buffer().set_state(state)
