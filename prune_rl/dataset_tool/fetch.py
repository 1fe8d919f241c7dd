"""Brings a run of a public dataset, or of a mirror of one, to disk: whole files and no others."""

import re
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from prune_rl.dataset_tool import catalogue, checksums, download, server
from prune_rl.dataset_tool.checksums import SUMS
from prune_rl.dataset_tool.download import Corrupt, Wanted
from prune_rl.dataset_tool.server import Missing, Offer
from prune_rl.dataset_tool.threads import Check, in_threads
from prune_rl.datasets.dqn_replay_files import in_ranges
from prune_rl.errors import ConfigError
from prune_rl.progress import Bar, in_bytes

_STORED = ("observation", "action", "reward", "terminal")
_BESIDE = ("add_count", "invalid_range")
# What is there with one of these counts as complete.
_COMES_LAST = {"about.json", "dataset_info.json", "metadata.json"}
_CHECKPOINT = re.compile(r"(?:_ckpt\.|checkpoint_)(\d+)")


class _Ended(Exception):  # noqa: N818
    """Another thread has failed."""


class Fetched(NamedTuple):
    """What came of a fetch.

    Attributes:
        directory: of the run.
        num_files: that are there now, whole.
        num_bytes: of them.
        missing: names that the server does not have.
    """

    directory: Path
    num_files: int
    num_bytes: int
    missing: list[str]


def dqn_replay(
    out: Path,
    game: str,
    run: int,
    *,
    checkpoints: Sequence[int] | None = None,
    mirror: str | None = None,
    jobs: int = 4,
    check: Check = lambda: None,
) -> Fetched:
    """Fetches a run into out/GAME/RUN/replay_logs, of all or some checkpoints.

    Args:
        mirror: of the same tree, with a `SHA256SUMS` of it or without, also of data made here,
            whose `about.json` then says which files there are.

    Raises:
        ConfigError: no such game or run, no network, nothing there.
        OSError: of the disk, or a server that keeps failing.
    """
    below = f"{game}/{run}/replay_logs"
    if mirror is None:
        catalogue.require_game(game, catalogue.DQN_REPLAY)
        _require_run(run)
    root = mirror or catalogue.DQN_REPLAY_URL
    sums = checksums.of_mirror(root) if mirror else None
    if sums is not None:
        wanted = _listed(sums, root, below, out, checkpoints)
    elif mirror and (own := checksums.of_ours(root, below, checkpoints)):
        wanted = [_wanted(root, path, out, sha256) for path, sha256 in own.items()]
    else:
        names = _names(checkpoints or catalogue.CHECKPOINTS)
        wanted = [_wanted(root, f"{below}/{name}", out) for name in names]
    return fetch(wanted, out / below, jobs=jobs, check=check)


def rlu_mirror(
    out: Path,
    game: str,
    run: int,
    *,
    mirror: str,
    checkpoints: Sequence[int] | None = None,
    jobs: int = 4,
    check: Check = lambda: None,
) -> Fetched:
    """Fetches a directory that tensorflow-datasets has prepared, by the mirror's `SHA256SUMS`.

    Raises:
        ConfigError, OSError: as `dqn_replay`.
    """
    below = f"{catalogue.RLU_BUILDER}/{game}_run_{run}"
    sums = checksums.of_mirror(mirror)
    if sums is None:
        what = f"--mirror={mirror}: it has no {SUMS}"
        raise ConfigError(f"{what}, which --dataset=rlu needs: its files' names differ")
    return fetch(
        _listed(sums, mirror, below, out, checkpoints), out / below, jobs=jobs, check=check
    )


def rlu(out: Path, game: str, run: int) -> Path:
    """Has tensorflow-datasets fetch and prepare a run below `out`; returns where it is.

    It keeps nothing of what it had done when it is interrupted.

    Raises:
        ConfigError: no such game or run, no network, no TensorFlow.
        OSError: whatever else tensorflow-datasets says.
    """
    catalogue.require_game(game, catalogue.RLU)
    _require_run(run)
    server.ask(catalogue.rlu_shards(game)[0], patient=False)  # itself, it tries for long
    try:
        import tensorflow  # noqa: F401
        import tensorflow_datasets as tfds
    except ImportError as error:
        what = f"--dataset=rlu: no module {error.name}; it needs tensorflow and tensorflow-datasets"
        raise ConfigError(f"{what}: pip install 'prune_rl[rlu]'") from error
    try:
        builder = tfds.builder(f"{catalogue.RLU_BUILDER}/{game}_run_{run}", data_dir=str(out))
        builder.download_and_prepare()
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise OSError(f"tensorflow-datasets: {type(error).__name__}: {said}") from error
    return Path(builder.data_dir)


