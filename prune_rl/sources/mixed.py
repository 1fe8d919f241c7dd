"""Fixed data beside what the agent plays: offline to online."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
import jax
import numpy as np

from prune_rl.errors import require
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.settings import Fraction, checked
from prune_rl.sources.dataset import CreateDataset, FixedData, create_dataset
from prune_rl.sources.online import OnlineSource
from prune_rl.sources.source import Replay, Setting, require_same_specs
from prune_rl.specs import Batch, Draw, Probe
from prune_rl.state import State, part, per_seed


@gin.configurable
@checked
class MixedSource(OnlineSource):
    """An `OnlineSource` of whose every batch a share comes from a dataset, drawn uniformly.

    Args:
        setting: what it is made for; the agent's `replay_scheme` must be 'uniform'.
        create_dataset_fn: makes the data of all seeds.
        dataset_share: of a batch, in [0, 1], rounded to whole transitions (Ball et al. 2023: 0.5).

    Raises:
        ConfigError: a setting is wrong, or environment and dataset differ in form.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        create_dataset_fn: CreateDataset | None = None,
        dataset_share: Fraction = 0.5,
    ) -> None:
        # Data first: what memory they leave is the replay's.
        dataset = create_dataset("MixedSource", create_dataset_fn, setting)
        super().__init__(setting)
        as_stored = getattr(dataset, "scales", None) is None
        played = "False with @MixedSource: what is played is learned as it is"
        require(as_stored, "Dataset.normalize_observations", True, played)
        joins = "False: a MixedSource joins its batches on the host"
        require(not self._buffer.ON_DEVICE, "OnlineSource.replay_on_device", True, joins)
        binding = "MixedSource.create_dataset_fn"
        require_same_specs(binding, dataset, self, "what the environment has")
        _require_same_game(binding, dataset.protocol, self.protocol)
        brought = {x: y for x, y in dataset.protocol.items() if x == "reference_scores"}
        self.protocol = self.protocol | {"dataset": dataset.protocol} | brought
        self.replay = MixedReplay(self._buffer, dataset, dataset_share)


def _require_same_game(binding: str, data: Mapping[str, Any], played: Mapping[str, Any]) -> None:
    """Raises `ConfigError` where both say what game they are of, and it is not the same."""
    for name in ("suite", "game"):
        if name in data and name in played:
            require(data[name] == played[name], binding, data[name], f"data of {played[name]}")


class MixedReplay:
    """Two sources of transitions behind one; those of the dataset come last in a batch."""

    def __init__(self, online: ReplayBuffer, dataset: FixedData, dataset_share: float) -> None:
        self._online, self._dataset, self._share = online, dataset, dataset_share
        self.batch_size = online.batch_size
        self.has_held_out: bool = getattr(dataset, "has_held_out", False)

    def sample(self) -> Batch:
        """`batch_size` transitions of each seed; see `ReplayBuffer.sample`."""
        return self.sample_uniformly(self.batch_size)

    def sample_uniformly(self, size: int) -> Batch:
        """`size` transitions of each seed, the dataset's share of them its own."""
        batch: Batch = self._joined(size, lambda replay, own: replay.sample_uniformly(own))
        return batch

    def probe(self, draw: Draw, name: str) -> Probe:
        """What `draw` asks, of both; see `ReplayBuffer.probe`. Only data are held out."""
        if draw.held_out:
            return self._dataset.probe(draw, name)
        drawn: Probe = self._joined(
            draw.size, lambda replay, own: replay.probe(draw._replace(size=own), name)
        )
        return drawn

    def _joined(self, size: int, draw: Callable[[Replay, int], Any]) -> Any:
        """What `draw` gives of each part, for as many transitions as are its own."""
        fixed = round(size * self._share)
        shares = ((self._online, size - fixed), (self._dataset, fixed))
        parts = [draw(replay, own) for replay, own in shares if own]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)

    def get_state(self) -> list[State]:
        """See `Replay`."""
        return per_seed(online=self._online.get_state(), dataset=self._dataset.get_state())

    def set_state(self, states: Sequence[State]) -> None:
        """See `Replay`."""
        self._online.set_state(part(states, "online"))
        self._dataset.set_state(part(states, "dataset"))
