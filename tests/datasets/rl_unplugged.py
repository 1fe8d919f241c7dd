"""RL Unplugged of real frames, as tensorflow-datasets' own builder writes it."""

import io
from types import SimpleNamespace

import ale_py
import cv2
import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.datasets.rlu import find_runs
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED

FOLDER = "rlu_atari_checkpoints_ordered/Pong_run_3/1.1.0"


def play_pong(number):
    """Frames of random play, (number, 84, 84, 1)."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 1)
    ale.loadROM(ale_py.roms.get_rom_path("pong"))
    rng, actions, frames = np.random.default_rng(0), ale.getMinimalActionSet(), []
    for _ in range(number):
        action = actions[rng.integers(len(actions))]
        for _ in range(4):
            ale.act(action)
        image = cv2.resize(ale.getScreenGrayscale(), (84, 84), interpolation=cv2.INTER_AREA)
        frames.append(image[..., None])
    return np.stack(frames)


def make_episode(frames, terminal, rng):
    length = len(frames)
    return SimpleNamespace(
        frames=frames,
        actions=rng.integers(6, size=length),
        rewards=rng.integers(-1, 2, size=length).astype(np.float32),
        first=np.arange(length) == 0,
        last=np.arange(length) == length - 1,
        terminal=(np.arange(length) == length - 1) & terminal,
        checkpoint=None,
        episode_return=None,
    )


def write_splits(out, splits, file_format="tfrecord", num_shards=2):
    """By the builder that anybody would write; every split in so many files."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.rl_unplugged import atari_utils

    class RluAtariCheckpointsOrdered(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.1.0")
        code_path = None  # it would look for files of its own beside this one
        BUILDER_CONFIGS = (atari_utils.BuilderConfig(name="Pong_run_3", game="Pong", run=3),)

        def _info(self):
            features = atari_utils.features_dict()
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, _):
            return {f"checkpoint_{c:02d}": self._examples(c) for c in range(len(splits))}

        def _examples(self, c):
            for e, episode in enumerate(splits[c]):
                fields = {
                    "observation": [png(frame) for frame in episode.frames],
                    "action": episode.actions,
                    "reward": episode.rewards,
                    "discount": np.ones(len(episode.first), np.float32),
                    "is_first": episode.first,
                    "is_last": episode.last,
                    "is_terminal": episode.terminal,
                }
                own = episode.rewards[:-1].sum()
                yield (
                    c * 10**10 + e,
                    {
                        "steps": fields,
                        "checkpoint_id": c if episode.checkpoint is None else episode.checkpoint,
                        "episode_id": e,
                        "episode_return": episode.episode_return or own,
                    },
                )

        def _generate_examples(self):
            raise NotImplementedError

    tfds.disable_progress_bar()
    builder = RluAtariCheckpointsOrdered(data_dir=out, config="Pong_run_3", file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=num_shards)
    )
    return out / FOLDER


def png(frame):
    return io.BytesIO(cv2.imencode(".png", frame)[1].tobytes())


def the_run(path):
    (run,) = find_runs(path)
    return run


def files_of(path, split):
    return sorted(path.glob(f"**/*checkpoint_{split:02d}*"))


def rows_of(part):
    return Block(*map(np.concatenate, zip(*part.blocks(), strict=True)))


def expected_of(episodes):
    """The rows of whole episodes, by hand."""
    rows = []
    for episode in episodes:
        length = len(episode.frames)
        if length == 1:
            continue  # an observation that nothing follows
        end = TERMINATED if episode.terminal[-1] else TRUNCATED
        rows.append(
            Block(
                episode.frames,
                np.append(episode.actions[:-1], 0),
                np.append(episode.rewards[:-1], 0),
                np.arange(length),
                np.array([GOES_ON] * (length - 2) + [end, FINAL]),
                np.array([True] * (length - 1) + [False]),
            )
        )
    return Block(*map(np.concatenate, zip(*rows, strict=True)))


def assert_same(rows, expected):
    for name, own, other in zip(Block._fields, rows, expected, strict=True):
        np.testing.assert_array_equal(own, other, err_msg=name)
    kinds = [field.dtype for field in rows]
    assert kinds == [np.uint8, np.int32, np.float32, np.int32, np.uint8, bool]


def flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def records_of(file):
    """The bytes of every record."""
    if "tfrecord" in file.name:
        import tensorflow as tf

        return [record.numpy() for record in tf.data.TFRecordDataset([str(file)])]
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(file))
    return list(reader.read_all())


def rewrite(file, records):
    """As tensorflow-datasets writes them."""
    if "tfrecord" in file.name:
        import tensorflow as tf

        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in records:
                writer.write(record)
        return
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(file), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