def fetch(wanted: Sequence[Wanted], directory: Path, *, jobs: int, check: Check) -> Fetched:
    """Fetches what is not there yet, `jobs` files at a time; what must come last, last.

    Raises:
        ConfigError, OSError: as `dqn_replay`; Corrupt once all that can be had is there.
    """
    offers = _ask_all(wanted, jobs, check)
    missing = [x.path.name for x in wanted if x not in offers]
    if all(x.path.name in _COMES_LAST for x in offers):
        at = wanted[0].url.rpartition("/")[0] if wanted else str(directory)
        raise ConfigError(f"{at}: nothing of the run is there")
    there = in_threads(lambda x: download.is_there(x, offers[x]), list(offers), jobs, check)
    todo = {x: offers[x] for x in offers if not there[x]}
    _require_room(todo, directory)
    with _bar(todo, check) as bar:
        last = [x for x in todo if x.path.name in _COMES_LAST]
        for batch in ([x for x in todo if x not in last], last):
            _download_all(batch, offers, bar, jobs, check)
    sizes = [x.path.stat().st_size for x in offers]
    return Fetched(directory, len(sizes), sum(sizes), missing)


def lines(fetched: Fetched) -> Iterator[str]:
    """What a user reads of it: what is missing, then what is there."""
    lacking: dict[int, list[str]] = {}
    for name in fetched.missing:
        if match := _CHECKPOINT.search(name):
            lacking.setdefault(int(match[1]), []).append(name)
    absent = [number for number in sorted(lacking) if set(_names([number])) <= {*lacking[number]}]
    if absent:
        many = "s" if len(absent) > 1 else ""
        yield f"missing on the server: all of checkpoint{many} {in_ranges(absent)}"
    for number in sorted(set(lacking) - set(absent)):
        yield f"missing on the server: checkpoint {number}: {', '.join(lacking[number])}"
    size = in_bytes(fetched.num_bytes)
    yield f"{fetched.num_files:,} files, {size}, whole: {fetched.directory}"


def _require_run(run: int) -> None:
    if run not in catalogue.RUNS:
        raise ConfigError(f"--run={run}: expected 1 to {catalogue.RUNS[-1]}")


def _names(checkpoints: Iterable[int]) -> list[str]:
    """The files of published checkpoints."""
    return [
        name
        for number in checkpoints
        for name in (
            *(f"$store$_{kind}_ckpt.{number}.gz" for kind in _STORED),
            *(f"{kind}_ckpt.{number}.gz" for kind in _BESIDE),
        )
    ]


def _wanted(root: str, path: str, out: Path, sha256: str | None = None) -> Wanted:
    return Wanted(f"{root.rstrip('/')}/{quote(path)}", out / path, sha256)


def _listed(
    sums: dict[str, str], root: str, below: str, out: Path, checkpoints: Sequence[int] | None
) -> list[Wanted]:
    """What a list has of a run, and of the checkpoints if they are said."""

    def is_asked_for(path: str) -> bool:
        number = _CHECKPOINT.search(path.rpartition("/")[2])
        return number is None or checkpoints is None or int(number[1]) in checkpoints

    paths = [path for path in sums if path.startswith(f"{below}/") and is_asked_for(path)]
    if not paths:
        raise ConfigError(f"{root.rstrip('/')}/{SUMS}: nothing of {below}")
    return [_wanted(root, path, out, sums[path]) for path in paths]


def _ask_all(wanted: Sequence[Wanted], jobs: int, check: Check) -> dict[Wanted, Offer]:
    """What the server has of what is wanted; the first is asked without patience."""

    def ask(one: Wanted) -> Offer | None:
        try:
            return server.ask(one.url, patient=one is not wanted[0])
        except Missing:
            return None

    found = {one: ask(one) for one in wanted[:1]}
    found |= in_threads(ask, wanted[1:], jobs, check)
    return {one: offer for one in wanted if (offer := found[one]) is not None}


def _require_room(todo: dict[Wanted, Offer], directory: Path) -> None:
    needed = sum((offer.size or 0) - download.kept(one, offer) for one, offer in todo.items())
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(f"{directory}: {in_bytes(needed)} to fetch, and {in_bytes(free)} free there")


def _bar(todo: dict[Wanted, Offer], check: Check) -> Bar:
    total = sum(offer.size or 0 for offer in todo.values())
    done = sum(download.kept(one, offer) for one, offer in todo.items())
    return Bar(f"fetching {len(todo):,} files", total, done=done, check=check)


def _download_all(
    files: Sequence[Wanted], offers: dict[Wanted, Offer], bar: Bar, jobs: int, check: Check
) -> None:
    """A corrupt file does not keep the others from coming."""
    ended = threading.Event()

    def watch(count: int) -> None:
        if ended.is_set():
            raise _Ended
        bar.advance(count)

    def get(one: Wanted) -> Corrupt | None:
        try:
            download.download(one, offers[one], watch)
        except Corrupt as error:
            return error
        return None

    corrupt = [x for x in in_threads(get, files, jobs, check, ended).values() if x is not None]
    for error in corrupt[1:]:
        print(error, file=sys.stderr)
    if corrupt:
        raise corrupt[0]
