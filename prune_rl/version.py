"""Which copy of the project this is: its version, and in a checkout its commit."""

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prune_rl import __version__

_FILE = Path(__file__).resolve()


class Code(NamedTuple):
    """What git says of the package's own files.

    Attributes:
        commit: its full name; None where git tracks none of them, as in an installed wheel.
        changed: whether a tracked file differs from it.
    """

    commit: str | None
    changed: bool


def code() -> Code:
    """Asks git, which need not be there."""
    if _git("ls-files", "--error-unmatch", _FILE.name) is None:
        return Code(None, False)
    status = _git("status", "--porcelain", "--untracked-files=no")
    return Code(_git("rev-parse", "HEAD"), bool(status))


def in_words() -> str:
    """'prune_rl 0.1.0 (commit 5417e7be8a1c)'."""
    commit, changed = code()
    if commit is None:
        return f"prune_rl {__version__}"
    return f"prune_rl {__version__} (commit {commit[:12]}{', changed since' * changed})"


def add_version(parser: argparse.ArgumentParser) -> None:
    """Adds --version to a command's flags."""
    text = "print the version, in a checkout its commit too, and stop"
    parser.add_argument("--version", action=_Say, nargs=0, default=argparse.SUPPRESS, help=text)


class _Say(argparse.Action):
    """Unlike argparse's own, it asks git when it has to and not before."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del namespace, values, option_string
        print(in_words())
        parser.exit()


def _git(*arguments: str) -> str | None:
    """Output of a git command in the package's folder, None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(_FILE.parent), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
