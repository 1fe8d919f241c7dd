"""One training, made and compiled once, that runs in many directories as new processes would."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gin

from prune_rl import configuration, experiment, runner, train
from prune_rl.sources.on_device import DeviceSource

MINATAR = (
    "Runner.num_seeds=2",
    "Runner.num_iterations=3",
    "Runner.training_steps=50",
    "Runner.evaluation_steps=20",
    "ReplayBuffer.batch_size=4",
    "ReplayBuffer.max_capacity=80",  # the ring comes round
)
DQN = ("DQNAgent.min_replay_history=30", "DQNAgent.target_update_period=16")


class Again:
    """`prune_rl.train` with these files and bindings, but for making and compiling."""

    def __init__(self, files: Sequence[str], bindings: Sequence[str]) -> None:
        self._settings = list(files), list(bindings)
        configuration.load(*self._settings)
        self._runner = experiment.create_runner("unused")
        if isinstance(self._runner.source, DeviceSource):  # before, it holds nothing
            self._runner.source.start()
        self._begin = self._runner.trainer.get_state()
        self._config = gin.operative_config_str()

    def __call__(self, base_dir: Path, minutes: float = 30.0, new: bool = True) -> int:
        """The exit code of a start; `new`: of a process that has nothing of the runs before."""
        own = dataclasses.replace(self._runner, base_dir=base_dir, checkpoint_minutes=minutes)
        configuration.load(*self._settings)
        if new:
            own.trainer.set_state(self._begin)
        made = SimpleNamespace(run=lambda stop, announce, track: own.run(stop))
        with (
            patch.object(train, "_prepare", lambda flags: made),
            patch.object(runner.gin, "operative_config_str", lambda: self._config),
            patch.object(runner.provenance, "collect", lambda protocol: {"protocol": protocol}),
            patch.object(runner.Runner, "_draw", lambda self, path: path.write_bytes(b"drawn")),
        ):
            return train.main([])


@contextlib.contextmanager
def at(owner: Any, name: str, count: int, do: Callable[[], Any]) -> Iterator[Counter[str]]:
    """Does something before the `count`-th call of a function; yields how many there were."""
    counted: Counter[str] = Counter()
    inner = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        counted[name] += 1
        if counted[name] == count:
            do()
        return inner(*args, **kwargs)

    with patch.object(owner, name, watched):
        yield counted
