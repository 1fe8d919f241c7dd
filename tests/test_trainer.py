"""What a `Trainer` keeps and hands out beside training, without learning anything."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.acting.policy import Policy
from prune_rl.learning.state import AgentState
from prune_rl.specs import Batch, Draw, Inputs
from prune_rl.state import flatten, unflatten
from prune_rl.trainer import Trainer

DRAWS = {"values": Draw(3), "srank": Draw(5, inputs_only=True)}


class _Replay:
    """Answers every draw with numbers that no other draw got, and notes what was asked."""

    def __init__(self, first=0):
        self.asked, self.next = [], first

    def probe(self, draw, name):
        self.asked.append((draw, name))
        self.next += 1
        array = np.full((2, draw.size), self.next)
        fields = (array + i for i in range(2 if draw.inputs_only else 5))
        return Inputs(*fields) if draw.inputs_only else Batch(*fields)


@pytest.fixture
def make_trainer():
    def make(replay):
        source = SimpleNamespace(
            replay=replay,
            get_state=lambda: [{"steps": np.int64(0)}] * 2,
            set_state=lambda states: None,
        )
        state = AgentState({}, jnp.int32(12), jnp.ones((2, 2), jnp.uint32), jnp.zeros(2))
        axes = AgentState(0, None, 0, 0)
        policy = Policy(None, SimpleNamespace(init=lambda seeds: state, state_axes=axes))
        return Trainer(policy, source, seeds=range(2))

    return make


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert type(one[name]) is type(other[name])
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_probe_is_drawn_anew_in_every_iteration_under_a_name_of_its_own(make_trainer):
    replay = _Replay()
    trainer = make_trainer(replay)
    first, second = (trainer.probe(DRAWS, i, fixed=False) for i in (3, 4))
    assert [draw for draw, _ in replay.asked] == [*DRAWS.values()] * 2
    assert len({name for _, name in replay.asked}) == 4
    assert (first["srank"].observations == 2).all()
    assert (second["srank"].actions == 5).all()
    assert (second["values"].s_tm1 == 3).all()
    assert [own["probe"] for own in trainer.get_state()] == [{}, {}]


def test_the_names_do_not_depend_on_what_was_drawn_before(make_trainer):
    one, other = _Replay(), _Replay()
    trainer = make_trainer(one)
    trainer.probe(DRAWS, 3, fixed=False)
    trainer.probe(DRAWS, 4, fixed=False)
    make_trainer(other).probe({"srank": DRAWS["srank"]}, 4, fixed=False)
    assert other.asked == one.asked[3:]


def test_a_fixed_probe_is_drawn_once_and_goes_into_the_checkpoint(make_trainer):
    replay = _Replay()
    trainer = make_trainer(replay)
    assert [own["probe"] for own in trainer.get_state()] == [{}, {}]
    first = trainer.probe(DRAWS, 3, fixed=True)
    _assert_equal(trainer.probe(DRAWS, 4, fixed=True), first)
    assert len(replay.asked) == 2
    restored_replay = _Replay(first=100)
    restored = make_trainer(restored_replay)
    restored.set_state([unflatten(flatten(own)) for own in trainer.get_state()])
    _assert_equal(restored.probe(DRAWS, 5, fixed=True), first)
    assert not restored_replay.asked
    assert restored.gradient_steps == 12  # the state's clock is the run's


class _Failing:
    """A source, agent, learner and policy in one, which notes what is asked; some ticks fail."""

    clock = "agent_steps"

    def __init__(self, fails_at=()):
        self.asked, self.fails_at = [], list(fails_at)
        self.agent = self.learner = self.replay = self
        self.steps = self.agent_steps = 0

    state_axes = AgentState(0, None, 0, 0)

    def init(self, seeds):
        return AgentState({}, jnp.int32(0), jnp.zeros((2, 2), jnp.uint32), jnp.zeros(2))

    def updates_due(self):
        return self.steps % 3

    def sample(self):
        return SimpleNamespace(probabilities=None)

    def update(self, state, batch):
        self.asked.append(f"update in {self.steps}")
        return state.replace(step=state.step + 1), {}, None

    def is_target_update_step(self, steps):
        return steps % 2 == 0

    def sync_target(self, state):
        self.asked.append(f"sync in {self.steps}")
        return state

    def explore(self, state, observations, agent_steps):
        self.asked.append(f"explore in {agent_steps}")
        explored = int(state.keys[0, 0]) + 1
        return np.array([explored, 10 * explored]), state.replace(keys=state.keys + 1)

    def tick(self, act):
        actions = act(np.zeros((2, 1)))
        if self.steps in self.fails_at:
            self.fails_at.remove(self.steps)
            raise OSError("unplugged")
        self.asked.append(actions.tolist())
        self.steps += 1
        self.agent_steps += 1
        return [f"episode {self.steps}"]

    def get_state(self):
        return [{"steps": np.int64(self.steps)}] * 2

    def set_state(self, states):
        pass


@pytest.mark.parametrize("through_a_state", [False, True])
def test_a_step_whose_game_raises_learns_and_explores_once(through_a_state):
    ended = {}
    for fails_at in ((), (0, 2, 2, 5)):
        source = _Failing(fails_at)
        trainer, ended[fails_at] = Trainer(source, source, seeds=range(2)), []
        while source.steps < 8:
            try:
                ended[fails_at] += trainer.step()
                assert "actions" not in trainer.get_state()[0]
            except OSError:
                if through_a_state:
                    states = trainer.get_state()
                    trainer = Trainer(source, source, seeds=range(2))
                    trainer.set_state(states)
        ended[fails_at].append(source.asked)
        assert not source.fails_at
    assert ended[()] == ended[(0, 2, 2, 5)]
    assert ended[()][-1][:7] == [
        *("explore in 0", [1, 10]),
        *("update in 1", "explore in 1", [2, 20]),
        *("update in 2", "update in 2"),
    ]
