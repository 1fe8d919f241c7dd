"""Evaluations that are played in a thread: what they play, and how they are held, saved, failed."""

import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.acting.beside import EvaluationBeside
from prune_rl.acting.evaluation import Evaluation
from prune_rl.environments.batch import EnvironmentBatch, EnvironmentFailed
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.state import flatten, unflatten

PARAMS = {"q": {"params": {"head": np.array([3, 5, 7], np.int32)}}}


class ScriptedPolicy:
    """Actions that depend on the weights, keys and observations of each seed."""

    def exploit(self, params, keys, observations):
        words, weights = np.asarray(keys), np.asarray(params["q"]["params"]["head"])
        seen = observations.reshape(len(words), -1).astype(np.int64)
        seen = (seen * np.arange(1, seen.shape[1] + 1)).sum(axis=1)
        return (seen + words.sum(axis=1).astype(np.int64) * weights) % 3, words + np.uint32([1, 1])


class Game(MinAtarEnvironment):
    """Can wait before a step for an event, and raise once."""

    def __init__(self, seed, gate, fails_at):
        super().__init__(seed, "breakout", sticky_actions=True)
        self.steps, self.gate, self.fails_at = 0, gate, fails_at

    def step(self, action):
        if self.gate is not None and self.steps >= 10:
            self.gate.wait()
        if self.steps == self.fails_at:
            self.fails_at = None
            raise OSError("unplugged")
        self.steps += 1
        return super().step(action)


@pytest.fixture
def new_evaluation():
    """Makes evaluations of three seeds, of an iteration and weights."""

    def make(gate=None, fails_at=None):
        def new(iteration, params):
            games = [Game(10 * iteration + i, gate, fails_at) for i in range(3)]
            environments = EnvironmentBatch(games, max_steps_per_episode=13)
            keys = np.array([(5, 6), (7, 8), (9, iteration)], np.uint32)
            policy = ScriptedPolicy()
            return Evaluation(policy, environments, params=params, keys=keys, num_steps=120)

        return new

    return make


def _alone(new, iteration=2, params=PARAMS):
    evaluation, episodes = new(iteration, params), []
    evaluation.start()
    while not evaluation.done:
        episodes += evaluation.step()
    return sorted(episodes, key=lambda episode: episode.seed_index)


def _finished(beside):
    assert beside.wait(60)
    episodes = beside.episodes
    beside.close()
    return episodes


def test_it_plays_what_the_evaluation_plays_alone(new_evaluation):
    new = new_evaluation()
    expected = _alone(new)
    assert {x.seed_index for x in expected} == {0, 1, 2}
    assert len(expected) > 6
    assert _finished(EvaluationBeside.begun(new, 2, PARAMS, 3)) == expected
    other = {"q": {"params": {"head": np.array([4, 7, 9], np.int32)}}}
    assert _finished(EvaluationBeside.begun(new, 2, other, 3)) != expected
    assert _finished(EvaluationBeside.begun(new, 3, PARAMS, 3)) != expected


def test_it_keeps_weights_of_its_own(new_evaluation):
    gate = threading.Event()
    new = new_evaluation(gate)
    params = {"q": {"params": {"head": jnp.asarray(PARAMS["q"]["params"]["head"])}}}
    beside = EvaluationBeside.begun(new, 2, params, 3)
    params["q"]["params"]["head"].delete()  # as an update does with what it is given
    gate.set()
    assert _finished(beside) == _alone(new_evaluation())


def test_it_is_held_between_two_steps_and_goes_on_to_the_bit(new_evaluation):
    """Wherever it is held: at first it waits in step 10, then anywhere."""
    gate, new = threading.Event(), new_evaluation()
    expected = _alone(new)
    first = EvaluationBeside.begun(new_evaluation(gate), 2, PARAMS, 3)
    # Held while a step is under way, it waits for its end; then the gate lets steps through.
    threading.Timer(0.05, gate.set).start()
    seen = set()
    for _ in range(20):
        states = first.get_state()
        seen.add(int(states[0]["play"]["steps_taken"]))
        arrays = [{name: np.array(x) for name, x in flatten(own).items()} for own in states]
        saved = [unflatten(own) for own in arrays]
        like = {"q": {"params": {"head": jnp.zeros(3, jnp.int32)}}}
        restored = EvaluationBeside.restored(new, 2, like, saved)
        assert _finished(restored) == expected
    assert min(seen) > 0
    assert _finished(first) == expected


def test_a_game_that_raises_is_told_where_it_is_waited_for_and_can_be_finished(new_evaluation):
    beside = EvaluationBeside.begun(new_evaluation(fails_at=7), 2, PARAMS, 3)
    with pytest.raises(EnvironmentFailed, match="unplugged"):
        beside.wait(60)
    with pytest.raises(EnvironmentFailed):
        beside.wait(0)
    states = beside.get_state()
    beside.close()
    like = {"q": {"params": {"head": jnp.zeros(3, jnp.int32)}}}
    restored = EvaluationBeside.restored(new_evaluation(), 2, like, states)
    assert _finished(restored) == _alone(new_evaluation())


def test_it_stops_when_it_is_closed(new_evaluation):
    gate = threading.Event()
    beside = EvaluationBeside.begun(new_evaluation(gate), 2, PARAMS, 3)
    assert not beside.wait(0.05)
    threading.Timer(0.1, gate.set).start()
    begin = time.monotonic()
    beside.close()
    assert time.monotonic() - begin < 30
    assert beside.wait(0)
    assert beside.episodes != _alone(new_evaluation())
