"""What runs the cells of a grid somewhere: one contract, of which every backend is an instance."""

import enum
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prune_rl.grid import Cell

RESUME = 75  # exit code of a training that saved and wants to be run again
MISTAKE = 2  # of one whose settings must change: trying again is of no use


class State(enum.Enum):
    """Where a job stands."""

    WAITING = "waiting"  # submitted, not begun
    MEASURING = "measuring"  # likewise; what its kind takes is being found out
    RUNNING = "running"
    FINISHED = "finished"  # exit code 0
    FAILED = "failed"  # any other, `RESUME` too: what to do about it is the sweep's to say
    LOST = "lost"  # its machine is gone, or it was cancelled


@dataclass(frozen=True)
class Job:
    """One cell to be trained.

    Attributes:
        cell: its name, and the gin files and bindings to give.
        directory: that it is written to, which the machine it runs on can see.
        log: file that what it prints is added to.
        flags: of `prune_rl.train`, beside those of the cell and --base_dir.
        kind: the same of two jobs whose settings differ in game and seeds at most, which take as
            much memory and about as much time.
    """

    cell: Cell
    directory: Path
    log: Path
    flags: tuple[str, ...] = ()
    kind: str = ""

    @property
    def name(self) -> str:
        """The cell's, unique in a sweep."""
        return self.cell.name

    @property
    def settings(self) -> list[str]:
        """All flags of `prune_rl.train` but --base_dir."""
        files = [f"--gin_files={x}" for x in self.cell.gin_files]
        bindings = [f"--gin_bindings={x}" for x in self.cell.gin_bindings]
        return [*files, *bindings, *self.flags]

    @property
    def command(self) -> list[str]:
        """What trains it, for a shell in any folder: `python -m prune_rl.train …`."""
        base = [sys.executable, "-m", "prune_rl.train", f"--base_dir={self.directory}"]
        return [*base, *self.settings]


@dataclass(frozen=True)
class Standing:
    """What an executor knows of a job.

    Attributes:
        state: where it stands.
        exit_code: of its last process; None if it has not ended or nobody knows.
        problem: in a line, why it failed or is lost; '' if it did not.
        log: file that says more of it, where that is not the job's.
    """

    state: State
    exit_code: int | None = None
    problem: str = ""
    log: Path | None = None


class Executor(Protocol):
    """Runs jobs; made by one call per backend, in the folder that the sweep was started in.

    A job trains until its process ends: what is interrupted is submitted again by the sweep, but
    where the backend itself requeues (Slurm's time limit, a node of Ray that is gone).

    Attributes:
        outlives: whether jobs go on when the sweep ends (Slurm), or end with it.
    """

    outlives: bool

    def submit(self, jobs: Sequence[Job]) -> None:
        """Hands over jobs, which begin when there is room; a name may be submitted again.

        One whose job of an earlier sweep still lives where jobs outlive theirs is taken up.

        Raises:
            ConfigError: the backend refuses them; names the flag.
        """

    def poll(self) -> Mapping[str, Standing]:
        """Where every job submitted so far stands, by name; waits for nothing."""

    def cancel(self) -> None:
        """Asks every job that has not ended to save and end, and waits until all have.

        Raises:
            KeyboardInterrupt: a person did not wait; all are killed.
        """
