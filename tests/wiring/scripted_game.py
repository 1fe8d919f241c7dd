"""A scripted game: it keeps a record of what it was asked and what it answered.

Expectations come from there, from the settings here and from arithmetic in the tests, never from
the loop itself.
"""

from typing import Any, NamedTuple

import numpy as np

from prune_rl.specs import Discrete, ObservationSpec
from prune_rl.state import State

NUM_SEEDS, STACK, FRAME_SKIP, LONGEST = 2, 3, 5, 7
FRAME_SHAPE = (2, 2, 1)
REWARDS = (-3.5, 0.5, 0.0, 2.0, -0.25, 1.5)
# Lengths after which the game is over, in turn; an episode of more than LONGEST is cut there.
LENGTHS = ((5, 4, 2, 99), (99, 6, 3, 5))
LIFE_LOST_AT = (3, 2)  # step of an episode, where the game is not over by then
STEP_SECONDS = 1000  # what every agent step takes by the clock; all else takes none to speak of


class Played(NamedTuple):
    """One agent step of a scripted game, as the game saw it."""

    action: int
    frame: np.ndarray
    reward: float
    over: bool
    life_lost: bool


class ScriptedEnvironment:
    """A game whose every frame, reward and end is known; `log` has resets' frames and steps."""

    observation_spec = ObservationSpec(FRAME_SHAPE, stack_size=STACK)
    action_spec, frame_skip = Discrete(3), FRAME_SKIP
    steps_off_gil, protocol = False, {"suite": "scripted"}

    def __init__(self, number: int, seed: int) -> None:
        self.number, self.seed = number, seed
        self.log: list[Any] = []
        self.seconds = 0.0
        self.life_lost = False
        self._frames = self._episodes = self._steps = self._length = 0

    def _frame(self) -> np.ndarray:
        self._frames += 1
        pixels = [self.number + 1, self._frames % 251, self._frames // 251, 7]
        return np.array(pixels, np.uint8).reshape(FRAME_SHAPE)

    def reset(self) -> np.ndarray:
        self._episodes, self._length, self.life_lost = self._episodes + 1, 0, False
        self.log.append(self._frame())
        return self.log[-1]

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        place = self.number % NUM_SEEDS
        self._length += 1
        self._steps += 1
        self.seconds += STEP_SECONDS / NUM_SEEDS
        over = self._length == LENGTHS[place][(self._episodes - 1) % 4]
        self.life_lost = self._length == LIFE_LOST_AT[place] and not over
        reward = REWARDS[(self._steps + place) % len(REWARDS)]
        self.log.append(Played(action, self._frame(), reward, over, self.life_lost))
        return self.log[-1].frame, reward, over

    def get_state(self) -> State:
        return {"counts": np.array([self._frames, self._episodes, self._steps, self._length])}

    def set_state(self, state: State) -> None:
        self._frames, self._episodes, self._steps, self._length = state["counts"].tolist()

    def close(self) -> None:
        pass


class Transition(NamedTuple):
    """What one step of one seed must become; observations are (stack, H, W, C)."""

    action: int
    reward: float
    over: bool
    life_lost: bool
    truncated: bool
    next_frame: np.ndarray
    frame: np.ndarray
    observation: np.ndarray


def transitions(environment: ScriptedEnvironment) -> list[Transition]:
    """The steps of a game, with the observation that each action was to be chosen from."""
    log, seen, length, found = list(environment.log), [], 0, []
    for position, entry in enumerate(log):
        if not isinstance(entry, Played):
            seen, length = [entry], 0
            continue
        length += 1
        blank = [np.zeros(FRAME_SHAPE, np.uint8)] * STACK
        observation = np.stack([*blank, *seen][-STACK:])
        truncated = length == LONGEST and not entry.over
        frame = entry.frame
        if (entry.over or truncated) and position + 1 < len(log):
            frame = log[position + 1]
        rest = (entry.reward, entry.over, entry.life_lost, truncated, entry.frame, frame)
        found.append(Transition(entry.action, *rest, observation))
        seen = [entry.frame] if entry.life_lost else [*seen, entry.frame]
    return found
