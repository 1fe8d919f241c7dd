"""What videos show of each suite's games."""

import os
import subprocess
import sys

import numpy as np
import pytest

from prune_rl.environments.atari import AtariEnvironment
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.environments.mujoco import MujocoEnvironment
from prune_rl.environments.scaled import Scale, ScaledEnvironment


def test_pictures_of_atari_are_the_consoles_screen():
    game = AtariEnvironment(0, "Pong", sticky_actions=False)
    game.reset()
    for _ in range(30):
        game.step(0)
    picture = game.render()
    assert picture.shape == (210, 160, 3)
    # Pong's field, players and score: brown, orange, green, and no others.
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) <= 6
    assert (picture[100, 80] == (144, 72, 17)).all()
    assert game.action_names == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]


def test_pictures_of_minatar_have_a_colour_for_each_object():
    game = MinAtarEnvironment(0, "breakout", sticky_actions=False)
    frame = game.reset()
    picture = game.render()
    assert picture.shape == (420, 420, 3)
    middles = picture[21::42, 21::42]
    there = frame.max(axis=-1) > 0
    np.testing.assert_array_equal(middles.any(axis=-1), there)
    bricks, paddle = frame[..., 3] > 0, frame[..., 0] > 0
    assert (middles[bricks] == middles[bricks][0]).all()
    assert (middles[paddle][0] != middles[bricks][0]).any()
    assert not picture[::42].any()
    assert game.action_names == ["stay", "left", "right"]


_DRAWS = """
import os, sys
{before}
from prune_rl.environments import mujoco_pictures
from prune_rl.errors import ConfigError
mujoco_pictures.choose_opengl()
from prune_rl.environments.mujoco import MujocoEnvironment
game = MujocoEnvironment(0, "HalfCheetah-v5")
game.reset()
try:
    first = game.render()
except ConfigError as error:
    sys.exit(f"refused: {{error}}")
state = game.get_state()
for _ in range(5):
    game.step(game._high)
second = game.render()
assert first.shape == second.shape == (420, 420, 3), first.shape
assert first.dtype == "uint8" and first.std() > 10 and (first != second).any()
game.set_state(state)
game.close()
print(os.environ["MUJOCO_GL"], *game.action_names)
"""


def _draws(before="pass"):
    own = {name: x for name, x in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    command = [sys.executable, "-W", "ignore", "-c", _DRAWS.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, env=own)


def test_robots_are_drawn_without_a_screen_where_there_is_an_opengl():
    done = _draws()
    if "refused" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    library, *names = done.stdout.split()
    assert library in ("egl", "osmesa"), done.stderr
    assert names == ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]


def test_without_an_opengl_one_line_says_what_to_install():
    done = _draws("import ctypes.util; ctypes.util.find_library = lambda name: None")
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("refused: MuJoCo cannot draw here (MUJOCO_GL: not set): ")
    assert "apt-get install libegl1 libgl1-mesa-dri, or libosmesa6" in line


def test_a_scaled_game_is_drawn_as_it_is():
    game = MujocoEnvironment(0, "HalfCheetah-v5")
    scaled = ScaledEnvironment(game, Scale(np.zeros(17), np.ones(17)))
    game.render = lambda: "picture"
    assert scaled.render() == "picture"
    assert scaled.action_names == game.action_names
    assert not hasattr(scaled, "functional")
