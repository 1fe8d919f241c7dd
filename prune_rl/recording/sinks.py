"""Where a run's scalars are shown beside its logs, which are the truth: TensorBoard always."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class Sink(Protocol):
    """A place for scalars; what a run taken up writes again comes there twice, with one value."""

    def scalars(self, seed: int, values: Mapping[str, float], steps: int) -> None:
        """Takes one row's finite scalars by their tags, as 'Train/Loss', at the clock's steps."""

    def flush(self) -> None:
        """Puts on disk what it keeps there; a checkpoint follows."""

    def close(self) -> None:
        """Ends it; the run has ended or was stopped."""


class TensorBoard:
    """A `Sink`: an event file for each seed and start, in `directory`/tensorboard/seed_<seed>.

    Args:
        directory: of the run.
        steps: what the clock says now; what earlier starts showed beyond it is hidden.

    Raises:
        OSError: the directory cannot be written to.
    """

    def __init__(self, directory: Path, steps: int) -> None:
        self._directory, self._steps = directory, steps
        self._writers: dict[int, SummaryWriter] = {}

    def scalars(self, seed: int, values: Mapping[str, float], steps: int) -> None:
        """See `Sink`."""
        writer = self._writer(seed)
        for tag, value in values.items():
            writer.add_scalar(tag, value, steps)

    def flush(self) -> None:
        """See `Sink`."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """See `Sink`."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, seed: int) -> "SummaryWriter":
        from tensorboardX import SummaryWriter  # a start-up does not wait for it

        if seed not in self._writers:
            folder = str(self._directory / "tensorboard" / f"seed_{seed}")
            self._writers[seed] = SummaryWriter(
                folder,
                # What a run taken up within an evaluation logs again at this very step is twice
                # in TensorBoard, with one value.
                purge_step=self._steps + 1,
                # Names carry whole seconds only; two starts within one must not collide.
                filename_suffix=f".from_{self._steps}",
            )
        return self._writers[seed]
