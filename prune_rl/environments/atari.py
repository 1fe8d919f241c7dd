"""Atari 2600 games through ale-py, under the protocol of Machado et al. 2018.

As Dopamine 4.1.2 runs it (discrete_domains/atari_lib.py): grayscale, the pixel-wise maximum of
an agent step's last two frames, resized to 84 x 84 by area; minimal action set; no fire reset. As
in its labs/atari_100k (atari_100k_runner.py), learning may take a lost life for the end, and
episodes may start with a random number of no-ops.
"""

from typing import Annotated, Any

import cv2
import gin
import numpy as np
from ale_py import Action, ALEInterface, ALEState, LoggerMode, roms

from prune_rl.environments import random_state
from prune_rl.environments.base import Frame, require_names
from prune_rl.environments.games import atari_roms
from prune_rl.environments.suite import Suite
from prune_rl.settings import Range, checked
from prune_rl.specs import Discrete, ObservationSpec
from prune_rl.state import State

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
    so that a seed gives the same game. No-ops are drawn from a stream of their own.
    """

    observation_spec = ObservationSpec((_SIDE, _SIDE, 1), stack_size=4)
    frame_skip = _FRAME_SKIP
    steps_off_gil = True

    def __init__(
        self,
        seed: int,
        game_name: str,
        *,
        sticky_actions: bool,
        terminal_on_life_loss: bool = False,
        max_noops: int = 0,
    ) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._name = game_name
        self._sticky_probability = _STICKY_PROBABILITY if sticky_actions else 0.0
        self._random = np.random.RandomState(seed)
        self._noops = np.random.RandomState([seed, 1])
        self._terminal_on_life_loss, self._max_noops = terminal_on_life_loss, max_noops
        self._playing = Action.NOOP
        self._lives, self.life_lost = 0, False
        self._ale = ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", 0.0)
        rom = roms.get_rom_path(atari_roms()[game_name])
        assert rom is not None  # every name of atari_roms() has one
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        height, width = self._ale.getScreenDims()
        self._screens = np.zeros((2, height, width), np.uint8)
        self.action_spec = Discrete(len(self._actions))
        self.protocol: dict[str, Any] = {
            "suite": "atari",
            "game": game_name,
            "sticky_action_probability": self._sticky_probability,
            "frame_skip": _FRAME_SKIP,
            "observation": "84x84 grayscale, maximum of the last two frames, stack of 4",
            "action_set": "minimal",
            "episode_ends_on": "game over",
            "terminal_for_learning": "life loss" if terminal_on_life_loss else "game over",
            "random_no_ops": f"fewer than {max_noops}" if max_noops else 0,
        }

    def reset(self) -> Frame:
        """Starts a game; without no-ops the first observation is a single frame, as in Dopamine."""
        frame = self._start()
        noops = self._noops.randint(self._max_noops) if self._max_noops else 0
        for _ in range(noops):
            frame, _, over = self.step(0)
            if over:
                frame = self._start()
        self.life_lost = False
        return frame

    def _start(self) -> Frame:
        self._ale.reset_game()
        self._playing = Action.NOOP
        self._lives = self._ale.lives()
        self._ale.getScreenGrayscale(self._screens[0])
        self._screens[1] = 0
        return self._observe()

    def step(self, action: int) -> tuple[Frame, float, bool]:
        """Repeats `action` for four emulator ticks, fewer if game (or life) ends before."""
        reward, over = 0.0, False
        for tick in range(_FRAME_SKIP):
            if self._random.random_sample() >= self._sticky_probability:
                self._playing = self._actions[action]
            reward += self._ale.act(self._playing)
            if tick >= _FRAME_SKIP - 2:
                self._ale.getScreenGrayscale(self._screens[tick - (_FRAME_SKIP - 2)])
            over = self._ale.game_over(with_truncation=False)
            self.life_lost = self._loses_life() and not over
            if over or self.life_lost:
                break
        return self._observe(), reward, over

    def _loses_life(self) -> bool:
        if not self._terminal_on_life_loss:
            return False
        before, self._lives = self._lives, self._ale.lives()
        return self._lives < before

    def _observe(self) -> Frame:
        pooled = np.maximum(self._screens[0], self._screens[1])
        resized = cv2.resize(pooled, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint8)[..., None]

    @property
    def action_names(self) -> list[str]:
        """As ALE calls them, 'UPFIRE'."""
        return [action.name for action in self._actions]

    def render(self) -> Frame:
        """The console's screen, (210, 160, 3) uint8 in most games."""
        return self._ale.getScreenRGB()

    def get_state(self) -> State:
        """The console, the action being played, the two screens, the lives, the random streams."""
        return {
            "console": np.frombuffer(self._ale.cloneState().serialize(), np.uint8),
            "playing": np.int64(self._playing.value),
            "screens": self._screens.copy(),
            "lives": np.int64(self._lives),
            "sticky": random_state.to_arrays(self._random),
            "noops": random_state.to_arrays(self._noops),
        }

    def set_state(self, state: State) -> None:
        """Restores what `get_state` returned; see `Environment`."""
        names = ("console", "playing", "screens", "lives", "sticky", "noops")
        require_names(state, names, self._name)
        screens = np.asarray(state["screens"])
        if (screens.shape, screens.dtype) != (self._screens.shape, self._screens.dtype):
            raise ValueError(f"state of {self._name}: screens are {screens.dtype} {screens.shape}")
        self._restore_console(state["console"].tobytes())
        random_state.restore(self._random, state["sticky"])
        random_state.restore(self._noops, state["noops"])
        self._playing, self._lives = Action(int(state["playing"])), int(state["lives"])
        self._screens[:] = screens

    def _restore_console(self, data: bytes) -> None:
        try:
            console = ALEState(data)
            # ale-py fills up what is cut short and leaves out what is too much.
            if console.serialize() != data:
                raise ValueError("it is not what ale-py wrote")
            self._restore(console)
        except (SystemError, ValueError) as error:  # ale-py cannot say what was wrong
            raise ValueError(f"state of {self._name}: its console is of no such game") from error

    def _restore(self, console: ALEState) -> None:
        self._ale.reset_game()
        if console.getEpisodeFrameNumber() > 0:
            # ale-py 0.12.1 does not restore whether a frame is half drawn; in the games where
            # that outlasts a tick (Qbert), it is so from an episode's first tick on.
            self._ale.act(Action.NOOP)
        self._ale.restoreState(console)

    def close(self) -> None:
        """Nothing to release: the emulator goes with the object."""


@gin.configurable
@checked
def create_atari_environment(
    seed: int,
    game_name: str | None = None,
    sticky_actions: bool = True,
    terminal_on_life_loss: bool = False,
    max_noops: Annotated[int, Range(least=0, most=27_000)] = 0,  # of agent steps, half an hour
) -> AtariEnvironment:
    """Makes one game.

    Args:
      seed: decides everything random.
      game_name: in Dopamine's spelling, as 'MsPacman'.
      sticky_actions: whether an action sticks with probability 0.25 at every emulator tick.
      terminal_on_life_loss: whether learning takes a lost life for a terminal; the episode and
        its return go on.
      max_noops: an episode starts with fewer no-op agent steps than this, uniformly many.

    Raises:
      ConfigError: no such game, or one that the chosen suite does not hold; a wrong value.
    """
    binding = "create_atari_environment"
    game = Suite().check(f"{binding}.game_name", game_name, list(atari_roms()))
    options = {"sticky_actions": sticky_actions, "terminal_on_life_loss": terminal_on_life_loss}
    return AtariEnvironment(seed, game, max_noops=max_noops, **options)
