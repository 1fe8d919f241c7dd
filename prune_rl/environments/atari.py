"""Atari 2600 games through ale-py, under the protocol of Machado et al. 2018.

As Dopamine 4.1.2 runs it (discrete_domains/atari_lib.py): grayscale, the pixel-wise maximum of
an agent step's last two frames, resized to 84 x 84 by area; minimal action set; an episode ends
with the game, not with a life; no no-op starts, no fire reset.
"""

import pickle
from typing import Any

import cv2
import gin
import numpy as np
from ale_py import Action, ALEInterface, LoggerMode, roms

from prune_rl.environments.base import Frame
from prune_rl.environments.games import atari_roms
from prune_rl.environments.suite import Suite
from prune_rl.errors import require

_FRAME_SKIP = 4
_SIDE = 84
_STICKY_PROBABILITY = 0.25

# Resizing one frame is too little work to share between threads.
cv2.setNumThreads(1)


class AtariEnvironment:
    """One game; see `prune_rl.environments.base.Environment` for the interface.

    Frames are (84, 84, 1) uint8. At every emulator tick an action may stick: the one played a
    tick before goes on instead. ALE could decide that, but leaves the action being played out
    of its saved state; here the decision is its own, drawn from the same generator (mt19937),
    so that a seed gives the same game.
    """

    frame_shape = (_SIDE, _SIDE, 1)
    stack_size = 4
    frame_skip = _FRAME_SKIP
    steps_off_gil = True

    def __init__(self, seed: int, game_name: str, *, sticky_actions: bool) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._sticky_probability = _STICKY_PROBABILITY if sticky_actions else 0.0
        self._random = np.random.RandomState(seed)
        self._playing = Action.NOOP
        self._ale = ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", 0.0)
        rom = roms.get_rom_path(atari_roms()[game_name])
        assert rom is not None  # every name of atari_roms() has one
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        height, width = self._ale.getScreenDims()
        self._screens = np.zeros((2, height, width), np.uint8)
        self.num_actions = len(self._actions)
        self.protocol: dict[str, Any] = {
            "suite": "atari",
            "game": game_name,
            "sticky_action_probability": self._sticky_probability,
            "frame_skip": _FRAME_SKIP,
            "observation": "84x84 grayscale, maximum of the last two frames, stack of 4",
            "action_set": "minimal",
            "episode_ends_on": "game over",
            "random_no_ops": 0,
        }

    def reset(self) -> Frame:
        """Starts a game; the first observation is a single frame, as in Dopamine."""
        self._ale.reset_game()
        self._playing = Action.NOOP
        self._ale.getScreenGrayscale(self._screens[0])
        self._screens[1] = 0
        return self._observe()

    def step(self, action: int) -> tuple[Frame, float, bool]:
        """Repeats `action` for four emulator ticks, fewer if the game ends before."""
        reward = 0.0
        for tick in range(_FRAME_SKIP):
            if self._random.random_sample() >= self._sticky_probability:
                self._playing = self._actions[action]
            reward += self._ale.act(self._playing)
            if self._ale.game_over(with_truncation=False):
                return self._observe(), reward, True
            if tick >= _FRAME_SKIP - 2:
                self._ale.getScreenGrayscale(self._screens[tick - (_FRAME_SKIP - 2)])
        return self._observe(), reward, False

    def _observe(self) -> Frame:
        pooled = np.maximum(self._screens[0], self._screens[1])
        resized = cv2.resize(pooled, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint8)[..., None]

    def get_state(self) -> bytes:
        """The console, the action being played, the random stream and the two pooled screens."""
        console = self._ale.cloneState()
        return pickle.dumps((console, self._playing, self._random, self._screens))

    def set_state(self, state: bytes) -> None:
        """Restores what `get_state` returned."""
        console, self._playing, self._random, self._screens = pickle.loads(state)
        self._ale.reset_game()
        if console.getEpisodeFrameNumber() > 0:
            # ale-py 0.12.1 does not restore whether a frame is half drawn; in the games where
            # that outlasts a tick (Qbert), it is so from an episode's first tick on.
            self._ale.act(Action.NOOP)
        self._ale.restoreState(console)

    def close(self) -> None:
        """Nothing to release: the emulator goes with the object."""


@gin.configurable
def create_atari_environment(
    seed: int, game_name: str | None = None, sticky_actions: bool = True
) -> AtariEnvironment:
    """Makes the game `game_name` (Dopamine's spelling), its randomness decided by `seed`.

    Raises:
      ConfigError: no such game, or one that the chosen suite does not hold.
    """
    binding = "create_atari_environment"
    game = Suite().check(f"{binding}.game_name", game_name, list(atari_roms()))
    require(
        isinstance(sticky_actions, bool), f"{binding}.sticky_actions", sticky_actions, "a boolean"
    )
    return AtariEnvironment(seed, game, sticky_actions=sticky_actions)
