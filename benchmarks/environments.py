"""Where the Pythons of the workers are, and which prune_rl they see."""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.pairs import MALLOC, REPOSITORY, Side

_DOPAMINE = "bash tests/parity/dopamine_environment.sh (3 GB)"
_PEER = "bash benchmarks/peers/environment.sh {} (1 to 2 GB)"


class Lacking(Exception):  # noqa: N818
    """A side cannot be measured here; the message says what to do about it."""


def python_of(environment: str | None) -> str:
    """The interpreter of a peer's environment; this one for None.

    Raises:
        Lacking: it is not installed.
    """
    if environment is None:
        return sys.executable
    folder, how = _home() / f"peer-{environment}", _PEER.format(environment)
    if environment == "dopamine":
        folder, how = _home() / "dopamine-4.1.2", _DOPAMINE
        folder = Path(os.environ.get("PRUNE_RL_DOPAMINE", folder))
    if not (folder / "complete").exists():
        raise Lacking(f"{environment} is not installed; {how} installs it")
    return str(folder / "bin" / "python")


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "prune_rl"


class Checkouts(ExitStack):
    """prune_rl as it was at commits, in folders that are removed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._folders: dict[str, Path] = {}

    def folder(self, commit: str) -> Path:
        """Where the package of `commit` is importable from.

        Raises:
            Lacking: git has no such commit here.
        """
        if commit not in self._folders:
            command = ["git", "archive", commit, "prune_rl", "gin_configs"]
            try:
                found = subprocess.run(command, cwd=REPOSITORY, capture_output=True)
            except FileNotFoundError:
                raise Lacking(f"git is not installed, and {commit} is to be checked out") from None
            if found.returncode:
                raise Lacking(f"no commit {commit} here; git fetch --unshallow brings it")
            folder = self.enter_context(tempfile.TemporaryDirectory(prefix="prune_rl_"))
            with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
                archive.extractall(folder, filter="data")
            self._folders[commit] = Path(folder)
        return self._folders[commit]


def variables_of(side: Side, checkouts: Checkouts) -> dict[str, str]:
    """Environment variables of a side's process.

    The first part of its path is where its prune_rl is, the last one this checkout. Python is told
    not to put the current folder, which is this checkout too, before them (3.11 and later).
    """
    paths = [] if side.commit is None else [checkouts.folder(side.commit)]
    return {
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, REPOSITORY])),
        "PYTHONSAFEPATH": "1",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **(MALLOC if side.malloc else {}),
    }
