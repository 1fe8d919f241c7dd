"""Pictures of MuJoCo's robots, drawn without a screen, where the machine has an OpenGL for that."""

import ctypes.util
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError, first_line

_SIDE = 420
_CAMERA = "track"  # which all of gymnasium's robots have
_INSTALL = "apt-get install libegl1 libgl1-mesa-dri, or libosmesa6"


def choose_opengl() -> None:
    """Says, before MuJoCo is imported, what it draws with where no screen is: EGL or OSMesa.

    `MUJOCO_GL` goes first. Without either, MuJoCo's own choice needs a screen.
    """
    if sys.platform != "linux" or "MUJOCO_GL" in os.environ or os.environ.get("DISPLAY"):
        return
    for library, name in (("EGL", "egl"), ("OSMesa", "osmesa")):
        if ctypes.util.find_library(library):
            os.environ["MUJOCO_GL"] = name
            return


class Pictures:
    """Draws one robot from beside, without shadows and reflections: these take ten times as long.

    Args:
        mujoco: the package.
        model: of the robot.

    Raises:
        ConfigError: MuJoCo cannot draw on this machine.
    """

    def __init__(self, mujoco: ModuleType, model: Any) -> None:
        model.vis.quality.offsamples = 0  # read by the renderer alone
        try:
            self._renderer = mujoco.Renderer(model, _SIDE, _SIDE)
        except Exception as error:  # of many kinds: each OpenGL fails its own way
            chosen = os.environ.get("MUJOCO_GL", "not set")
            problem = f"MuJoCo cannot draw here (MUJOCO_GL: {chosen}): {first_line(error)[:120]}"
            raise ConfigError(f"{problem}; {_INSTALL} and MUJOCO_GL=egl or osmesa") from error
        self._left_out = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)

    def draw(self, data: Any) -> npt.NDArray[np.uint8]:
        """(420, 420, 3) of the robot as `data` has it."""
        self._renderer.update_scene(data, camera=_CAMERA)
        for flag in self._left_out:
            self._renderer.scene.flags[flag] = 0
        picture: npt.NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Releases the context."""
        self._renderer.close()
