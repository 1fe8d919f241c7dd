"""Writes a run as RL Unplugged lies on disk: what tensorflow-datasets reads by itself."""

import contextlib
import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prune_rl.datasets import rlu_records
from prune_rl.datasets.experience import Block, Part, Run, Share
from prune_rl.errors import ConfigError, first_line
from prune_rl.specs import FINAL, GOES_ON, TERMINATED

_BUILDER, _VERSION = "rlu_atari_checkpoints_ordered", "1.1.0"


def write(run: Run, out: Path) -> None:
    """Writes a run below `out`, the data_dir of tensorflow-datasets; one episode is held at a time.

    Part n becomes the split checkpoint_n, which holds the episodes that begin there, to their end:
    it is lacking where none begins. Of an episode whose beginning or end the run does not hold,
    what it does hold becomes an episode, cut off at its end.

    Raises:
        ConfigError: the run is not of Atari, or it is there already.
        OSError: it could not be written; nothing of it is left.
    """
    if run.suite != "atari" or run.observation_spec.frame_shape != rlu_records.FRAME_SHAPE:
        found = f"{run.suite}, frames {run.observation_spec.frame_shape}"
        expected = "--format=rlu holds Atari frames (84, 84, 1) alone; expected --format=dqn_replay"
        raise ConfigError(f"{expected} of {run.game} ({found})")
    folder = out / _BUILDER / f"{run.game}_run_{run.number}" / _VERSION
    if folder.exists():
        raise ConfigError(f"{folder}: there already; expected a directory without this run")
    with _whole_or_nothing(folder) as scratch:
        _write_into(scratch, run)


@contextlib.contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """A directory beside `folder` that takes its name at the end, or goes with all made for it."""
    tf, _ = rlu_records.tensorflow()
    made = [parent for parent in folder.parents if not parent.exists()]
    scratch = folder.parent / f".{folder.name}.{os.getpid()}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
        scratch.rename(folder)
    except BaseException as error:
        shutil.rmtree(scratch, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, tf.errors.OpError):
            full = isinstance(error, tf.errors.ResourceExhaustedError)
            number = errno.ENOSPC if full else errno.EIO
            raise OSError(number, first_line(error), str(folder)) from error
        raise


def _write_into(folder: Path, run: Run) -> None:
    writer = _writer(folder, run)
    splits: dict[str, int] = {}  # episodes of each, so far
    for part, episode in _episodes(run):
        steps = episode.steps()
        if not steps:
            continue
        name = f"checkpoint_{part:02d}"
        if name not in splits:
            writer.close_splits(list(splits))
            writer.initialize_splits([name])
        number = splits.get(name, 0)
        record = {"steps": steps, "checkpoint_id": part, "episode_id": number}
        record["episode_return"] = np.float32(sum(step["reward"] for step in steps))
        writer.add_examples({name: [record]})
        splits[name] = number + 1
    if not splits:
        raise ConfigError(f"{run.game}/{run.number}: no transition to write")
    writer.close_all()


def _writer(folder: Path, run: Run) -> Any:
    """Of tensorflow-datasets: appends episodes to files in `folder`, one a split."""
    _, tfds = rlu_records.tensorflow()
    from tensorflow_datasets.rl_unplugged import atari_utils

    identity = tfds.core.dataset_info.DatasetIdentity(
        name=_BUILDER,
        version=tfds.core.Version(_VERSION),
        data_dir=os.fspath(folder),
        module_name=__name__,
        config_name=f"{run.game}_run_{run.number}",
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=_description(run),
        features=atari_utils.features_dict(),
        disable_shuffling=True,
    )
    return tfds.core.SequentialWriter(info, max_examples_per_shard=sys.maxsize)


def _description(run: Run) -> str:
    said = f"{run.game}, run {run.number}, written by prune_rl. {dict(run.protocol)}"
    rewards = run.protocol.get("stored_rewards", run.protocol.get("rewards"))
    return said if rewards is None else f"{said}{rlu_records.REWARDS}{rewards}"


