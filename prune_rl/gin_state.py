"""gin's global state, set aside: what is configured meanwhile is gone afterwards."""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gin

from prune_rl import configuration
from prune_rl.errors import ConfigError


@contextmanager
def kept() -> Iterator[None]:
    """Within, gin may be configured at will, in no scope; afterwards it is as it was.

    Bindings, what of them was used, macros, singletons, imports, the lock, and where gin looks for
    files. What was registered meanwhile stays so. No other thread may use gin meanwhile.
    """
    own = gin.config  # gin offers no public way to its state
    tables = (own._CONFIG, own._OPERATIVE_CONFIG, own._SINGLETONS)
    # One level down: what is bound to a function is a table that gin writes into.
    tables_before = [{key: copy.copy(x) for key, x in table.items()} for table in tables]
    lists = (own._FILE_READERS, own._LOCATION_PREFIXES)
    lists_before, imports = [list(x) for x in lists], set(own._IMPORTS)
    locked = gin.config_is_locked()
    try:
        with gin.config_scope(None):
            yield
    finally:
        for table, before in zip(tables, tables_before, strict=True):
            table.clear()
            table.update(before)
        for names, was in zip(lists, lists_before, strict=True):
            names[:] = was
        own._IMPORTS.clear()
        own._IMPORTS.update(imports)
        own._set_config_is_locked(locked)


@contextmanager
def configured_by(config: Path) -> Iterator[dict[str, Any]]:
    """Within, gin is as a run's config.gin says; gives what that makes of `Runner`'s parameters.

    Afterwards it is as it was.

    Raises:
        ConfigError: gin cannot read the file.
    """
    with kept():
        try:
            configuration.load([str(config)], [])
        except ConfigError as error:
            raise ConfigError(_told_of(config, str(error))) from error
        yield gin.get_bindings("Runner")


def _told_of(config: Path, line: str) -> str:
    """What is wrong with a config.gin, told by its path: who loads a run gives no --gin_files."""
    line = line.replace(f"--gin_files={config}: ", f"{config}: ", 1)
    missing = re.search(r": cannot import: No module named '(\w+)", line)
    if missing is None:
        return line
    statement = rf"^(?:import|from) {missing[1]}\b(\.?)"
    own = re.search(statement, config.read_text("utf-8"), re.MULTILINE)
    if own is None:  # a module of theirs imports it
        return line
    source = f"{missing[1]}{'/' if own[1] else '.py'}"
    return f"{line}; run it in the folder of {source}, or put that on PYTHONPATH"
