"""Folders below a path that hold a dataset."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def datasets_below(path: Path, is_one: Callable[[Path, Sequence[str]], bool]) -> Iterator[Path]:
    """`path` and the folders below it, at any depth, that are one by path and names of files.

    Looks neither into what is one, nor into hidden folders, which are being written. Links to
    folders are followed, but for those that lead back to where they lie.
    """
    for name, folders, files in os.walk(path, followlinks=True):
        if is_one(Path(name), files):
            folders.clear()
            yield Path(name)
        _prune(name, folders)


def files_below(path: Path, suffix: str) -> Iterator[Path]:
    """The files whose names end so, in `path` and the folders below it; or `path`, if it is one."""
    if path.is_file() and path.suffix == suffix:
        yield path
    for name, folders, files in os.walk(path, followlinks=True):
        yield from (Path(name, own) for own in sorted(files) if own.endswith(suffix))
        _prune(name, folders)


def _prune(name: str, folders: list[str]) -> None:
    """Leaves those folders of a folder, in order, that are looked into."""
    folders[:] = [own for own in sorted(folders) if _is_entered(Path(name, own))]


def _is_entered(folder: Path) -> bool:
    if folder.name.startswith("."):
        return False
    return not (folder.is_symlink() and _leads_back(folder))


def _leads_back(link: Path) -> bool:
    above = (parent.resolve() for parent in Path(os.path.abspath(link)).parents)
    return any(parent.is_relative_to(link.resolve()) for parent in above)
