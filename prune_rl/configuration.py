"""Finds, composes and checks gin files and bindings; every mistake becomes one clear line.

gin files are found by path or by their name below `gin_configs/` (`agents/dqn.gin`), which is
shipped inside the wheel. Nothing here writes to disk.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import gin

from prune_rl.errors import ConfigError
from prune_rl.gin_files import ROOTS, find_gin_file
from prune_rl.gin_mistakes import explain
from prune_rl.gin_references import require_no_circle
from prune_rl.quiet import quiet_libraries

# How a module's text shows that importing it registers names with gin.
_REGISTERS = re.compile(rb"gin\.(?:configurable|external_configurable|register)\b|from gin\simport")


def load(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> None:
    """Replaces gin's state by the given files, then bindings; later ones win.

    Raises:
      ConfigError: an unknown file, configurable or parameter, or a line that gin cannot read.
    """
    for module in configurable_modules():
        importlib.import_module(module)
    gin.clear_config()
    # gin's other reader would take a folder `agents` of the working directory for Python's.
    del gin.config._FILE_READERS[1:]
    for root in ROOTS:
        gin.add_config_file_search_path(str(root))
    paths = [find_gin_file(name) for name in gin_files]
    for name, path in zip(gin_files, paths, strict=True):
        _parse(f"--gin_files={name}", partial(gin.parse_config_file, str(path)))
    for binding in gin_bindings:
        _parse(f"--gin_bindings={binding!r}", partial(gin.parse_config, binding), binding)
    _parse("configuration", require_no_circle)
    _parse("configuration", gin.finalize)


@cache
def configurable_modules() -> tuple[str, ...]:
    """Names of the package's modules, at any depth, that register something with gin.

    Found by searching their text, once: none is imported. What they need beyond the package's own
    requirements they must import where they use it, since every run imports them.
    """
    files = _module_files(Path(__file__).parent, __package__)
    return tuple(name for name, path in files if _REGISTERS.search(path.read_bytes()))


def _module_files(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every module below `folder`, that of `package`."""
    for _, name, is_package in pkgutil.iter_modules([str(folder)], f"{package}."):
        own = folder / name.rpartition(".")[2]
        yield name, own / "__init__.py" if is_package else own.with_suffix(".py")
        if is_package:
            yield from _module_files(own, name)


def check_bindings_are_used(gin_bindings: Sequence[str]) -> None:
    """Raises `ConfigError` if a binding of the command line reached nothing that was built.

    Call it after everything configurable has been constructed. A binding in a gin file may be
    idle (a file may serve several compositions); one that was typed by hand may not.
    """
    for binding in unused_bindings(gin_bindings):
        problem = "nothing in this configuration uses it; add the gin file that does, or remove it"
        raise ConfigError(f"--gin_bindings={binding!r}: {problem}")


def unused_bindings(gin_bindings: Sequence[str]) -> list[str]:
    """Those of `gin_bindings` that reached nothing that was built since `load`."""
    used = [x for x in map(_scope_and_tail, gin.operative_config_str().splitlines()) if x]
    return [x for x in gin_bindings if not _is_used(_scope_and_tail(x), used)]


def _scope_and_tail(binding: str) -> tuple[str, str] | None:
    """('actor/', 'Reset.layers') of a binding such as 'actor/plasticity.Reset.layers = 1'.

    ('', 'torso') of a macro's, as 'torso = @NatureTorso()'.
    """
    match = re.match(r"\s*((?:\w+/)*)(?:(?:\w+\.)*(\w+\.\w+)|(\w+))\s*=", binding)
    return (match[1], match[2] or match[3]) if match else None


def _is_used(given: tuple[str, str] | None, used: Sequence[tuple[str, str]]) -> bool:
    # Without a scope a binding holds in every one.
    return given is None or any(
        tail == given[1] and scope.startswith(given[0]) for scope, tail in used
    )


def _parse(source: str, parse: Callable[[], object], binding: str | None = None) -> None:
    try:
        with quiet_libraries():  # gin logs every place where an included file is not
            parse()
    except Exception as error:  # gin's own are of many types, and a module imported may raise any
        raise ConfigError(f"{source}: {explain(error, binding)}") from error
