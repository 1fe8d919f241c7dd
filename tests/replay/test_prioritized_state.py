"""The state of a prioritised buffer: saved, restored and refused."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.specs import Discrete, ObservationSpec

from .states import assert_same, copied

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
    first, second = (buffer.get_state() for buffer in buffers)
    for own, other in zip(first, second, strict=True):
        assert own.keys() >= {"priorities", "max_priority", "random_words"}
        for name in ("max_priority", "random_words"):
            np.testing.assert_array_equal(own[name], other[name])
    if first[0]["rows"].capacity == second[0]["rows"].capacity:
        assert_same(first, second)
    else:  # nothing was overwritten, so that slots are positions
        assert first[0]["priorities"].tolist() == second[0]["priorities"].tolist()


@pytest.mark.parametrize("steps", [1, 25, 140])
@pytest.mark.parametrize("used", [False, True])
def test_a_restored_buffer_goes_on_bit_for_bit(make_history, steps, used):
    buffer, history = played(make_history, steps)
    restored = played(make_history, 90)[0] if used else make_buffer()
    restored.set_state(copied(buffer.get_state()))
    assert_same_future(history, buffer, restored)


def test_a_run_that_is_given_more_steps_keeps_its_priorities(make_history):
    buffer, history = played(make_history, 5)
    longer = make_buffer(500)
    longer.set_state(buffer.get_state())
    assert_same_future(history, buffer, longer, steps=10)  # until the short one overwrites


def test_a_checkpoint_on_disk_keeps_every_bit(make_history, tmp_path):
    buffer, history = played(make_history)
    restored = make_buffer()
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(Checkpoint(dict(enumerate(buffer.get_state())), {}))
    checkpointer.wait()
    assert checkpointer.restore(lambda own: restored.set_state([own.seeds[0], own.seeds[1]]))
    checkpointer.close()
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
    states = buffer.get_state()
    before = copied(states)
    for _ in range(20):
        buffer.sample()
        buffer.update_priorities(np.full((2, BATCH), 50.0))
    assert_same(states, before)


def test_a_state_has_a_priority_for_every_slot_that_is_filled(make_history):
    buffer, history = make_buffer(), make_history([4, 8], (0.3, 0.3))
    buffer.add_first(history.first())
    for _ in range(60):
        states = buffer.get_state()
        for own in states:
            assert own["priorities"].dtype == own["max_priority"].dtype == np.float64
            assert own["priorities"].shape == (min(int(own["cursor"]) + 1, 50),)
        buffer.add(**history.step())
    assert {len(own["priorities"]) for own in states} == {50}


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


@pytest.mark.parametrize("seed", [0, 1])
def test_a_state_whose_priorities_do_not_fit_is_refused(make_history, seed):
    states = played(make_history)[0].get_state()
    states[seed]["priorities"] = states[seed]["priorities"][1:]
    with pytest.raises(ConfigError, match=r"priorities=\(49,\): expected \(50,\)"):
        make_buffer().set_state(states)


@pytest.mark.parametrize("name", ["priorities", "max_priority"])
def test_a_state_without_some_of_its_priorities_is_refused(make_history, name):
    states = played(make_history)[0].get_state()
    del states[1][name]
    with pytest.raises(ConfigError, match=name):
        make_buffer().set_state(states)
