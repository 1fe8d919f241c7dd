"""Checkpoints by themselves: what is written comes back, the newest first, and two are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer


def _agent(number):
    return {"kernel": jnp.full((2, 3), number, jnp.float32), "count": jnp.int32(number)}


def _checkpoint(number):
    host = {"replay": {"frames": np.full((4, 2), number, np.uint8), "cursors": np.arange(number)}}
    return Checkpoint(_agent(number), host, {"metrics": 100 * number, "episodes": number})


@pytest.fixture
def checkpointer(tmp_path):
    own = Checkpointer(tmp_path / "checkpoints")
    yield own
    own.close()


@pytest.fixture
def saved(checkpointer):
    """Of iterations 1, 2 and 3; what the host holds is written to as soon as one is saved."""
    for number in (1, 2, 3):
        checkpoint = _checkpoint(number)
        checkpointer.save(number, checkpoint)
        checkpoint.host["replay"]["frames"][:] = 77
    return checkpointer


def _assert_is(restored, number):
    iterations, checkpoint = restored
    expected = _checkpoint(number)
    assert (iterations, checkpoint.log) == (number, expected.log)
    for part in ("agent", "host"):
        leaves = zip(
            jax.tree.leaves(getattr(checkpoint, part)),
            jax.tree.leaves(getattr(expected, part)),
            strict=True,
        )
        for a, b in leaves:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


def _spoil(directory):
    for file in directory.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:10])


def test_without_a_checkpoint_there_is_none(checkpointer):
    assert checkpointer.restore_latest(_agent(0)) is None


def test_the_newest_comes_back_and_one_more_is_kept(tmp_path, saved):
    _assert_is(saved.restore_latest(_agent(0)), 3)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"2", "3"}


def test_the_one_before_stands_in_for_one_that_cannot_be_read(tmp_path, saved):
    _spoil(tmp_path / "checkpoints" / "3")
    _assert_is(saved.restore_latest(_agent(0)), 2)
    saved.save(3, _checkpoint(3))  # made again
    _assert_is(saved.restore_latest(_agent(0)), 3)


def test_if_none_can_be_read_the_run_is_not_begun_again(tmp_path, saved):
    for number in "23":
        _spoil(tmp_path / "checkpoints" / number)
    with pytest.raises(ConfigError, match="newest: 3"):
        saved.restore_latest(_agent(0))
