"""The gin files that come with the package; imports nothing but the standard library."""

from pathlib import Path

from prune_rl.errors import ConfigError, nearest

_PACKAGE = Path(__file__).resolve().parent
# Installed wheel first, then a checkout.
ROOTS = (_PACKAGE / "gin_configs", _PACKAGE.parent / "gin_configs")


def shipped_gin_files() -> dict[str, Path]:
    """The gin files that come with the package: name (`agents/dqn.gin`) to path, sorted."""
    root = next((root for root in ROOTS if root.is_dir()), None)
    if root is None:
        return {}
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.gin"))}


def find_gin_file(name: str) -> Path:
    """Returns the path of a gin file given by path or by shipped name.

    Raises:
      ConfigError: there is no such file; names the nearest shipped one.
    """
    shipped = shipped_gin_files()
    if Path(name).is_file():
        return Path(name)
    if name in shipped:
        return shipped[name]
    raise ConfigError(f"--gin_files={name}: no such file; {nearest(name, shipped)}")
