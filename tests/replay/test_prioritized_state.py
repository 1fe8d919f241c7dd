"""The state of a prioritised buffer: saved, restored and refused."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.specs import Discrete, ObservationSpec

BATCH = 7  # odd, so that a uniform draw leaves half a word


def make_buffer(num_rows=50, scheme="prioritized"):
    return ReplayBuffer(
        seeds=[4, 8],
        observation_spec=ObservationSpec((2, 3, 1), stack_size=3),
        action_spec=Discrete(18),
        update_horizon=2,
        max_capacity=num_rows,
        batch_size=BATCH,
        create_sampler=SAMPLERS[scheme],
    )


def played(make_history, steps=100):
    """A buffer whose transitions have all been given some priority or other."""
    buffer, history, rng = make_buffer(), make_history([4, 8]), np.random.default_rng(0)
    buffer.add_first(history.first())
    for step in range(10 + steps):
        buffer.add(**history.step())
        if step >= 10:
            buffer.sample()
            buffer.update_priorities(rng.exponential(size=(2, BATCH)) ** 2)
    return buffer, history


def assert_same_future(history, *buffers, steps=60):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        batches = [buffer.sample() for buffer in buffers]
        for x, y in zip(*batches, strict=True):
            np.testing.assert_array_equal(x, y)
        given, step = rng.exponential(size=(2, BATCH)), history.step()
        for buffer in buffers:
            buffer.add(**step)
            buffer.update_priorities(given)
    states = [buffer.get_state() for buffer in buffers]
    for name in ("priority_words", "max_priority_words", "random_words"):
        np.testing.assert_array_equal(states[0][name], states[1][name])


@pytest.mark.parametrize("steps", [1, 25, 140])
@pytest.mark.parametrize("used", [False, True])
def test_a_restored_buffer_goes_on_bit_for_bit(make_history, steps, used):
    buffer, history = played(make_history, steps)
    restored = played(make_history, 90)[0] if used else make_buffer()
    restored.set_state(buffer.get_state())
    assert_same_future(history, buffer, restored)


def test_a_run_that_is_given_more_steps_keeps_its_priorities(make_history):
    buffer, history = played(make_history, 5)
    longer = make_buffer(500)
    longer.set_state(buffer.get_state())
    assert_same_future(history, buffer, longer, steps=10)  # until the short one overwrites


def test_a_checkpoint_on_disk_keeps_every_bit(make_history, tmp_path):
    buffer, history = played(make_history)
    state, restored = buffer.get_state(), make_buffer()
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, Checkpoint({"w": np.zeros(1)}, {"replay": state}, {"rows": 0}))
    _, checkpoint = checkpointer.restore_latest({"w": np.zeros(1)})
    checkpointer.close()
    restored.set_state(checkpoint.host["replay"])
    assert_same_future(history, buffer, restored)


def test_an_empty_buffer_can_be_saved(make_history):
    restored, buffer, history = make_buffer(), make_buffer(), make_history([4, 8])
    restored.set_state(buffer.get_state())
    first, steps = history.first(), [history.step() for _ in range(10)]
    for each in (buffer, restored):
        each.add_first(first)
        for step in steps:
            each.add(**step)
    assert_same_future(history, buffer, restored)


def test_a_state_is_a_copy(make_history):
    buffer, _ = played(make_history)
    state = buffer.get_state()
    before = {name: value.copy() for name, value in state.items()}
    for _ in range(20):
        buffer.sample()
        buffer.update_priorities(np.full((2, BATCH), 50.0))
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)


def test_no_state_while_a_batch_awaits_its_priorities(make_history):
    buffer, _ = played(make_history)
    buffer.sample()
    with pytest.raises(RuntimeError, match="awaits"):
        buffer.get_state()


@pytest.mark.parametrize("schemes", [("uniform", "prioritized"), ("prioritized", "uniform")])
def test_a_state_of_the_other_scheme_is_refused(make_history, schemes):
    saved, mine = (make_buffer(scheme=scheme) for scheme in schemes)
    saved.add_first(make_history([4, 8]).first())
    with pytest.raises(
        ConfigError, match=f"^replay_scheme='{schemes[1]}': expected '{schemes[0]}'"
    ):
        mine.set_state(saved.get_state())


@pytest.mark.parametrize("name", ["priority_words", "max_priority_words"])
def test_a_state_whose_priorities_do_not_fit_is_refused(make_history, name):
    buffer, _ = played(make_history)
    state = buffer.get_state()
    with pytest.raises(ConfigError, match=name):
        make_buffer().set_state(state | {name: state[name][:, 1:]})
    if name == "max_priority_words":
        del state[name]
        with pytest.raises(ConfigError, match=name):
            make_buffer().set_state(state)
