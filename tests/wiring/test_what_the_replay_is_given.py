"""What a run makes its replay with, and what it stores there, step by step."""

import numpy as np
import pytest

from prune_rl.environments.batch import Step
from prune_rl.replay.samplers import PrioritizedSampler, UniformSampler
from prune_rl.specs import Discrete, ObservationSpec


@pytest.fixture(params=["dqn_run", "rainbow_run"])
def run(request):
    return request.getfixturevalue(request.param)


def test_the_replay_is_made_with_the_agents_settings(dqn_run):
    (settings,) = dqn_run.replays
    assert settings | {"seeds": list(settings["seeds"])} == {
        "seeds": [5, 6],
        "observation_spec": ObservationSpec((2, 2, 1), np.uint8, 3),
        "action_spec": Discrete(3),
        "update_horizon": 2,
        "gamma": 0.9,
        "create_sampler": UniformSampler,
        "longest_run": 60,
    }


def test_the_replay_scheme_is_the_agents(rainbow_run):
    assert rainbow_run.replays[0]["create_sampler"] is PrioritizedSampler


def test_batches_hold_returns_of_the_agents_horizon_and_discount(dqn_run):
    discounts = np.concatenate([x.returned.discount_t.ravel() for x in dqn_run.of("sample")])
    expected = np.float32([0, 0.9, 0.9**2])  # one step is left where an episode was cut
    assert {float(x) for x in discounts} == {float(x) for x in expected}
    assert all(x.returned.s_tm1.shape == (2, 32, 3, 2, 2, 1) for x in dqn_run.of("sample"))


def test_the_first_frames_come_first(run):
    assert [event.kind for event in run.of("add_first", "add")][:2] == ["add_first", "add"]
    assert len(run.of("add_first")) == 1
    ((frames,), _), _ = run.of("add_first")[0][1:]
    np.testing.assert_array_equal(frames, np.stack([e.log[0] for e in run.environments[:2]]))


def test_every_step_is_stored_as_it_was_played(run):
    stored, played = run.of("add"), run.played()
    assert len(stored) == len(played[0]) == len(played[1])
    kinds = set()
    for event, *own in zip(stored, *played, strict=True):
        _, given = event.given
        np.testing.assert_array_equal(given["actions"], [x.action for x in own])
        # Rewards of -3.5, 2 and 1.5 are clipped; 0.5 and -0.25 are not.
        clipped = [min(1.0, max(-1.0, x.reward)) for x in own]
        np.testing.assert_array_equal(given["rewards"], np.float32(clipped))
        np.testing.assert_array_equal(given["terminated"], [x.over or x.life_lost for x in own])
        np.testing.assert_array_equal(given["truncated"], [x.truncated for x in own])
        np.testing.assert_array_equal(given["next_frames"], [x.next_frame for x in own])
        np.testing.assert_array_equal(given["frames"], [x.frame for x in own])
        kinds |= {(x.over, x.life_lost, x.truncated) for x in own}
    # The script has every kind of end, so that none of the above holds for want of one.
    assert kinds >= {(False, False, False), (True, False, False), (False, True, False)}
    assert (False, False, True) in kinds


def test_actions_played_are_those_the_learner_chose(dqn_run):
    chosen = [event.returned[0] for event in dqn_run.of("act")]
    for place, own in enumerate(dqn_run.played()):
        assert [x.action for x in own] == [int(actions[place]) for actions in chosen]
        assert {x.action for x in own} == {0, 1, 2}


def test_a_step_has_the_fields_that_the_script_plays():
    """A field that the loop learns to hand on must be scripted here too."""
    fields = {"next_frames", "frames", "rewards", "terminated", "truncated", "life_lost"}
    assert set(Step._fields) == fields
