"""Vectors and box actions: a scripted environment, and Pendulum against its own equations."""

import gymnasium
import numpy as np
import pytest

from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.stack import FrameStack
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Box, Discrete, ObservationSpec
from prune_rl.state import array_to_json, json_to_array


class Echo:
    """Shows how many steps it has played, of which episode, and its last action, in float64."""

    observation_spec = ObservationSpec((4,), np.float32)
    action_spec = Box((-1.0, -1.0), (1.0, 1.0))
    frame_skip, life_lost, protocol = 1, False, {"suite": "echo"}

    def __init__(self, steps_off_gil):
        self.steps_off_gil, self.played, self.episodes = steps_off_gil, [], 0

    def reset(self):
        self.episodes += 1
        return np.array([len(self.played), self.episodes, 0, 0], np.float64)

    def step(self, action):
        self.played.append(action)
        frame = np.array([len(self.played), self.episodes, *action], np.float64)
        return frame, float(action[0]), bool(action[1] > 0.9)

    def close(self):
        pass


@pytest.mark.parametrize("threads", [False, True])
def test_each_seed_is_given_its_row_of_the_actions(threads):
    environments = [Echo(threads), Echo(threads)]
    batch = EnvironmentBatch(environments, 3)
    assert batch.action_spec == Box((-1.0, -1.0), (1.0, 1.0))
    assert batch.reset().tolist() == [[0, 1, 0, 0]] * 2
    stack = FrameStack(2, batch.observation_spec)
    actions = np.float32([[[0.25, 0], [0.5, 1]], [[-1, 0.5], [0, 0]], [[0.125, 0], [0, 0]]])
    steps = []
    for own in actions:
        steps.append(batch.step(own))
        stack.push(steps[-1].frames)
        np.testing.assert_array_equal(stack.array, steps[-1].frames)
    batch.close()
    for step in steps:
        for frames in (step.next_frames, step.frames):
            assert (frames.dtype, frames.shape) == (np.float32, (2, 4))
    for place, environment in enumerate(environments):
        np.testing.assert_array_equal(environment.played, actions[:, place])
    assert [step.rewards.tolist() for step in steps] == [[0.25, 0.5], [-1, 0], [0.125, 0]]
    # The second seed's first action ended its episode; the first seed's was cut after three.
    assert steps[0].terminated.tolist() == [False, True]
    assert steps[0].next_frames.tolist() == [[1, 1, 0.25, 0], [1, 1, 0.5, 1]]
    assert steps[0].frames.tolist() == [[1, 1, 0.25, 0], [1, 2, 0, 0]]
    assert steps[2].truncated.tolist() == [True, False]
    assert steps[2].next_frames.tolist() == [[3, 1, 0.125, 0], [3, 2, 0, 0]]
    assert steps[2].frames.tolist() == [[3, 2, 0, 0], [3, 2, 0, 0]]


def test_frames_that_do_not_fit_their_spec_are_refused():
    """Numbers with a fraction where pixels are promised."""

    class Wrong(Echo):
        observation_spec = ObservationSpec((2, 2, 1))

    with pytest.raises(TypeError, match="uint8"):
        EnvironmentBatch([Wrong(False)], 3).reset()


def test_numbered_actions_are_plain_integers():
    class Numbers(Echo):
        action_spec = Discrete(4)

        def step(self, action):
            self.played.append(action)
            return self.reset(), 0.0, False

    environment = Numbers(False)
    batch = EnvironmentBatch([environment], 3)
    batch.reset()
    batch.step(np.array([3], np.int32))
    assert [type(x) for x in environment.played] == [int]


class Pendulum:
    """gymnasium's Pendulum-v1 without its time limit."""

    observation_spec, action_spec = ObservationSpec((3,), np.float32), Box((-2.0,), (2.0,))
    frame_skip, steps_off_gil, life_lost, protocol = 1, False, False, {"suite": "gymnasium"}

    def __init__(self, seed):
        self._game = gymnasium.make("Pendulum-v1").unwrapped
        self._game.reset(seed=seed)

    def reset(self):
        return self._game.reset()[0]

    def step(self, action):
        frame, reward, terminated, _, _ = self._game.step(action)
        return frame, float(reward), terminated

    def get_state(self):
        random = json_to_array(self._game.np_random.bit_generator.state)
        return {"pendulum": self._game.state.copy(), "random": random}

    def set_state(self, state):
        self._game.state = state["pendulum"].copy()
        self._game.np_random.bit_generator.state = array_to_json(state["random"])


def played(steps, **settings):
    """A batch of two pendulums cut every 30 steps, and the replay of their random actions."""
    batch = EnvironmentBatch([Pendulum(seed) for seed in (7, 8)], 30)
    specs = {"observation_spec": batch.observation_spec, "action_spec": batch.action_spec}
    replay, rng = ReplayBuffer(seeds=[7, 8], **specs, **settings), np.random.default_rng(0)
    replay.add_first(batch.reset())
    for _ in range(steps):
        actions = rng.uniform(-2, 2, (2, 1)).astype(np.float32)
        step = batch.step(actions)
        replay.add(
            actions=actions,
            rewards=step.rewards,
            terminated=step.terminated,
            truncated=step.truncated,
            next_frames=step.next_frames,
            frames=step.frames,
        )
    return batch, replay


def test_every_transition_that_comes_out_obeys_the_pendulums_equations():
    """Gravity 10, mass and length 1, steps of 0.05 s; cut episodes bootstrap, none terminates."""
    _, replay = played(400, max_capacity=150, gamma=0.9, batch_size=1000)  # the ring wraps around
    batch = replay.sample()
    angle = np.arctan2(batch.s_tm1[..., 1], batch.s_tm1[..., 0])
    speed, torque = batch.s_tm1[..., 2], batch.a_tm1[..., 0]
    cost = angle**2 + 0.1 * speed**2 + 0.001 * torque**2
    np.testing.assert_allclose(batch.r_t, -cost, rtol=1e-4, atol=1e-4)
    faster = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
    turned = angle + faster * 0.05
    expected = np.stack([np.cos(turned), np.sin(turned), faster], axis=-1)
    np.testing.assert_allclose(batch.s_t, expected, atol=1e-4)
    assert (batch.discount_t == np.float32(0.9)).all()
    assert len(np.unique(batch.s_tm1[0], axis=0)) > 140


def test_restored_pendulums_go_on_to_the_bit():
    (batch, _), (other, _) = played(40), played(3)
    other.set_state(batch.get_state())
    for _ in range(35):  # a new episode starts in between
        for x, y in zip(*(own.step(np.full((2, 1), 0.5)) for own in (batch, other)), strict=True):
            np.testing.assert_array_equal(x, y)
