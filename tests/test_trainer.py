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
        state = AgentState({}, jnp.int32(12), jnp.arange(4, dtype=jnp.uint32).reshape(2, 2))
        axes = AgentState(0, None, 0)
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
