"""What is walked through when a policy is exported."""

import importlib
import inspect
import pkgutil

from flax import linen as nn

from prune_rl.exporting.walk import _TORSOS
from prune_rl.networks import torsos


def test_every_torso_can_be_exported():
    names = [x.name for x in pkgutil.iter_modules(torsos.__path__) if x.name != "torso"]
    modules = [importlib.import_module(f"{torsos.__name__}.{name}") for name in names]
    ours = {
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, nn.Module)
        and kind.__module__ == module.__name__
        and kind.__name__.endswith("Torso")
    }
    assert len(ours) == len(names)
    assert set(_TORSOS) == ours
