"""What a mirror says of its files, names and checksums: its SHA256SUMS, or a run's about.json."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from prune_rl.dataset_tool import server
from prune_rl.dataset_tool.server import Missing
from prune_rl.datasets import about_file
from prune_rl.datasets.dqn_replay_files import in_ranges, number_of
from prune_rl.datasets.experience import Damaged
from prune_rl.errors import ConfigError

SUMS = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(.+)")


def of_mirror(root: str) -> dict[str, str] | None:
    """Path below the root to SHA-256, as `sha256sum` writes them; None if there is no list.

    Raises:
        ConfigError: it is no such list, or no network.
    """
    url = f"{root.rstrip('/')}/{SUMS}"
    try:
        text = server.get_text(url)
    except Missing:
        return None
    found = [(_SUM.fullmatch(line), line) for line in text.splitlines() if line.strip()]
    for match, line in found:
        if match is None or match[2].startswith("/") or ".." in Path(match[2]).parts:
            what = "expected lines of 64 digits, two blanks and a path below it, as sha256sum has"
            raise ConfigError(f"{url}: {line[:80]!r}: {what}")
    return {match[2]: match[1].lower() for match, _ in found if match}


def of_ours(root: str, below: str, checkpoints: Sequence[int] | None) -> dict[str, str] | None:
    """Path below the root to SHA-256 of a run's files, by its `about.json`; None if it has none.

    Raises:
        ConfigError: it lacks some of `checkpoints`; `Damaged`, it is not what it should be.
    """
    path = f"{below}/{about_file.NAME}"
    url = f"{root.rstrip('/')}/{path}"
    try:
        text = server.get_text(url)
    except Missing:
        return None
    files = about_file.parse(url, text)["files"]
    numbers = {name: _number_in(url, name) for name in files}
    there = sorted(set(numbers.values()))
    if absent := sorted(set(checkpoints or ()) - set(there)):
        has = f"{url} has checkpoints {in_ranges(there)}"
        raise ConfigError(f"--checkpoints: {has}, not {in_ranges(absent)}")
    wanted = [name for name, number in numbers.items() if number in (checkpoints or there)]
    sums = {f"{below}/{name}": _sum_in(url, name, files[name]) for name in wanted}
    return {**sums, path: hashlib.sha256(text.encode()).hexdigest()}


def _number_in(url: str, name: str) -> int:
    number = number_of(name)
    if number is None:
        raise Damaged(f"{url}: files: {name[:80]!r} is no name of a checkpoint's file")
    return number


def _sum_in(url: str, name: str, said: object) -> str:
    sha256 = said.get("sha256") if isinstance(said, dict) else None
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise Damaged(f"{url}: files: {name}: sha256={sha256!r}, expected 64 digits")
    return sha256
