"""Observations on the scale on which a policy has learned them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.environments.base import Environment, Frame
from prune_rl.state import State


class Scale(NamedTuple):
    """What vector observations x become: (x - mean) / scale.

    Attributes:
        mean, scale: (D,) float64 each.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def __call__(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Of (..., D), computed in float64: the same of each, however many at once."""
        exact = (observations - self.mean) / self.scale
        return exact.astype(np.float32)


class ScaledEnvironment:
    """Another one, whose frames are scaled; see `Environment`."""

    def __init__(self, environment: Environment, scale: Scale) -> None:
        self._own, self._scale = environment, scale
        self.observation_spec = environment.observation_spec
        self.action_spec, self.frame_skip = environment.action_spec, environment.frame_skip
        self.steps_off_gil, self.life_lost = environment.steps_off_gil, environment.life_lost
        said = {"observations_scaled_as": "those of the data"}
        self.protocol: dict[str, Any] = environment.protocol | said

    def reset(self) -> Frame:
        """See `Environment`."""
        return self._scale(self._own.reset())

    def step(self, action: Any) -> tuple[Frame, float, bool]:
        """See `Environment`."""
        frame, reward, terminated = self._own.step(action)
        self.life_lost = self._own.life_lost
        return self._scale(frame), reward, terminated

    def __getattr__(self, name: str) -> Any:
        """What environments may have besides: `action_names` and `render`, see `Drawable`."""
        if name not in ("action_names", "render"):
            raise AttributeError(name)
        return getattr(self._own, name)

    def get_state(self) -> State:
        """See `Environment`: that of the other one."""
        return self._own.get_state()

    def set_state(self, state: State) -> None:
        """See `Environment`."""
        self._own.set_state(state)

    def close(self) -> None:
        """See `Environment`."""
        self._own.close()


def scaled(
    environments: Sequence[Environment], scales: Sequence[Scale] | None
) -> Sequence[Environment]:
    """Those of S seeds, each on its own scale; as they are without."""
    if scales is None:
        return environments
    return [ScaledEnvironment(*pair) for pair in zip(environments, scales, strict=True)]
