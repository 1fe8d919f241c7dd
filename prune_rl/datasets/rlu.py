"""RL Unplugged Atari as tensorflow-datasets prepares it: a directory of files for each run.

Gulcehre et al. 2020, of the DQN-replay data of Agarwal et al. 2020. Builders rlu_atari (one split)
and rlu_atari_checkpoints[_ordered] (one a checkpoint), a configuration for each game and run. A
record is an episode. Finding the runs takes no TensorFlow.
"""

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets import rlu_parts, rlu_records
from prune_rl.datasets.experience import Damaged, Share, require_fraction
from prune_rl.datasets.folders import datasets_below
from prune_rl.datasets.rlu_parts import Split, SplitPart, impossible, part_of
from prune_rl.datasets.rlu_records import Counted, Episode, Shard
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete

_BUILDERS = ("rlu_atari", "rlu_atari_checkpoints", "rlu_atari_checkpoints_ordered")
_FEATURES = {*rlu_records.FLAGS, "observation", "action", "reward"}
_WATCHED = 500  # frames that are read between two looks at what the user wants
_NUM_COUNTERS = 4  # splits that are counted at once


def find_runs(path: Path) -> list["RLURun"]:
    """The runs at or below `path`, at any depth, by game and number; the newest version of each.

    Raises:
        Damaged: a `dataset_info.json` or `features.json` is not what it should be.
    """
    newest: dict[tuple[Path, str, str], RLURun] = {}
    for folder in datasets_below(path, lambda _, names: "dataset_info.json" in names):
        if any(name.startswith("incomplete") for name in folder.relative_to(path).parts):
            continue  # being written by tensorflow-datasets
        run = _run_at(folder)
        if run is not None:
            key = (folder.parent, run.builder, run.config)
            newest[key] = max(newest.get(key, run), run, key=lambda each: _numbers(each.version))
    return sorted(newest.values(), key=lambda run: (run.game, run.number, run.builder))


def _run_at(folder: Path) -> "RLURun | None":
    """None where some other dataset lies."""
    if not (folder / "features.json").is_file():
        return None
    info = _json_at(folder / "dataset_info.json")
    named = re.fullmatch(r"(\w+)_run_(\d+)", str(info.get("configName")))
    if info.get("name") not in _BUILDERS or named is None:
        return None
    _require_features(folder / "features.json")
    try:
        return RLURun(folder, named[1], int(named[2]), info)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Damaged(f"{folder / 'dataset_info.json'}: no splits as expected ({what})") from error


