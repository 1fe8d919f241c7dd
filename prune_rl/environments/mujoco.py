"""Robots that learn to run: MuJoCo through gymnasium, with its rewards, ends and random starts.

Observations are gymnasium's in float32, of which it makes float64; actions beyond the box are
clipped to it. gymnasium's time limit is left out: `Runner.max_steps_per_episode` is one, and
bootstraps.
"""

import logging
from types import ModuleType
from typing import Any

import gin
import numpy as np

from prune_rl.environments.base import Frame, require_names
from prune_rl.environments.games import MUJOCO, OLDER
from prune_rl.environments.mujoco_pictures import Pictures
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError
from prune_rl.settings import checked
from prune_rl.specs import Box, ObservationSpec
from prune_rl.state import State, array_to_json, json_to_array

# What a step reads of `data` before it computes it, beside the integrator's state: of the game's
# kind, as a test finds out.
_READ_BEFORE = {"Ant": "xpos", "Humanoid": "xipos"}
# A step takes 250 µs in these; 40 in HalfCheetah and 110 in the others, of which handing it to a
# thread and back would take 60.
_STEPS_IN_THREADS = ("Ant", "Humanoid")
_HARMLESS = "'settotalmass' is deprecated"  # said of HalfCheetah's model, whenever it is read


class MujocoEnvironment:
    """One game; see `prune_rl.environments.base.Environment` for the interface.

    Frames are (D,) float32. A frame, of which `frame_skip` make an agent step, is one step of the
    simulator, 2 to 10 ms.
    """

    life_lost = False

    def __init__(self, seed: int, game_name: str) -> None:
        self._mujoco, gymnasium = _import_mujoco(), _import_gymnasium()
        self._name, kind = game_name, game_name.partition("-")[0]
        # Not `make`, which wraps it and calls v4 out of date.
        spec = gymnasium.spec(game_name)
        create = gymnasium.envs.registration.load_env_creator(spec.entry_point)
        self._game = create(**spec.kwargs)
        self._game.np_random = gymnasium.utils.seeding.np_random(seed)[0]
        self._read_before = _READ_BEFORE.get(kind)
        self.steps_off_gil = kind in _STEPS_IN_THREADS
        self.frame_skip = self._game.frame_skip
        box, (size,) = self._game.action_space, self._game.observation_space.shape
        self.observation_spec = ObservationSpec((size,), np.float32)
        self.action_spec = Box(tuple(box.low.tolist()), tuple(box.high.tolist()))
        self._low, self._high = box.low, box.high
        self._pictures: Pictures | None = None
        self.protocol: dict[str, Any] = {
            "suite": "mujoco",
            "game": game_name,
            "frame_skip": self.frame_skip,
            "observation": f"{size} numbers, float32",
            "action_set": f"{len(box.low)} numbers from {box.low.min():g} to {box.high.max():g}",
            "episode_ends_on": "no state" if kind == "HalfCheetah" else "an unhealthy state",
            "implementation": f"gymnasium {gymnasium.__version__}, "
            f"mujoco {self._mujoco.__version__}",
        }

    def reset(self) -> Frame:
        """Starts an episode near the robot's first pose, as gymnasium draws it."""
        return self._game.reset()[0].astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[Frame, float, bool]:
        """Holds `action` (A,), clipped to the box, for `frame_skip` frames."""
        held = np.clip(action, self._low, self._high, dtype=np.float32)
        observation, reward, terminated, _, _ = self._game.step(held)
        return observation.astype(np.float32), float(reward), bool(terminated)

    def get_state(self) -> State:
        """What the integrator starts from, what a step reads beside it, and the random stream."""
        model, data, parts = self._game.model, self._game.data, self._parts
        physics = np.empty(self._mujoco.mj_stateSize(model, parts))
        self._mujoco.mj_getState(model, data, physics, parts)
        state = {"game": json_to_array(self._name), "physics": physics}
        if self._read_before:
            state[self._read_before] = getattr(data, self._read_before).copy()
        return state | {"random": json_to_array(self._game.np_random.bit_generator.state)}

    def set_state(self, state: State) -> None:
        """Restores what `get_state` returned; see `Environment`."""
        own = self.get_state()
        require_names(state, own, self._name)
        given = {name: np.asarray(array) for name, array in state.items()}
        for name in own.keys() - {"game", "random"}:
            forms = [f"{x.dtype} {x.shape}" for x in (given[name], own[name])]
            if forms[0] != forms[1]:
                raise ValueError(f"state of {self._name}: {name} is {forms[0]}, not {forms[1]}")
        if (game := self._read(given["game"], "its name")) != self._name:
            raise ValueError(f"state of {self._name}: it is one of {game}")
        self._restore_random(self._read(given["random"], "its random stream"))
        model, data = self._game.model, self._game.data
        # No mj_forward after it: that would move the solver's warm start.
        self._mujoco.mj_setState(model, data, given["physics"], self._parts)
        if self._read_before:
            getattr(data, self._read_before)[:] = given[self._read_before]

    def _read(self, array: np.ndarray, what: str) -> Any:
        try:
            return array_to_json(array)
        except ValueError as error:
            raise ValueError(f"state of {self._name}: {what} is none") from error

    def _restore_random(self, stream: Any) -> None:
        try:
            self._game.np_random.bit_generator.state = stream
        except (KeyError, TypeError, ValueError) as error:  # NumPy's words do not say of what
            raise ValueError(f"state of {self._name}: its random stream is none") from error

    @property
    def _parts(self) -> int:
        return int(self._mujoco.mjtState.mjSTATE_INTEGRATION)

    @property
    def action_names(self) -> list[str]:
        """Those of the motors, as 'bthigh'."""
        model, kind = self._game.model, self._mujoco.mjtObj.mjOBJ_ACTUATOR
        names = (self._mujoco.mj_id2name(model, kind, i) for i in range(model.nu))
        return [name or f"motor {i}" for i, name in enumerate(names)]

    def render(self) -> Frame:
        """The robot from beside, (420, 420, 3) uint8.

        Raises:
          ConfigError: there is no OpenGL to draw with.
        """
        if self._pictures is None:
            self._pictures = Pictures(self._mujoco, self._game.model)
        return self._pictures.draw(self._game.data)

    def close(self) -> None:
        """Releases what draws."""
        if self._pictures is not None:
            self._pictures.close()
        self._game.close()


