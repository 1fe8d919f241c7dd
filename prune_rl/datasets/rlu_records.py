"""Episodes out of the files of RL Unplugged, parsed by tensorflow-datasets.

TensorFlow is imported here and in `rlu_writer.py`, inside functions, and sees no GPU.
"""

import contextlib
import functools
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import ConfigError, first_line

FRAME_SHAPE = (84, 84, 1)
REWARDS = "\nStored rewards: "  # begins a line of the description, of datasets of ours
FLAGS = ("is_first", "is_last", "is_terminal")


class Shard(NamedTuple):
    """A file of a split, and how many episodes `dataset_info.json` says it holds."""

    path: Path
    num_episodes: int


class Lengths(NamedTuple):
    """What the rows of E episodes are known by before a frame is read.

    Attributes:
        steps: (E,) int64, of T transitions T + 1: the last step is only an observation.
        terminal: (E,) bool, whether the last observation is a terminal state.
    """

    steps: np.ndarray
    terminal: np.ndarray


class Counted(NamedTuple):
    """Episodes of a split, and 64 hexadecimal digits that change with any byte of its records."""

    lengths: Lengths
    sha256: str


class Episode(NamedTuple):
    """One record, L steps.

    Attributes:
        where: its file and place there, for messages.
        pngs: (L,) object, bytes of each frame's PNG.
        actions: (L,) int64; that of the last step means nothing, nor does its reward.
        rewards: (L,) float32.
        checkpoint: the checkpoint it says it belongs to.
        episode_return: the sum of its rewards, as it says itself.
    """

    where: str
    pngs: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    checkpoint: int
    episode_return: float


@functools.cache
def tensorflow() -> tuple[Any, Any]:
    """TensorFlow, silent and without a GPU, and TensorFlow Datasets.

    Raises:
        ConfigError: they are not installed.
    """
    for name, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("TF_ENABLE_ONEDNN_OPTS", "0")):
        os.environ.setdefault(name, value)  # oneDNN announces itself at every level of logging
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise _lacking("TensorFlow Datasets") from error
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with contextlib.suppress(RuntimeError):  # it is in use already, by whoever started it
        tf.config.set_visible_devices([], "GPU")
    return tf, tfds


def _lacking(package: str) -> ConfigError:
    return ConfigError(f"RL Unplugged data needs {package}: pip install 'prune_rl[rlu]'")


def count(shards: Sequence[Shard], watch: Callable[[int], None] = lambda _: None) -> Counted:
    """Reads every record, in the files' order, for its steps; no image is decoded.

    `watch` is told of every episode that no frame of it was read; it raises to stop.

    Raises:
        Damaged: a file or an episode is not what it should be.
    """
    parse = _parser(FLAGS)
    steps, terminal, digest = [], [], hashlib.sha256()
    for where, record in _records(shards, 0, sum(shard.num_episodes for shard in shards)):
        digest.update(hashlib.sha256(record).digest())  # where a record ends matters, too
        flags = _parsed(parse, where, record)["steps"]
        first, last, ends = (flags[name] for name in FLAGS)
        _require_whole(where, first, last, ends)
        steps.append(len(first))
        watch(0)
        terminal.append(ends[-1])
    lengths = Lengths(np.array(steps, np.int64), np.array(terminal, bool))
    return Counted(lengths, digest.hexdigest())


def _require_whole(where: str, first: np.ndarray, last: np.ndarray, terminal: np.ndarray) -> None:
    """Raises `Damaged` unless flags (L,) bool are those of one episode, from first to last."""
    if len(first) == 0:
        raise Damaged(f"{where}: the episode is empty")
    if len({len(first), len(last), len(terminal)}) > 1:
        raise Damaged(
            f"{where}: {len(first)} is_first, {len(last)} is_last, {len(terminal)} is_terminal"
        )
    place = np.arange(len(first))
    for name, flags, only in (("is_first", first, 0), ("is_last", last, len(last) - 1)):
        if not np.array_equal(flags, place == only):
            raise Damaged(
                f"{where}: {name} at steps {_listed(flags)}, expected at step {only} alone"
            )
    if terminal[:-1].any():
        raise Damaged(f"{where}: is_terminal before the last step, at steps {_listed(terminal)}")


def _listed(flags: np.ndarray) -> list[int]:
    return [int(step) for step in np.flatnonzero(flags)[:4]]


