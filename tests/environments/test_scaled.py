"""Games that are shown on the scale of the data that their player has learned from."""

import numpy as np

from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.scaled import Scale, scaled
from prune_rl.specs import Box, ObservationSpec
from prune_rl.state import json_to_array


class Counts:
    """Shows (n, 100 n) after n steps; an episode takes three."""

    observation_spec, action_spec = ObservationSpec((2,), np.float32), Box((-1.0,), (1.0,))
    frame_skip, steps_off_gil, protocol = 5, True, {"game": "counts"}

    def __init__(self):
        self.life_lost, self.closed, self._made = False, False, 0

    def _frame(self):
        return np.array([self._made, 100 * self._made], np.float32)

    def reset(self):
        self._made = 0
        return self._frame()

    def step(self, action):
        self._made += 1
        self.life_lost = self._made == 2
        return self._frame(), float(action[0]), self._made == 3

    def get_state(self):
        return {"made": json_to_array(self._made)}

    def set_state(self, state):
        self._made = int(state["made"].tobytes())

    def close(self):
        self.closed = True


SCALE = Scale(np.array([1.0, 50.0]), np.array([0.5, 10.0]))


def test_frames_are_scaled_and_nothing_else():
    game = Counts()
    (own,) = scaled([game], [SCALE])
    assert own.reset().tolist() == [-2.0, -5.0]
    frame, reward, terminated = own.step(np.array([0.25]))
    assert (frame.tolist(), frame.dtype, reward, terminated) == (
        [0.0, 5.0],
        np.float32,
        0.25,
        False,
    )
    assert not own.life_lost
    state = own.get_state()
    assert own.step(np.array([1.0]))[0].tolist() == [2.0, 15.0]
    assert own.life_lost
    own.set_state(state)
    assert own.step(np.array([1.0]))[0].tolist() == [2.0, 15.0]
    assert own.step(np.array([1.0]))[2]
    assert (own.frame_skip, own.steps_off_gil) == (5, True)
    assert own.observation_spec == Counts.observation_spec
    assert own.protocol["game"] == "counts"
    assert own.protocol != Counts.protocol
    own.close()
    assert game.closed


def test_each_seed_has_its_own_scale():
    other = Scale(np.zeros(2), np.array([1.0, 100.0]))
    games = EnvironmentBatch(scaled([Counts(), Counts()], [SCALE, other]), 10)
    games.reset()
    assert games.step(np.zeros((2, 1))).frames.tolist() == [[0.0, 5.0], [1.0, 1.0]]
    games.close()


def test_without_scales_games_are_as_they_are():
    games = [Counts()]
    assert scaled(games, None) is games


def test_one_observation_is_scaled_as_many_are():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_array_equal(SCALE(many), [SCALE(one) for one in many])
