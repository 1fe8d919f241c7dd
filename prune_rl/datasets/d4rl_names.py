"""What D4RL calls its sets of locomotion, and which of gymnasium's games they are nearest to.

Its v0 to v2 are all of the environments `HalfCheetah-v2` and so on, which gymnasium no longer has.
`-v4` is those on DeepMind's bindings; `-v5` changed rewards and physics: of Hopper, Walker2d and
Ant the reward for being healthy, of Walker2d the friction of a foot, of Ant what is observed
(gymnasium.farama.org/environments/mujoco). So what is learned from published files is played on
v4. Not so Ant: it shows 27 numbers, D4RL's files 111, the further ones 0 (found of ant-medium-v2 in
github.com/Farama-Foundation/D4RL/issues/143). With `use_contact_forces` it shows 111 too, but the
further ones are not 0, and cost reward; so Ant is learned from, and not evaluated.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from prune_rl.errors import ConfigError, nearest

URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl"  # d4rl/infos.py
QUALITIES = ("random", "medium", "expert", "medium_replay", "full_replay", "medium_expert")
_VERSIONS = (1, 2)  # v0 lacks timeouts and next observations
_NEAREST = 4  # version of gymnasium's, for those that it no longer has


class Locomotion(NamedTuple):
    """A game: as gymnasium calls it; sizes of an observation and an action in D4RL's files."""

    game: str
    observation: int
    action: int


GAMES = {
    "halfcheetah": Locomotion("HalfCheetah", 17, 6),
    "hopper": Locomotion("Hopper", 11, 3),
    "walker2d": Locomotion("Walker2d", 17, 6),
    "ant": Locomotion("Ant", 111, 8),
}
NAMES = tuple(  # as d4rl and `gym.make` spell them
    f"{game}-{quality.replace('_', '-')}-v{version}"
    for version in reversed(_VERSIONS)
    for game in GAMES
    for quality in QUALITIES
)
_FILE = re.compile(r"([a-z0-9]+)_([a-z0-9_]+)-v(\d+)\.hdf5")


class Named(NamedTuple):
    """What a file's name says: the set's, the game, and whether D4RL has published it."""

    name: str
    game: str
    published: Locomotion | None


def named(file: str) -> Named | None:
    """What 'halfcheetah_medium-v2.hdf5' says; None of a name of another form, or another game."""
    match = _FILE.fullmatch(file)
    if match is None or match[1] not in GAMES:
        return None
    own, version = GAMES[match[1]], int(match[3])
    name = f"{match[1]}-{match[2].replace('_', '-')}-v{version}"
    game = f"{own.game}-v{max(version, _NEAREST)}"
    return Named(name, game, own if version < _NEAREST else None)


def file_of(name: str) -> str:
    """'halfcheetah_medium_replay-v2.hdf5' of 'halfcheetah-medium-replay-v2'."""
    words, _, version = name.rpartition("-")
    return f"{words.replace('-', '_')}-{version}.hdf5"


def path_below(name: str) -> str:
    """Where the server has a set, below its `URL`.

    Raises:
        ConfigError: it has none of that name.
    """
    if name not in NAMES:
        what = f"d4rl has {len(NAMES)} sets of locomotion"
        raise ConfigError(f"--game={name}: {what}; {nearest(name, NAMES)}")
    return f"gym_mujoco_v{name[-1]}/{file_of(name)}"


def cache() -> Path:
    """Where D4RL itself keeps what it has fetched."""
    return Path(os.environ.get("D4RL_DATASET_DIR") or Path.home() / ".d4rl" / "datasets")