def read(shards: Sequence[Shard], first: int, wanted: np.ndarray) -> Iterator[Episode | None]:
    """Episodes from number `first` on, one for each of `wanted` (E,) bool; None for one not wanted.

    Raises:
        Damaged: a file or an episode is not what it should be.
    """
    parse = _parser(("observation", "action", "reward"))
    for (where, record), asked in zip(_records(shards, first, len(wanted)), wanted, strict=True):
        if not asked:
            yield None
            continue
        parsed = _parsed(parse, where, record)
        steps = parsed["steps"]
        pngs, actions, rewards = (steps[name] for name in ("observation", "action", "reward"))
        if not len(pngs) == len(actions) == len(rewards):
            counts = f"{len(pngs)} observations, {len(actions)} actions, {len(rewards)} rewards"
            raise Damaged(f"{where}: {counts}")
        own = int(parsed["checkpoint_id"]), float(parsed["episode_return"])
        yield Episode(where, pngs, actions, rewards, *own)


def frames(episode: Episode, rows: np.ndarray) -> np.ndarray:
    """The frames of `rows` (n,), (n, 84, 84, 1) uint8.

    Raises:
        Damaged: one is no PNG of that size.
    """
    out = np.empty((len(rows), *FRAME_SHAPE), np.uint8)
    for place, row in enumerate(rows):
        png = episode.pngs[row]
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
        if image is None or image.shape != FRAME_SHAPE[:2]:
            found = "no image" if image is None else f"an image of {image.shape}"
            raise Damaged(f"{episode.where}: step {row}: {found}, expected a PNG of 84 x 84")
        out[place, :, :, 0] = image
    return out


@functools.cache
def _parser(names: Sequence[str]) -> Any:
    """A function of a record's bytes that parses, of the steps, only features of these `names`."""
    tf, tfds = tensorflow()
    kinds = dict.fromkeys(FLAGS, np.bool_) | {"action": np.int64, "reward": np.float32}
    # The PNG's bytes as they are: OpenCV decodes them faster than TensorFlow does.
    kinds["observation"] = tfds.features.Tensor(shape=(), dtype=np.object_)
    steps = tfds.features.Sequence({name: kinds[name] for name in names})
    own = {"checkpoint_id": np.int64, "episode_return": np.float32}
    features = tfds.features.FeaturesDict({"steps": steps, **own})
    return tf.function(features.deserialize_example, input_signature=[tf.TensorSpec((), tf.string)])


def _parsed(parse: Any, where: str, record: bytes) -> dict[str, Any]:
    tf, _ = tensorflow()
    try:
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), parse(record))
    except tf.errors.OpError as error:
        raise Damaged(f"{where}: no episode of RL Unplugged: {first_line(error)[:200]}") from error


def _records(shards: Sequence[Shard], first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Where each of `count` records stands, from number `first` of a split on, and its bytes."""
    for shard in shards:
        low, high = min(first, shard.num_episodes), min(first + count, shard.num_episodes)
        if low < high:
            yield from _records_of(shard, low, high)
        first, count = first - low, count - (high - low)


def _records_of(shard: Shard, low: int, high: int) -> Iterator[tuple[str, bytes]]:
    """Of one file, numbers `low` to `high` - 1."""
    tf, _ = tensorflow()
    record = low
    open_file = _array_record if ".array_record" in shard.path.name else _tfrecord
    try:
        for data in open_file(shard.path, low, high):
            yield f"{shard.path}: episode {record}", data
            record += 1
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        offset = re.search(r"(?:record|chunk|block) at (\d+)", str(error))
        place = f"at byte {offset[1]}" if offset else f"at episode {record}"
        raise Damaged(f"{shard.path}: damaged {place} (checksum or length)") from error
    if record < high:
        expected = f"expected {shard.num_episodes} episodes, as dataset_info.json says"
        raise Damaged(f"{shard.path}: ends after episode {record - 1}, {expected}")


def _tfrecord(path: Path, low: int, high: int) -> Iterator[bytes]:
    tf, _ = tensorflow()
    # Not `tf.data`: that one also writes what is damaged to stderr, whatever the level of logging.
    return itertools.islice(tf.compat.v1.io.tf_record_iterator(os.fspath(path)), low, high)


def _array_record(path: Path, low: int, high: int) -> Iterator[bytes]:
    try:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError as error:
        raise _lacking("array_record") from error
    with ArrayRecordDataSource([os.fspath(path)]) as source:
        yield from (source[number] for number in range(low, min(high, len(source))))
