"""A game that raises: the others play on, and the step is finished later as if nothing had been."""

import numpy as np
import pytest

from prune_rl.environments.batch import EnvironmentBatch, EnvironmentFailed
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete, ObservationSpec
from prune_rl.state import flatten, unflatten

NUM_SEEDS, LONGEST, STEPS = 3, 5, 24
LENGTHS = (4, 99, 3)  # of episodes; the second seed's are cut at LONGEST


class Flaky:
    """Counts what it is asked in one frame that it draws over; raises at some calls, each once."""

    observation_spec, action_spec = ObservationSpec((4,), np.float32), Discrete(9)
    frame_skip, protocol = 1, {"suite": "flaky"}

    def __init__(self, number, threads, failures=()):
        self.number, self.steps_off_gil, self.failures = number, threads, set(failures)
        self.steps = self.resets = self.length = 0
        self.life_lost, self.calls = False, []
        self._frame = np.zeros(4)

    def _fail(self, kind, count):
        if (kind, count) in self.failures:
            self.failures.remove((kind, count))
            raise OSError(f"no {kind} {count}\nand a second line")

    def _draw(self, action):
        self._frame[:] = self.number, self.steps, self.resets, action
        return self._frame

    def reset(self):
        self._fail("reset", self.resets)
        self.resets, self.length, self.life_lost = self.resets + 1, 0, False
        self.calls.append("reset")
        return self._draw(-1)

    def step(self, action):
        self._fail("step", self.steps)
        self.steps, self.length = self.steps + 1, self.length + 1
        self.calls.append(action)
        over = self.length == LENGTHS[self.number]
        self.life_lost = self.length == 2 and not over
        return self._draw(action), self.steps / 8, over

    def get_state(self):
        return {"counts": np.array([self.steps, self.resets, self.length])}

    def set_state(self, state):
        self.steps, self.resets, self.length = state["counts"].tolist()

    def close(self):
        pass


def _batch(threads, failures=((),) * NUM_SEEDS):
    return EnvironmentBatch(
        [Flaky(i, threads, failures[i]) for i in range(NUM_SEEDS)], max_steps_per_episode=LONGEST
    )


ACTIONS = np.random.default_rng(0).integers(9, size=(STEPS, NUM_SEEDS))
# The third seed's step 2 ends an episode, so that its second reset comes with it; the second
# seed's first episode is cut at its fifth step.
FAILURES = [
    ([("step", 1)], (), ()),
    ((), [("step", 0)], ()),
    ([("step", 7)], [("step", 7)], ()),
    ((), (), [("reset", 1)]),
    ((), [("reset", 1), ("step", 4)], [("step", 11), ("reset", 4)]),
    ([("step", 1)], [("step", 1)], [("step", 1)]),
]


def _equal(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def _in_this_process(batch, threads):
    return batch


def _from_its_state(batch, threads):
    states = [unflatten({n: np.array(x) for n, x in flatten(s).items()}) for s in batch.get_state()]
    restored = _batch(threads)
    restored.set_state(states)
    own = zip(restored._environments, batch._environments, strict=True)
    for environment, before in own:
        environment.failures, environment.calls = before.failures, before.calls
    return restored


@pytest.mark.parametrize("go_on", [_in_this_process, _from_its_state])
@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("failures", FAILURES)
def test_a_step_that_failed_is_finished_as_if_nothing_had_been(go_on, threads, failures):
    whole, batch = _batch(threads), _batch(threads, failures)
    _equal([whole.reset()], [batch.reset()])
    raised = 0
    for actions in ACTIONS:
        expected, step = whole.step(actions), None
        while step is None:
            try:
                step = batch.step(actions)
            except EnvironmentFailed:
                raised += 1
                assert raised < 9
                batch = go_on(batch, threads)
        _equal(step, expected)
    assert raised
    for environment, other in zip(batch._environments, whole._environments, strict=True):
        assert environment.calls == other.calls  # nothing was played twice
        assert not environment.failures
    assert [s["length"] for s in batch.get_state()] == [s["length"] for s in whole.get_state()]


@pytest.mark.parametrize("threads", [False, True])
def test_the_others_have_played_when_a_failure_is_told_in_one_line(threads):
    batch = _batch(threads, ([("step", 2)], [("step", 2)], ()))
    batch.reset()
    for actions in ACTIONS[:2]:
        batch.step(actions)
    assert not any("played" in state for state in batch.get_state())
    expected = r"^the game of seed axis index 0 raised OSError: no step 2$"
    with pytest.raises(EnvironmentFailed, match=expected) as caught:
        batch.step(ACTIONS[2])
    assert isinstance(caught.value.__cause__, OSError)
    states = batch.get_state()
    assert ["played" in state for state in states] == [False, False, True]
    assert [int(state["length"]) for state in states] == [2, 2, 0]
    played = states[2]["played"]
    assert played["frame"].tolist() == [2, 3, 1, ACTIONS[2, 2]]
    assert played["first"].tolist() == [2, 3, 2, -1]
    others = {name: played[name].item() for name in played if name not in ("frame", "first")}
    assert others == {"reward": 3 / 8, "terminated": True, "truncated": False, "life_lost": False}


def test_a_new_start_forgets_a_step_that_failed():
    batch = _batch(False, ((), [("step", 0)], ()))
    batch.reset()
    with pytest.raises(EnvironmentFailed):
        batch.step(ACTIONS[0])
    batch.reset()
    assert not any("played" in state for state in batch.get_state())
    batch.step(ACTIONS[1])
    assert batch._environments[2].calls == ["reset", ACTIONS[0, 2], "reset", ACTIONS[1, 2]]


def _refusing(message):
    def refuse(*given):
        raise KeyError(message)

    return refuse


def test_a_game_that_cannot_tell_its_state_is_named():
    batch = _batch(threads=False)
    batch._environments[1].get_state = _refusing("lost")
    with pytest.raises(EnvironmentFailed, match="seed axis index 1 raised KeyError: 'lost'"):
        batch.get_state()


def test_a_game_that_cannot_go_on_is_named():
    batch = _batch(threads=False)
    states = batch.get_state()
    batch._environments[2].set_state = _refusing("other game")
    expected = "the game of seed axis index 2 cannot go on from its checkpoint: 'other game'"
    with pytest.raises(ConfigError, match=expected):
        batch.set_state(states)
