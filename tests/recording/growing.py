"""A ring whose rows say at which position they were written, and a reader of what is on disk."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

from prune_rl.recording.checkpoints import Checkpoint
from prune_rl.state import Rows

PATH = "source/replay/rows"
_FOLDER = "source.replay.rows"


class Ring:
    """Rows of one seed, as a replay keeps them: the newest is not complete, and no `Rows`."""

    def __init__(self, seed, capacity, piece=5):
        self.seed, self.capacity, self.piece = seed, capacity, piece
        self.cursor, self.numbers = -1, np.full(capacity, -1, np.int64)

    def add(self, count):
        for _ in range(count):
            self.cursor += 1
            self.numbers[self.cursor % self.capacity] = self.number(self.cursor)

    def number(self, position):
        return 1_000_000 * self.seed + position

    def state(self):
        last, first = max(self.cursor, 0), max(self.cursor - self.capacity + 1, 0)

        def pieces(start):
            while start < last:
                here = start % self.capacity
                count = min(self.piece, last - start, self.capacity - here)
                numbers = self.numbers[here : here + count]
                yield start, {"numbers": numbers, "signs": np.sign(numbers).astype(np.int8)}
                start += count

        replay = {
            "cursor": np.array(self.cursor),
            "rows": Rows(first, last, self.capacity, 9, pieces),
        }
        return {"agent": {"w": np.full(3, self.cursor + 0.5)}, "source": {"replay": replay}}

    def held(self):
        """Numbers of the complete rows."""
        first = max(self.cursor - self.capacity + 1, 0)
        return [self.number(x) for x in range(first, self.cursor)]

    def set_state(self, state):
        replay = state["source"]["replay"]
        self.cursor = int(replay["cursor"])
        for first, fields in replay["rows"].pieces(replay["rows"].first):
            for i, number in enumerate(fields["numbers"].tolist()):
                self.numbers[(first + i) % self.capacity] = number
        if self.cursor >= 0:
            self.numbers[self.cursor % self.capacity] = self.number(self.cursor)


class Game:
    """Some rings, and what a checkpoint of them holds."""

    def __init__(self, capacities=(12, 12), piece=5):
        self.rings = [Ring(seed, own, piece) for seed, own in enumerate(capacities, start=4)]

    def play(self, *counts):
        for ring, count in zip(self.rings, counts, strict=True):
            ring.add(count)

    def checkpoint(self):
        seeds = {ring.seed: ring.state() for ring in self.rings}
        return Checkpoint(seeds, {"cursors": self.cursors()})

    def cursors(self):
        return [ring.cursor for ring in self.rings]

    def held(self):
        return [ring.held() for ring in self.rings]

    def take_up(self, checkpoint):
        """For `Checkpointer.restore`; fails unless rows are those of their positions."""
        for ring in self.rings:
            ring.set_state(checkpoint.seeds[ring.seed])
        assert self.cursors() == checkpoint.run["cursors"]
        for ring in self.rings:
            state = checkpoint.seeds[ring.seed]
            assert state["agent"]["w"].tolist() == [ring.cursor + 0.5] * 3
            oldest = max(ring.cursor - ring.capacity + 1, 0)
            positions = np.arange(oldest, ring.cursor)
            found = ring.numbers[positions % ring.capacity].tolist()
            assert found == ring.held()


def restored(checkpointer, like):
    """What `checkpointer` restores, in a new game like that one; None if there is nothing."""
    game = Game([ring.capacity for ring in like.rings])
    return game if checkpointer.restore(game.take_up) else None


def numbers(root: Path) -> list[int]:
    """Of the checkpoints that have their names."""
    return sorted(int(path.name) for path in root.iterdir() if path.name != "rows")


def manifest(root: Path, number: int) -> dict:
    return json.loads((root / str(number) / "manifest.json").read_text())["manifest"]


def records(own: dict) -> list[dict]:
    """What a manifest says of each file that it names."""
    found = []
    for seed in own["seeds"].values():
        found += [seed["arrays"], *(x for rows in seed["rows"].values() for x in rows["files"])]
    return found


def row_files(root: Path) -> dict[str, tuple]:
    """What tells a row file that is written again: its inode, time and length."""
    stats = {str(path.relative_to(root)): path.stat() for path in root.glob("rows/*/*/*")}
    return {name: (x.st_ino, x.st_mtime_ns, x.st_size) for name, x in stats.items()}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def stored_rows(root: Path, number: int, seed: int) -> list[int]:
    """Numbers of a seed's rows as they lie on disk, every digest computed anew."""
    rows = manifest(root, number)["seeds"][str(seed)]["rows"][PATH]
    found = {}
    for own in rows["files"]:
        path = root / own["file"]
        assert path.parent == root / "rows" / f"seed_{seed}" / _FOLDER
        data = path.read_bytes()
        assert (own["bytes"], own["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        with safe_open(path, "numpy") as file:
            values = file.get_tensor("numbers").tolist()
        assert len(values) == own["last"] - own["first"]
        found |= dict(zip(range(own["first"], own["last"]), values, strict=True))
    return [found[x] for x in range(rows["first"], rows["last"])]
