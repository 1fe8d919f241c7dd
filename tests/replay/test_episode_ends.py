"""Episode ends by hand: the case of Dopamine's issue #228, and truncation."""

import numpy as np
import pytest

from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Discrete, ObservationSpec

GAMMA = 0.5


def frame(value):
    return np.full((1, 2, 2, 1), value, np.uint8)


def sampled(horizon, end, *, episode=(1.0, 2.0, 4.0, 8.0), after=1):
    """Transitions {(frames of s_tm1): (action, return, discount, frames of s_t)}.

    Frames 10, 11, ... and actions 0, 1, ... of one episode that ends, then `after` steps with
    reward 100 of a second one with frames 50, 51, ...
    """
    buffer = ReplayBuffer(
        seeds=[0],
        observation_spec=ObservationSpec((2, 2, 1), stack_size=4),
        action_spec=Discrete(4),
        update_horizon=horizon,
        gamma=GAMMA,
        max_capacity=100,
        batch_size=500,
    )

    def add(action, reward, next_value, now_value, end=None):
        buffer.add(
            actions=np.array([action]),
            rewards=np.array([reward]),
            terminated=np.array([end == "terminated"]),
            truncated=np.array([end == "truncated"]),
            next_frames=frame(next_value),
            frames=frame(now_value),
        )

    buffer.add_first(frame(10))
    for t, reward in enumerate(episode[:-1]):
        add(t, reward, 11 + t, 11 + t)
    last = len(episode) - 1
    add(last, episode[-1], 11 + last, 50, end)
    for t in range(after):
        add(t, 100.0, 51 + t, 51 + t)
    s_tm1, a_tm1, r_t, discount_t, s_t = (field[0] for field in buffer.sample()[:-1])
    newest = [tuple(stack[:, 0, 0, 0].tolist()) for stack in s_tm1]
    following = [tuple(stack[:, 0, 0, 0].tolist()) for stack in s_t]
    scalars = (x.tolist() for x in (a_tm1, r_t, discount_t))
    return dict(zip(newest, zip(*scalars, following, strict=True), strict=True))


def test_one_step_keeps_the_last_reward():
    assert sampled(1, "terminated") == {
        (0, 0, 0, 10): (0, 1.0, 0.5, (0, 0, 10, 11)),
        (0, 0, 10, 11): (1, 2.0, 0.5, (0, 10, 11, 12)),
        (0, 10, 11, 12): (2, 4.0, 0.5, (10, 11, 12, 13)),
        (10, 11, 12, 13): (3, 8.0, 0.0, (11, 12, 13, 14)),
        (0, 0, 0, 50): (0, 100.0, 0.5, (0, 0, 50, 51)),
    }


def test_three_steps_bootstrap_until_the_terminal_is_in_the_window():
    assert sampled(3, "terminated") == {
        (0, 0, 0, 10): (0, 1 + 2 / 2 + 4 / 4, 0.125, (10, 11, 12, 13)),
        (0, 0, 10, 11): (1, 2 + 4 / 2 + 8 / 4, 0.0, (11, 12, 13, 14)),
        (0, 10, 11, 12): (2, 4 + 8 / 2, 0.0, (11, 12, 13, 14)),
        (10, 11, 12, 13): (3, 8.0, 0.0, (11, 12, 13, 14)),
    }


def test_a_truncated_episode_bootstraps_from_its_true_last_observation():
    assert sampled(3, "truncated") == {
        (0, 0, 0, 10): (0, 1 + 2 / 2 + 4 / 4, 0.125, (10, 11, 12, 13)),
        (0, 0, 10, 11): (1, 2 + 4 / 2 + 8 / 4, 0.125, (11, 12, 13, 14)),
        (0, 10, 11, 12): (2, 4 + 8 / 2, 0.25, (11, 12, 13, 14)),
        (10, 11, 12, 13): (3, 8.0, 0.5, (11, 12, 13, 14)),
    }


@pytest.mark.parametrize(("end", "discount"), [("terminated", 0.0), ("truncated", 0.5)])
def test_an_episode_of_one_step(end, discount):
    only = {(0, 0, 0, 10): (0, 3.0, discount, (0, 0, 10, 11))}
    assert sampled(3, end, episode=(3.0,), after=2) == only


def test_an_ended_episode_is_learned_from_at_once():
    assert len(sampled(3, "terminated", after=0)) == 4
