"""A training, and a run of it that nothing befell."""

import pytest

from .again import DQN, MINATAR, Again


@pytest.fixture(scope="module")
def dqn():
    return Again(("experiments/minatar_breakout.gin",), (*MINATAR, *DQN))


@pytest.fixture(scope="module")
def whole(dqn, tmp_path_factory):
    """A run of `dqn` that nothing stopped."""
    base_dir = tmp_path_factory.mktemp("whole") / "run"
    assert dqn(base_dir) == 0
    return base_dir
