"""What a training, or every training of a grid, would take here: measured, and nothing is kept."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

from prune_rl.errors import ConfigError
from prune_rl.grid import Grid
from prune_rl.price import Price, duration, said_cost, said_size, smaller, takes_days
from prune_rl.runner import Runner

_SECONDS = 10.0  # of measuring


def measure(create_runner: Callable[[Path], Runner], began: float | None = None) -> Price:
    """The price of the run that `create_runner` makes in a folder, which is removed.

    began: `time.monotonic()` when the process started, if not now.
    """
    began = time.monotonic() if began is None else began
    with tempfile.TemporaryDirectory(prefix="prune_rl_") as folder:
        return _measured(create_runner, Path(folder), began)


def _measured(create_runner: Callable[[Path], Runner], folder: Path, began: float) -> Price:
    runner = create_runner(folder)
    with closing(runner.source):
        price = runner.dry_run(_SECONDS)
    return price._replace(startup=time.monotonic() - began - price.pace.measuring)


def measure_apart(create_runner: Callable[[Path], Runner], name: str) -> Price:
    """The same in a process of its own, whose memory is that of the cell `name` alone.

    Raises:
        ConfigError: as `create_runner` does, or the process was killed; names the cell.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of JAX
    with tempfile.TemporaryDirectory(prefix="prune_rl_") as folder:
        try:
            with ProcessPoolExecutor(1, spawn) as pool:
                return pool.submit(_measured_apart, create_runner, Path(folder), name).result()
        except BrokenProcessPool as error:
            problem = "its process was killed, most likely for want of memory"
            raise ConfigError(f"--cell={name}: {problem}") from error


def _measured_apart(create_runner: Callable[[Path], Runner], folder: Path, name: str) -> Price:
    try:
        return _measured(create_runner, folder, time.monotonic())
    except ConfigError as error:  # gin makes classes of it that no other process knows
        raise ConfigError(f"--cell={name}: {str(error).splitlines()[0]}") from None


def of_grid(
    grid: Grid, price_of: Callable[[str], Price], dollars_per_hour: float | None = None
) -> Iterator[str]:
    """A line for each kind of cell, as it is measured, and one for the grid as a whole.

    Args:
        grid: of one training at least.
        price_of: measures the cell of that name; the first game and seeds stand for a kind.
        dollars_per_hour: of such a machine, if that is to be told.
    """
    total, longest, num_seeds = 0.0, 0.0, 0
    for kind in grid.kinds():
        price = price_of(kind.cell.name)
        each = price.seconds / price.work.num_seeds
        total, num_seeds = total + each * kind.num_seeds, num_seeds + kind.num_seeds
        longest = max(longest, price.seconds)
        yield (
            f"{kind.cell.name}: {duration(price.seconds)} a cell, {duration(each)} a seed, "
            f"{price.rate:,.1f} steps/s; {said_size(price)}; {kind.num_cells:,} cells of this kind"
        )
        yield from (f"      {note}" for note in price.work.notes)
    yield (
        f"grid: {duration(total)} for {len(grid):,} cells of {num_seeds:,} seeds one after "
        f"another here{said_cost(total, dollars_per_hour)}; on average "
        f"{duration(total / len(grid))} a cell, {duration(total / num_seeds)} a seed"
    )
    if takes_days(longest):
        yield smaller()
