"""Random damage to a folder of files, each from a seed of its own."""

import random
import shutil
from pathlib import Path
from typing import NamedTuple


class Damage(NamedTuple):
    """What was done to which file or folder, below the folder that was damaged."""

    kind: str
    name: str


def damage(root: Path, seed: int, below: str = "") -> Damage:
    """Damages one file or folder of the run directory `root`, or of its folder `below`."""
    rng = random.Random(f"{below} {seed}")
    found = sorted(x for x in (root / below).rglob("*") if x.name != "lock")
    while True:
        path, kind = rng.choice(found), rng.choice(tuple(_KINDS))
        before = path.read_bytes() if path.is_file() else None
        if _KINDS[kind](path, rng, found) is None and _differs(path, before):
            return Damage(kind, str(path.relative_to(root)))


def _differs(path: Path, before: bytes | None) -> bool:
    return not path.is_file() or path.read_bytes() != before


_NO = "does not apply"


def _truncate(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    if not path.is_file():
        return _NO
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])
    return None


def _empty(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    _delete(path, rng, found)
    path.mkdir() if path.suffix == "" else path.touch()
    return None


def _delete(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def _flip(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    data = bytearray(path.read_bytes()) if path.is_file() else b""
    if not data:
        return _NO
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return None


def _randomize(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    size = path.stat().st_size if path.is_file() else 100
    _delete(path, rng, found)
    path.write_bytes(rng.randbytes(size))
    return None


def _to_folder(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    if path.is_dir():
        return _NO
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    return None


def _to_file(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    if path.is_file():
        return _NO
    shutil.rmtree(path)
    path.touch()
    return None


def _rename(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    path.rename(path.with_name(rng.choice((f"{path.name}.bak", "9", "x"))))
    return None


def _swap(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    other = rng.choice(found)
    if other == path or other in path.parents or path in other.parents:
        return _NO
    aside = path.with_name("aside")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)
    return None


def _zero(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    if not path.is_file():
        return _NO
    path.write_bytes(bytes(path.stat().st_size))
    return None


def _append(path: Path, rng: random.Random, found: list[Path]) -> str | None:
    if not path.is_file():
        return _NO
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 300)))
    return None


_KINDS = {
    "truncated": _truncate,
    "emptied": _empty,
    "deleted": _delete,
    "a bit flipped": _flip,
    "random bytes": _randomize,
    "made a folder": _to_folder,
    "made a file": _to_file,
    "renamed": _rename,
    "swapped": _swap,
    "zeros": _zero,
    "appended to": _append,
}