def _import_mujoco() -> ModuleType:
    """MuJoCo, whose warnings are Python's from now on and write no MUJOCO_LOG.TXT.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise _lacking(error) from error
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warn)
    return mujoco


def _import_gymnasium() -> ModuleType:
    """gymnasium with what its MuJoCo games import.

    Raises:
      ConfigError: some of that is not installed.
    """
    try:
        import gymnasium.envs.mujoco
    except ModuleNotFoundError as error:
        raise _lacking(error) from error
    return gymnasium


def _lacking(error: ModuleNotFoundError) -> ConfigError:
    package = (error.name or "").partition(".")[0]
    return ConfigError(f"MuJoCo's games need {package}: pip install 'prune_rl[mujoco]'")


def _warn(message: str) -> None:
    """What MuJoCo says of a simulation, as that it has become unstable and starts anew."""
    if _HARMLESS not in message:
        logging.getLogger(__name__).warning("MuJoCo: %s", message)


@gin.configurable
@checked
def create_mujoco_environment(seed: int, game_name: str | None = None) -> MujocoEnvironment:
    """Makes the game `game_name` ('HalfCheetah-v5'), its random starts decided by `seed`.

    Raises:
      ConfigError: no such game, or what it needs is not installed.
    """
    binding = "create_mujoco_environment.game_name"
    return MujocoEnvironment(seed, Suite().check(binding, game_name, [*MUJOCO, *OLDER]))