def _json_at(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise Damaged(f"{file}: no JSON ({error})") from error
    if not isinstance(content, dict):
        raise Damaged(f"{file}: expected an object")
    return content


def _require_features(file: Path) -> None:
    """Raises `Damaged` unless steps hold what is read of them, and frames of 84 x 84."""
    content: Any = _json_at(file)
    try:
        steps = content["featuresDict"]["features"]["steps"]["sequence"]["feature"]
        features = steps["featuresDict"]["features"]
        shape = features["observation"]["image"]["shape"]["dimensions"]
    except (KeyError, TypeError) as error:
        raise Damaged(f"{file}: no steps with images ({error} is missing)") from error
    lacking = sorted(_FEATURES - set(features))
    if lacking or tuple(map(int, shape)) != rlu_records.FRAME_SHAPE:
        found = f"no {', '.join(lacking)}" if lacking else f"frames {shape}"
        raise Damaged(f"{file}: {found}, expected {sorted(_FEATURES)}, frames [84, 84, 1]")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


class RLURun:
    """A `Run` in a directory that tensorflow-datasets prepared.

    Attributes, besides those of a `Run`: `path`; `builder`, `config` and `version` as they are
    called there; `splits` whose files are all there; `lacking`, the files that the others lack,
    but for those that have none.
    """

    suite = "atari"
    observation_spec = rlu_parts.SPEC
    action_spec: Discrete | None = None

    def __init__(self, path: Path, game: str, number: int, info: Mapping[str, Any]) -> None:
        self.path, self.game, self.number = path, game, number
        self.builder, self.config, self.version = info["name"], info["configName"], info["version"]
        listed = [_split(path, info, split) for split in info["splits"]]
        whole = [split for split in listed if all(shard.path.is_file() for shard in split.shards)]
        self.splits = sorted(whole, key=lambda split: (split.number, split.name))
        absent = [x for x in listed if not any(shard.path.is_file() for shard in x.shards)]
        names = ", ".join(split.name for split in absent)
        self.absent = [f"no files of splits {names}"] if absent else []
        partial = [x for x in listed if x not in whole and x not in absent]
        self.gaps = [*self.absent, *(f"split {x.name} lacks files" for x in partial)]
        self.lacking = [
            shard.path for x in partial for shard in x.shards if not shard.path.is_file()
        ]
        self.files = sorted(shard.path for split in listed for shard in split.shards)
        self._counted: dict[str, Counted] = {}
        self.protocol: Mapping[str, Any] = {
            "format": "rl_unplugged",
            "builder": self.builder,
            "version": self.version,
            "config": self.config,
            "path": str(path),
            "splits": len(whole),
            "rewards": _rewards(info),
        }

    def parts(self, share: Share) -> Sequence[SplitPart]:
        """A part for each split that is there; reads every file once to count its steps.

        Raises:
            ConfigError: no split is there.
            Damaged: a file is not what it should be.
        """
        require_fraction(share, self.path)
        name, counted = f"{self.game}/{self.number}", self._count()
        return [
            part_of(name, split, counted[split.name].lengths, share, self.number)
            for split in self.splits
        ]

    def num_steps(self) -> int:
        """Of all episodes, T + 1 of T transitions each. Raises as `parts` does."""
        return sum(int(own.lengths.steps.sum()) for own in self._count().values())

    def identity(self) -> str:
        """SHA-256 of every record that is read, its file's name, and what describes them.

        Raises:
            Damaged: a file is not what it should be.
        """
        counted, digest = self._count(), hashlib.sha256()
        for name in ("dataset_info.json", "features.json"):
            digest.update((self.path / name).read_bytes())
        for split in self.splits:
            names = " ".join(shard.path.name for shard in split.shards)
            digest.update(f"\n{names} {counted[split.name].sha256}\n".encode())
        return digest.hexdigest()

    def _count(self) -> Mapping[str, Counted]:
        """Of every split, by its name; reads what it has not read before."""
        if not self.splits:
            raise ConfigError(f"{self.path}: every split lacks files; {'; '.join(self.gaps)}")
        uncounted = [split for split in self.splits if split.name not in self._counted]
        with ThreadPoolExecutor(_NUM_COUNTERS) as pool, _ended() as watch:
            counted = pool.map(lambda split: rlu_records.count(split.shards, watch), uncounted)
            self._counted |= zip((split.name for split in uncounted), counted, strict=True)
        return self._counted


def _rewards(info: Mapping[str, Any]) -> str:
    """As stored, by the description that `rlu_writer` gives, or that of tensorflow-datasets."""
    said = re.search(rlu_records.REWARDS + "(.+)", str(info.get("description")))
    return said[1] if said else "clipped to [-1, 1], as the dataset's description says"


@contextmanager
def _ended() -> Iterator[Callable[[int], None]]:
    """What raises in threads once the context is left, so that nobody waits for them."""
    ended = threading.Event()

    def watch(count: int) -> None:
        if ended.is_set():
            raise CancelledError

    try:
        yield watch
    finally:
        ended.set()


def _split(path: Path, info: Mapping[str, Any], split: Mapping[str, Any]) -> Split:
    lengths = [int(length) for length in split["shardLengths"]]
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    fixed = {"DATASET": info["name"], "SPLIT": split["name"]}
    fixed |= {"FILEFORMAT": info.get("fileFormat", "tfrecord"), "NUM_SHARDS": f"{len(lengths):05d}"}
    names = (
        template.format(
            **fixed, SHARD_INDEX=f"{i:05d}", SHARD_X_OF_Y=f"{i:05d}-of-{len(lengths):05d}"
        )
        for i in range(len(lengths))
    )
    shards = tuple(Shard(path / name, n) for name, n in zip(names, lengths, strict=True))
    number = re.fullmatch(r"checkpoint_(\d+)", split["name"])
    return Split(split["name"], int(number[1]) if number else 0, shards)


def num_rows(run: RLURun) -> int:
    """How many frames `problems` tells of if all is well; counts them unless `parts` has."""
    try:
        return run.num_steps()
    except ConfigError:
        return 0


def problems(run: RLURun, watch: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """Reads everything; says, in a line each, what is missing, damaged or impossible.

    Splits that are absent as a whole are not: a run may be there in part.

    Args:
        watch: told, as frames are read, how many more; raises to stop.
    """
    for file in run.lacking:
        yield f"{file}: missing, though dataset_info.json names it"
    for split in run.splits:
        try:
            rlu_records.count(split.shards, watch)
            yield from _problems_of(split, watch)
        except Damaged as error:
            yield str(error)


def _problems_of(split: Split, watch: Callable[[int], None]) -> Iterator[str]:
    checkpoints = set()
    for episode in rlu_records.read(split.shards, 0, np.ones(split.num_episodes, bool)):
        if episode is not None:
            yield from _wrong_in(episode, watch)
            checkpoints.add(episode.checkpoint)
    if min(checkpoints, default=0) < 0 or (
        split.name.startswith("checkpoint") and len(checkpoints) > 1
    ):
        yield f"{split.shards[0].path}: episodes of checkpoints {sorted(checkpoints)}, expected one"


def _wrong_in(episode: Episode, watch: Callable[[int], None]) -> Iterator[str]:
    yield from impossible(episode)
    try:
        for rows in np.split(np.arange(n := len(episode.pngs)), range(_WATCHED, n, _WATCHED)):
            rlu_records.frames(episode, rows)
            watch(len(rows))
    except Damaged as error:
        yield str(error)
    sums = [
        float(episode.rewards.sum()),
        float(episode.rewards[:-1].sum()),
    ]  # the last means nothing
    told = episode.episode_return
    if not any(math.isclose(told, own, rel_tol=1e-4, abs_tol=1e-3) for own in sums):
        yield f"{episode.where}: episode_return {told:g}, but the rewards sum to {sums[1]:g}"
