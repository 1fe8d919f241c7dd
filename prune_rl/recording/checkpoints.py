"""Checkpoints of a whole run: written beside training, kept twice, checked byte by byte when read.

Below `checkpoints/` a checkpoint is a folder `<number>/` with a file of arrays for each seed and
manifest.json, which names every file with its length and digest. Replay rows lie in `rows/`, each
written once and named by all manifests that need it. A checkpoint is there once its folder has its
name; what no kept manifest names is swept away after the next one.
"""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from prune_rl.errors import ConfigError, RunEnded
from prune_rl.recording import row_files, tensor_files
from prune_rl.recording.tensor_files import Damaged
from prune_rl.state import Rows, State, flatten, unflatten

START_AFRESH = "or move the directory away to start afresh"  # advice, to who trains alone
_FORMAT = 1
_KEPT = 2
_ROWS_PER_STEP = 2  # that a seed adds at most
_MANIFEST = "manifest.json"


class Checkpoint(NamedTuple):
    """What `Checkpointer` saves and restores: the state of each seed, and JSON of the whole run."""

    seeds: dict[int, State]
    run: dict[str, Any]


class NotSaved(RunEnded, OSError):  # noqa: N818
    """A checkpoint could not be written; the message says which one is left."""


class Checkpointer:
    """The last two checkpoints of a run, numbered from 0 in the order of writing.

    A process killed at any moment leaves the checkpoints that were whole as they are.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._steps_to_spare = 0  # while writing
        self._kept: dict[int, dict[str, Any]] = {}  # manifests by number, oldest first

    def save(self, checkpoint: Checkpoint) -> None:
        """Begins to write `checkpoint`, whose arrays must not change from now on.

        Its `Rows` are read meanwhile: call `before_step` before every step that adds some. Waits
        for the one before. `restore` comes first: what it left aside is swept away. Raises
        `NotSaved` as `wait` does.
        """
        self.wait()
        checkpoint = checkpoint._replace(run=json.loads(_json(checkpoint.run)))  # a copy, too
        number = max(self._numbers(), default=-1) + 1
        self._steps_to_spare = self._rows_to_spare(checkpoint) // _ROWS_PER_STEP
        self._writing = self._writer.submit(self._write, number, checkpoint)

    def before_step(self) -> None:
        """Lets a step of training go on, after a wait if it would overwrite what is being saved."""
        if self._writing is None:
            return
        self._steps_to_spare -= 1
        if self._steps_to_spare < 0 or self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Returns when all is on disk.

        Raises:
          NotSaved: the disk is full or gone; the checkpoints before are untouched.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def restore(self, apply: Callable[[Checkpoint], None]) -> bool:
        """Hands the newest checkpoint that is whole to `apply`; False if there is none at all.

        `apply` reads the rows; it may raise `Damaged` too, and is then given the one before, which
        is said on stderr.

        Raises:
          ConfigError: there are checkpoints, but none is whole, or one is of another format.
        """
        reasons = []
        for number in reversed(self._numbers()):
            try:
                manifest = self._manifest(number)
                apply(self._read(manifest))
            except Damaged as error:
                reasons.append(f"checkpoint {number} is damaged ({error})")
                continue
            for reason in reasons:
                line = f"{self._root.parent}: {reason}; going on from {number}"
                print(line, file=sys.stderr, flush=True)
            self._kept = self._one_before(number) | {number: manifest}
            return True
        if reasons:
            advice = f"put back a copy of what is named, {START_AFRESH}"
            raise ConfigError(f"--base_dir={self._root.parent}: {'; '.join(reasons)}; {advice}")
        return False

    def _one_before(self, number: int) -> dict[int, dict[str, Any]]:
        """The newest manifest that is older, if any: its checkpoint may yet be needed."""
        for older in reversed([x for x in self._numbers() if x < number]):
            with contextlib.suppress(Damaged, ConfigError):
                return {older: self._manifest(older)}
        return {}

    def close(self, wait: bool = True) -> None:
        """Ends the writing thread, once it has written; unless `wait`, the process has to end."""
        self._writer.shutdown(wait)

    def _rows_to_spare(self, checkpoint: Checkpoint) -> int:
        """How many rows a seed may add while `checkpoint` is being written."""
        spare = [sys.maxsize]
        for seed, state in checkpoint.seeds.items():
            for path, rows in flatten(state).items():
                if isinstance(rows, Rows):
                    spare.append(row_files.rows_to_spare(rows, self._before(seed, path)))
        return min(spare)

    def _numbers(self) -> list[int]:
        if not self._root.is_dir():
            return []
        return sorted(int(path.name) for path in self._root.iterdir() if path.name.isdecimal())

    def _before(self, seed: int, path: str) -> dict[str, Any] | None:
        """What is on disk of a seed's rows."""
        if not self._kept:
            return None
        newest: dict[str, Any] = self._kept[max(self._kept)]["seeds"].get(str(seed), {})
        record: dict[str, Any] | None = newest.get("rows", {}).get(path)
        return record

    def _write(self, number: int, checkpoint: Checkpoint) -> None:
        part = self._root / f"{number}.part"
        try:
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            manifest = {
                "format": _FORMAT,
                "number": number,
                "run": checkpoint.run,
                "seeds": {
                    str(seed): self._write_seed(number, seed, flatten(state))
                    for seed, state in checkpoint.seeds.items()
                },
            }
            tensor_files.write_bytes(part, _MANIFEST, _with_digest(manifest))
            part.rename(self._root / str(number))
            tensor_files.sync_folder(self._root)
            self._kept = dict([*self._kept.items(), (number, manifest)][-_KEPT:])
        except OSError as error:
            reason = error.strerror or str(error)
            kept = (
                f"checkpoint {max(self._kept)} is whole" if self._kept else "none was made before"
            )
            raise NotSaved(f"checkpoint {self._root}/{number}: {reason}; {kept}") from error
        finally:
            self._sweep()

    def _write_seed(self, number: int, seed: int, flat: State) -> dict[str, Any]:
        rows = {path: x for path, x in flat.items() if isinstance(x, Rows)}
        arrays = {path: x for path, x in flat.items() if path not in rows}
        name = f"seed_{seed}.safetensors"
        records = {}
        for path, new in rows.items():
            folder = f"rows/seed_{seed}/{path.replace('/', '.')}"
            before = self._before(seed, path)
            records[path] = row_files.write_new(self._root, folder, new, before)
        own = tensor_files.write(self._root / f"{number}.part", name, arrays)
        return {"arrays": own | {"file": f"{number}/{name}"}, "rows": records}

    def _manifest(self, number: int) -> dict[str, Any]:
        name = f"{number}/{_MANIFEST}"
        try:
            data = (self._root / name).read_bytes()
            manifest: dict[str, Any] = json.loads(data)["manifest"]
            intact = data == _with_digest(manifest)
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{name}: cannot be read") from error
        if not intact:
            raise Damaged(f"{name}: its bytes are not those that were written")
        if manifest["format"] != _FORMAT:
            form = f"format {manifest['format']}; this version reads {_FORMAT}"
            raise ConfigError(f"--base_dir={self._root.parent}: checkpoint {number} has {form}")
        if manifest["number"] != number:
            raise Damaged(f"{name}: it is that of checkpoint {manifest['number']}")
        return manifest

    def _read(self, manifest: dict[str, Any]) -> Checkpoint:
        seeds = {}
        for seed, record in manifest["seeds"].items():
            flat: State = tensor_files.read(self._root, record["arrays"])
            for path, own in record["rows"].items():
                flat[path] = row_files.stored(self._root, own)
            seeds[int(seed)] = unflatten(flat)
        return Checkpoint(seeds, manifest["run"])

    def _sweep(self) -> None:
        """Removes what no kept checkpoint needs; what cannot be removed stays."""
        needed = {self._root / x for own in self._kept.values() for x in _row_names(own)}
        for path in self._root.glob("*"):
            ours = path.name.removesuffix(".part").isdecimal()
            if ours and path.name not in map(str, self._kept):
                shutil.rmtree(path, ignore_errors=True)
        for path in (self._root / "rows").rglob("*.safetensors*"):
            if path not in needed:
                with contextlib.suppress(OSError):
                    path.unlink()


def _row_names(manifest: dict[str, Any]) -> Iterator[str]:
    for seed in manifest["seeds"].values():
        for rows in seed["rows"].values():
            yield from (own["file"] for own in rows["files"])


def _with_digest(manifest: dict[str, Any]) -> bytes:
    """The whole of a manifest.json: the same bytes again for what was read from it."""
    digest = hashlib.sha256(_json(manifest).encode()).hexdigest()
    return _json({"sha256": digest, "manifest": manifest}).encode()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
