"""Runs of vector observations: rows of episodes, and which of them a share needs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.experience import Share
from prune_rl.datasets.stretches import Outline, draw, reached
from prune_rl.specs import FINAL


class Needed(NamedTuple):
    """The k rows that a share needs, in rising order, (k,) each.

    Attributes:
        rows: int64, their places in the outline.
        ages, ends, starts: as in a `Block`.
    """

    rows: np.ndarray
    ages: np.ndarray
    ends: np.ndarray
    starts: np.ndarray


def outline(lengths: np.ndarray, ends: np.ndarray) -> Outline:
    """Of episodes one after the other, of so many rows each, (E,), and the rows' ends (m,)."""
    lows = np.cumsum(lengths) - lengths
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    rows = np.arange(len(ends))
    return Outline(
        rows=rows,
        episodes=episodes,
        ages=rows - lows[episodes],
        ends=ends,
        startable=ends != FINAL,
        lows=lows[episodes],
        highs=(lows + lengths - 1)[episodes],
    )


def needed(whole: Outline, share: Share, number: int) -> Needed:
    """The rows of the transitions of a share, and of what follows them in their windows.

    Raises:
        ConfigError: there are not so many transitions.
    """
    starts = draw(whole, share, (share.seed, number, 0))
    (rows,) = np.nonzero(reached(whole, np.flatnonzero(starts), 1, share.horizon))
    ages = whole.ages[rows].astype(np.int32)
    return Needed(rows, ages, whole.ends[rows], starts[rows])


def sha256_of(paths: Sequence[Path]) -> str:
    """64 hexadecimal digits of all bytes of the files."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
