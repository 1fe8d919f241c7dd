"""MinAtar games (Young & Tian 2019): Atari's ideas on a 10 x 10 grid, for a CPU.

Sticky actions 0.1 and difficulty ramping, the package's own defaults; minimal action set.
"""

import sys
from types import ModuleType
from typing import Any

import gin
import numpy as np

from prune_rl.environments import random_state
from prune_rl.environments.base import Frame, require_names
from prune_rl.environments.games import MINATAR
from prune_rl.environments.jax_minatar import JaxMinAtar
from prune_rl.environments.suite import Suite
from prune_rl.settings import checked
from prune_rl.specs import Discrete, ObservationSpec
from prune_rl.state import State, array_to_json, json_to_array

_STICKY_PROBABILITY = 0.1
_CELL = 42  # pixels of a picture
_ACTIONS = ("stay", "left", "up", "right", "down", "fire")
# Of channels, the later ones on top: after Okabe & Ito 2008, and four more.
_COLORS = np.array(
    (
        *((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0)),
        *((204, 121, 167), (0, 114, 178), (255, 255, 255), (150, 150, 150), (140, 90, 50)),
    ),
    np.uint8,
)


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

    @property
    def action_names(self) -> list[str]:
        """In words, 'left'."""
        return [_ACTIONS[action] for action in self._actions]

    def render(self) -> Frame:
        """A coloured cell for each object, (420, 420, 3) uint8, with a gap between them."""
        cells = np.zeros((*self.observation_spec.frame_shape[:2], 3), np.uint8)
        for there, color in zip(np.moveaxis(self._observe(), -1, 0), _COLORS, strict=False):
            cells[there > 0] = color
        picture = cells.repeat(_CELL, axis=0).repeat(_CELL, axis=1)
        picture[::_CELL] = picture[:, ::_CELL] = 0
        return picture

    def functional(self) -> JaxMinAtar:
        """The same game as pure functions of JAX, with random numbers of its own.

        Raises:
          ConfigError: pgx is not installed.
        """
        return JaxMinAtar(
            self._game.game_name(),
            actions=self._actions,
            sticky_probability=self._game.sticky_action_prob,
            observation_spec=self.observation_spec,
            protocol=self.protocol,
        )

    def get_state(self) -> State:
        """Every variable of the game, its last action, and the random stream that sticks it."""
        game = {name: _to_array(value) for name, value in self._variables().items()}
        return {
            "game": game,
            "last_action": np.int64(self._game.last_action),
            "random": random_state.to_arrays(self._game.random),
        }

    def set_state(self, state: State) -> None:
        """Restores what `get_state` returned; see `Environment`."""
        own, owner = self._variables(), self._game.game_name()
        require_names(state, ("game", "last_action", "random"), owner)
        require_names(state["game"], own, owner)
        restored = {
            name: _from_array(array, own[name], f"{owner}'s {name}")
            for name, array in state["game"].items()
        }
        # Its sticky actions and the game share this stream, and go on doing so.
        random_state.restore(self._game.random, state["random"])
        self._game.last_action = int(state["last_action"])
        vars(self._game.env).update(restored)

    def _variables(self) -> dict[str, Any]:
        return {name: x for name, x in vars(self._game.env).items() if name != "random"}

    def close(self) -> None:
        """Nothing to release."""


def _to_array(value: Any) -> np.ndarray:
    return value.copy() if isinstance(value, np.ndarray) else json_to_array(_plain(value))


def _from_array(array: np.ndarray, own: Any, name: str) -> Any:
    """What `_to_array` was given, in the place of `own`."""
    if not isinstance(own, np.ndarray):
        return _from_json(array, name)
    if (array.shape, array.dtype) != (own.shape, own.dtype):
        raise ValueError(
            f"state of {name}: {array.dtype} {array.shape} for {own.dtype} {own.shape}"
        )
    return array.copy()


def _from_json(array: np.ndarray, name: str) -> Any:
    try:
        return array_to_json(array)
    except ValueError as error:
        raise ValueError(f"state of {name}: {error}") from error


def _plain(value: Any) -> Any:
    """Python's numbers for NumPy's, also in lists."""
    if isinstance(value, list):
        return [_plain(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


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
