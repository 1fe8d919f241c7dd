"""What produced a result: code, versions, hardware, protocol and units, as plain JSON."""

import datetime
import importlib.metadata
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any

import jax

from prune_rl import malloc, version
from prune_rl.recording import tensor_files
from prune_rl.recording.metrics import UNITS

_HEADER = re.compile(r"^(Name|Version): *(\S+) *$", re.MULTILINE)


def collect(protocol: dict[str, Any]) -> dict[str, Any]:
    """One record of this start of a run; `protocol` is the environment's own account."""
    device, (commit, changed) = jax.devices()[0], version.code()
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git_commit": commit,
        "git_dirty": changed,
        "python": platform.python_version(),
        "versions": _versions(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "num_devices": jax.device_count(),
        "malloc": malloc.kept(),
        "protocol": protocol,
        "units": UNITS,
    }


def append(path: Path, record: dict[str, Any]) -> None:
    """Adds `record` to the JSON list at `path`: one entry per start of the run."""
    starts = json.loads(path.read_text()) if path.exists() else []
    text = json.dumps([*starts, record], indent=1) + "\n"
    tensor_files.write_bytes(path.parent, path.name, text.encode())


def _versions() -> dict[str, str]:
    """Of every installed package, in the order of their names."""
    found = dict(map(_name_and_version, importlib.metadata.distributions()))
    return {name: found[name] for name in sorted(found, key=str.casefold)}


def _name_and_version(package: importlib.metadata.Distribution) -> tuple[str, str]:
    """From the text: the standard library parses each package's, its README included, as e-mail."""
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
    headers = dict(_HEADER.findall(text.partition("\n\n")[0]))
    if headers.keys() == {"Name", "Version"}:
        return headers["Name"], headers["Version"]
    return package.metadata["Name"], package.version
