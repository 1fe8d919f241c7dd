"""Data that are there before the run, in device memory: one compiled program draws and learns."""

from typing import Any

import gin

from prune_rl.errors import ConfigError, require
from prune_rl.learning.seed_axis import laid_out
from prune_rl.replay.ram import GIB, available_on_device
from prune_rl.replay.shared import SharedReplay
from prune_rl.settings import checked
from prune_rl.sources.dataset import CreateDataset, FixedSource, create_dataset
from prune_rl.sources.source import Setting

_EXPECTED = "data whose rows are in memory, as @Dataset without Dataset.chunks; or @DatasetSource"


@gin.configurable
@checked
class DeviceDatasetSource(FixedSource):
    """Fixed data that lie on the device, once for all seeds; see `Source`.

    `data_loop.DataLoop` draws from them. Batches are drawn by the laws of `DatasetSource`, but
    other numbers come out: a function of seed, gradient step and data. Measurements get the very
    transitions that they get there, of rows that stay on the host.

    Args:
        setting: what it is made for; the agent's `replay_scheme` must be 'uniform'.
        create_dataset_fn: makes the data of all seeds, whose rows must be in memory.

    Attributes:
        batch_size: transitions of each seed in a batch.
        data: on the device, once it is prepared.
        draws: of S seeds, what each draws of them.

    Raises:
        ConfigError: a setting is wrong, rows are not in memory, or the device lacks the room.
    """

    def __init__(self, setting: Setting, *, create_dataset_fn: CreateDataset | None = None) -> None:
        dataset: Any = create_dataset("DeviceDatasetSource", create_dataset_fn, setting)
        binding = "DeviceDatasetSource.create_dataset_fn"
        fits = isinstance(dataset, SharedReplay) and dataset.is_in_memory
        require(fits, binding, create_dataset_fn, _EXPECTED)
        super().__init__(dataset)
        self._rows, self.batch_size = dataset, dataset.batch_size
        self.data: Any = None
        self.draws: Any = None
        needed, free = dataset.device_bytes, available_on_device()
        if needed > free:
            sizes = f"need {needed / GIB:.2f} GiB of its memory, {free / GIB:.2f} GiB are free"
            raise ConfigError(f"@DeviceDatasetSource: the data {sizes}; expected @DatasetSource")

    def prepare(self, strategy: str) -> None:
        """Copies rows to the device, and says how what seeds draw lies; before anything else.

        See `learning.seed_axis`.
        """
        self.data, draws = self._rows.on_device()
        self.draws = laid_out(draws, 0, strategy)
