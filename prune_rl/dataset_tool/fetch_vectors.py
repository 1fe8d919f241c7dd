"""Brings sets of D4RL's or Minari's to disk, where these themselves would look for them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prune_rl.dataset_tool import catalogue, checksums, fetch
from prune_rl.dataset_tool.download import Wanted
from prune_rl.dataset_tool.fetch import Fetched
from prune_rl.dataset_tool.threads import Check
from prune_rl.datasets import d4rl_names
from prune_rl.datasets.minari import MAIN, METADATA
from prune_rl.errors import ConfigError, nearest


def d4rl(
    out: Path, name: str, *, mirror: str | None = None, jobs: int = 1, check: Check = lambda: None
) -> Fetched:
    """Fetches out/halfcheetah_medium-v2.hdf5, of 'halfcheetah-medium-v2'.

    Args:
        mirror: of the same tree, `gym_mujoco_v2/`, with a `SHA256SUMS` of it or without.

    Raises:
        ConfigError: there is no such set, no network, nothing there.
        OSError: of the disk, or a server that keeps failing.
    """
    below, root = d4rl_names.path_below(name), mirror or d4rl_names.URL
    sums = (checksums.of_mirror(root) if mirror else None) or {}
    wanted = Wanted(f"{root}/{below}", out / d4rl_names.file_of(name), sums.get(below))
    return fetch.fetch([wanted], out, jobs=jobs, check=check)


def minari_mirror(
    out: Path, name: str, *, mirror: str, jobs: int = 2, check: Check = lambda: None
) -> Fetched:
    """Fetches out/NAME/data/ from a server with the same tree, as `d4rl` does; any set."""
    sums = checksums.of_mirror(mirror) or {}
    paths = [f"{name}/data/{file}" for file in (MAIN, METADATA)]
    wanted = [Wanted(f"{mirror}/{path}", out / path, sums.get(path)) for path in paths]
    return fetch.fetch(wanted, out / name / "data", jobs=jobs, check=check)


def minari(out: Path, name: str) -> Path:
    """Has Minari fetch a set to out/NAME; returns where it is.

    Raises:
        ConfigError: Minari is not installed, or has no name of that form.
        OSError: whatever else it says.
    """
    if not name.rpartition("-v")[2].isdecimal():
        near = nearest(name, catalogue.MINARI.games)
        raise ConfigError(f"--game={name}: expected a name as mujoco/hopper/expert-v0; {near}")
    try:
        import minari as package
    except ImportError as error:
        what = f"--dataset=minari: no module {error.name}; or name a --mirror"
        raise ConfigError(f"{what}: pip install 'prune_rl[minari]'") from error
    try:
        with _kept_in(out):
            package.download_dataset(name)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise OSError(f"minari: {type(error).__name__}: {said}") from error
    return out / name


@contextmanager
def _kept_in(root: Path) -> Iterator[None]:
    """Within, Minari keeps its datasets there."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        os.environ.pop("MINARI_DATASETS_PATH")
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before
