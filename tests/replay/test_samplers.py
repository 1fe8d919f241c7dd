"""A replay asks its sampler, whatever it is, and nothing else of it."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS, PrioritizedSampler, scheme_of
from prune_rl.specs import Discrete, Draw, ObservationSpec

SPECS = {"observation_spec": ObservationSpec((2, 3, 1)), "action_spec": Discrete(18)}


class Oldest:
    """Draws the oldest transition of each seed, again and again, and counts what it is asked."""

    STATE = frozenset({"asked"})
    BYTES_PER_ROW = 0

    def __init__(self, ring, horizon):
        self.made_of = (ring.stack_size, horizon)
        self.asked, self.given = np.zeros((ring.num_seeds, 1), np.int32), []

    def draw(self, streams, size, low, high):
        self.asked += 1
        starts = np.repeat(low[:, None], size, axis=1)
        return starts, np.full(starts.shape, 0.25, np.float32)

    def update(self, priorities):
        self.given.append(priorities)

    def get_state(self):
        return [{"asked": own.copy()} for own in self.asked]

    def set_state(self, states):
        self.asked[:] = [state["asked"] for state in states]


def played(make_history, create_sampler=Oldest, steps=80):
    made = []

    class Kept(create_sampler):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    settings = {"max_capacity": 50, "batch_size": 8, "update_horizon": 2}
    buffer = ReplayBuffer(seeds=[3, 4], create_sampler=Kept, **SPECS, **settings)
    history = make_history([3, 4], (0.0, 0.0))
    buffer.add_first(history.first())
    for _ in range(steps):
        buffer.add(**history.step())
    return buffer, made[0]


def numbers(batch):
    return [[int.from_bytes(x.tobytes(), "little") for x in own] for own in batch.s_tm1]


def test_batches_are_what_the_sampler_draws_and_priorities_are_handed_to_it(make_history):
    buffer, sampler = played(make_history)
    assert sampler.made_of == (1, 2)
    batch = buffer.sample()
    assert numbers(batch) == [[32] * 8] * 2  # of 81 frames the newest 50 are kept
    assert (batch.probabilities == 0.25).all()
    priorities = np.ones((2, 8))
    buffer.update_priorities(priorities)
    assert sampler.given[0] is priorities
    assert (sampler.asked == 1).all()


def test_uniform_draws_do_not_ask_it(make_history):
    buffer, sampler = played(make_history)
    for batch in (buffer.sample_uniformly(40), buffer.probe(Draw(40), "one")):
        assert all(len(set(own)) > 10 for own in numbers(batch))
        assert batch.probabilities is None
    assert (sampler.asked == 0).all()


def test_its_arrays_are_part_of_the_state(make_history):
    (buffer, _), (restored, sampler) = played(make_history), played(make_history, steps=0)
    buffer.sample()
    states = buffer.get_state()
    restored.set_state(states)
    assert (sampler.asked == 1).all()
    del states[1]["asked"]
    with pytest.raises(ConfigError, match="asked"):
        restored.set_state(states)


@pytest.mark.parametrize("scheme", SAMPLERS)
def test_a_state_tells_what_it_was_drawn_from_with(make_history, scheme):
    buffer, sampler = played(make_history, SAMPLERS[scheme])
    own = sampler.get_state()
    assert len(own) == 2
    for arrays, state in zip(own, buffer.get_state(), strict=True):
        assert arrays.keys() == sampler.STATE
        assert scheme_of(state.keys()) == scheme


def test_a_state_with_some_of_the_arrays_tells_it_still():
    for name in PrioritizedSampler.STATE:
        assert scheme_of({"frames", name}) == "prioritized"