class _Episode:
    """Rows that follow each other: (PNG, action, reward) each."""

    def __init__(self) -> None:
        self._rows: list[tuple[bytes, int, float]] = []
        self._age, self._end = -1, GOES_ON
        self._last: np.ndarray | None = None  # the frame after the newest row, once it is seen

    def continues(self, block: Block, row: int) -> bool:
        """Whether a row, of the part that the newest one is of, comes next in the episode."""
        follows = self._end == GOES_ON and block.ages[row] == self._age + 1
        return follows and self._last is None

    def resumes(self, block: Block, row: int, before: list[bytes]) -> bool:
        """Whether a part's first transition comes next, with these PNGs `before` it in its stack.

        A part may call it truncated where it stops itself, and count ages from where it begins.
        """
        if not before or self._last is None or self._end == TERMINATED:
            return False
        known = [png for png, _, _ in self._rows[-len(before) :]]
        return known == before and np.array_equal(self._last, block.frames[row])

    def append(self, block: Block, row: int) -> None:
        """Takes over a row that a transition begins at."""
        action, reward = int(block.actions[row]), float(block.rewards[row])
        self._rows.append((_png(block.frames[row]), action, reward))
        self._age, self._end, self._last = int(block.ages[row]), int(block.ends[row]), None

    def see(self, block: Block, row: int) -> None:
        """Remembers a frame that follows the newest row, where no transition begins."""
        follows = self._rows and self._last is None and block.ages[row] == self._age + 1
        if follows and (self._end == GOES_ON or block.ends[row] == FINAL):
            self._last = block.frames[row].copy()

    def steps(self) -> list[dict[str, Any]]:
        """As RL Unplugged's own builder has them: T transitions are T + 1 steps.

        Of the last step only the observation has a meaning. That of a terminal episode is zeros
        where the run does not hold it: nothing is learned from it. Of any other episode the last
        row then gives its own, and loses its transition. Discounts are 0 from the transition into
        a terminal state on.
        """
        rows, terminal = list(self._rows), self._end == TERMINATED
        if self._last is not None or terminal:
            last = np.zeros(rlu_records.FRAME_SHAPE, np.uint8) if self._last is None else self._last
            rows.append((_png(last), 0, 0.0))
        elif rows:
            rows[-1] = (rows[-1][0], 0, 0.0)
        final = len(rows) - 1
        return [
            {
                "observation": io.BytesIO(png),  # taken as it is
                "action": action,
                "reward": np.float32(reward),
                "discount": np.float32(not (terminal and step >= final - 1)),
                "is_first": step == 0,
                "is_last": step == final,
                "is_terminal": terminal and step == final,
            }
            for step, (png, action, reward) in enumerate(rows)
            if final > 0
        ]


def _episodes(run: Run) -> Iterator[tuple[int, _Episode]]:
    """With the part that each begins in.

    Every transition begins in one part alone, so those rows, in order, are the run; the rows that
    parts hold beside them repeat a neighbour's, or show what follows the last of them.
    """
    begun, episode = 0, _Episode()
    for number, part in enumerate(run.parts(Share())):
        before: list[bytes] | None = []  # until the part's first transition
        for block, row in _rows(part):
            if not block.starts[row]:
                if before is None:
                    episode.see(block, row)
                else:
                    before.append(_png(block.frames[row]))
                continue
            is_next = (
                episode.continues(block, row)
                if before is None
                else episode.resumes(block, row, before)
            )
            before = None
            if not is_next:
                yield begun, episode
                begun, episode = number, _Episode()
            episode.append(block, row)
    yield begun, episode


def _rows(part: Part) -> Iterator[tuple[Block, int]]:
    for block in part.blocks():
        yield from ((block, row) for row in range(len(block.starts)))


def _png(frame: np.ndarray) -> bytes:
    return cv2.imencode(".png", frame)[1].tobytes()
