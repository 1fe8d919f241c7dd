"""MinAtar games (Young & Tian 2019): Atari's ideas on a 10 x 10 grid, for a CPU.

Sticky actions 0.1 and difficulty ramping, the package's own defaults; minimal action set.
"""

import pickle
import sys
from types import ModuleType
from typing import Any

import gin
import numpy as np

from prune_rl.environments.base import Frame
from prune_rl.environments.games import MINATAR
from prune_rl.environments.suite import Suite
from prune_rl.settings import checked
from prune_rl.specs import Discrete, ObservationSpec

_STICKY_PROBABILITY = 0.1


class MinAtarEnvironment:
    """One game; see `prune_rl.environments.base.Environment` for the interface.

    Frames are (10, 10, channels) uint8: 255 where the game has an object, else 0.
    """

    frame_skip = 1
    steps_off_gil = False
    life_lost = False

    def __init__(self, seed: int, game_name: str, *, sticky_actions: bool) -> None:
        sticky_probability = _STICKY_PROBABILITY if sticky_actions else 0.0
        self._game = _import_minatar().Environment(game_name, sticky_action_prob=sticky_probability)
        self._game.seed(seed)
        self._actions = self._game.minimal_action_set()
        height, width, channels = self._game.state_shape()
        self.observation_spec = ObservationSpec((height, width, channels))
        self.action_spec = Discrete(len(self._actions))
        self.protocol: dict[str, Any] = {
            "suite": "minatar",
            "game": game_name,
            "sticky_action_probability": sticky_probability,
            "frame_skip": 1,
            "observation": f"10x10, {channels} channels, no stack",
            "action_set": "minimal",
            "difficulty_ramping": True,
        }

    def reset(self) -> Frame:
        """Starts an episode."""
        self._game.reset()
        return self._observe()

    def step(self, action: int) -> tuple[Frame, float, bool]:
        """Plays one tick."""
        reward, terminated = self._game.act(self._actions[action])
        return self._observe(), float(reward), bool(terminated)

    def _observe(self) -> Frame:
        return np.asarray(self._game.state(), np.uint8) * np.uint8(255)

    def get_state(self) -> bytes:
        """The whole game; it and its sticky actions share one random generator."""
        return pickle.dumps(self._game)

    def set_state(self, state: bytes) -> None:
        """Restores what `get_state` returned."""
        self._game = pickle.loads(state)

    def close(self) -> None:
        """Nothing to release."""


def _import_minatar() -> ModuleType:
    """MinAtar without matplotlib and seaborn, which take half of a start-up.

    Only its display needs them, which this process can then not use.
    """
    stand_ins = {name: ModuleType(name) for name in ("matplotlib", "seaborn")}
    vars(stand_ins["matplotlib"]).update(pyplot=None, colors=None)
    true_ones = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules |= stand_ins
    try:
        import minatar
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules |= true_ones
    return minatar


@gin.configurable
@checked
def create_minatar_environment(
    seed: int, game_name: str | None = None, sticky_actions: bool = True
) -> MinAtarEnvironment:
    """Makes the game `game_name` (`space_invaders`), its randomness decided by `seed`.

    Raises:
      ConfigError: no such game.
    """
    binding = "create_minatar_environment"
    game = Suite().check(f"{binding}.game_name", game_name, list(MINATAR))
    return MinAtarEnvironment(seed, game, sticky_actions=sticky_actions)
