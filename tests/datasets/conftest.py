"""RL Unplugged on disk, for the tests of its reader."""

import shutil

import numpy as np
import pytest

from tests.datasets.rl_unplugged import make_episode, play_pong, write_splits

_STEPS = ((44, 60, 1, 41), (52, 40, 47), (58, 43, 2, 50))  # of each episode of three splits
_FORMATS = ("tfrecord", "array_record")


@pytest.fixture(scope="module")
def episodes():
    """Of three splits; every other one ends in a terminal state."""
    rng = np.random.default_rng(1)
    frames = iter(play_pong(sum(map(sum, _STEPS))))
    return [
        [
            make_episode(np.stack([next(frames) for _ in range(steps)]), number % 2 == 0, rng)
            for number, steps in enumerate(split)
        ]
        for split in _STEPS
    ]


@pytest.fixture(scope="module", params=_FORMATS)
def written(request, episodes, tmp_path_factory):
    """The three splits on disk, in two files each."""
    out = tmp_path_factory.mktemp(request.param)
    write_splits(out, episodes, request.param)
    return out


@pytest.fixture
def copied(written, tmp_path):
    """To damage."""
    return shutil.copytree(written, tmp_path / "copied")
