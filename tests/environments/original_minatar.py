"""MinAtar itself, made to draw what a twin in JAX draws, and to say what it holds in its words."""

import copy
import itertools

import minatar
import numpy as np

_LENGTHS = {"f_bullets": (5, 3), "e_bullets": (25, 3), "e_fish": (25, 4), "e_subs": (25, 5)}
_LENGTHS |= {"divers": (5, 4), "entities": (8, 4), "cars": (8, 4)}
_GONE = {"entities": 99}  # what pgx writes where nothing is; else -1
_IDLE = {"channels", "action_map", "random", "ramping", "terminal"}


class Scripted:
    """In the place of a `RandomState`: each number drawn is the next of those given, in [0, 1)."""

    def __init__(self):
        self._numbers, self._next = np.zeros(0), 0

    def load(self, numbers):
        self._numbers, self._next = np.asarray(numbers, np.float64), 0

    def seek(self, place):
        self._next = place

    def _take(self, count):
        taken = self._numbers[self._next : self._next + count]
        assert len(taken) == count, "the original drew more than the twin"
        self._next += count
        return taken

    def rand(self, *shape):
        taken = self._take(int(np.prod(shape, dtype=int)))
        return taken.reshape(shape) if shape else float(taken[0])

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        drawn = low + np.floor(self._take(size or 1) * (high - low)).astype(int)
        return drawn if size else int(drawn[0])


class Original:
    """One game of the package with scripted numbers.

    Attributes: `env`, the package's own game; `terminal`, whether its episode is over.
    """

    def __init__(self, name, sticky=0.1):
        self._game, self.random = minatar.Environment(name, sticky_action_prob=sticky), Scripted()
        self.env, self.actions = self._game.env, self._game.minimal_action_set()
        self._game.random = self.env.random = self.random
        if name == "seaquest":  # its twin's numbers have their places, whoever spawns
            self._give_places("_spawn_enemy", 1)
            self._give_places("_spawn_diver", 4)

    def _give_places(self, spawn, place):
        own = getattr(type(self.env), spawn)

        def placed(env=self.env):
            env.random.seek(place)
            own(env)

        setattr(self.env, spawn, placed)

    def reset(self, numbers):
        self.random.load(numbers)
        self._game.reset()

    def act(self, action, numbers):
        self.random.load(numbers)
        return self._game.act(self.actions[action])

    def survives(self, actions, numbers):
        """Whether an episode goes on after `actions`, numbers (T, draws); plays nothing."""
        kept = {k: copy.deepcopy(v) for k, v in vars(self.env).items() if self._is_own(k)}
        last = self._game.last_action
        for action, own in zip(actions, numbers, strict=True):
            self.act(action, own)
        over = self.env.terminal
        vars(self.env).update(kept)
        self._game.last_action = last
        return not over

    def _is_own(self, name):
        return name not in {"channels", "action_map", "random", "ramping"} and "_spawn" not in name

    def frame(self):
        return np.asarray(self._game.state(), np.uint8) * np.uint8(255)

    def variables(self):
        """As the twin has them: arrays, lists filled up with what stands for nothing."""
        own = {k: v for k, v in vars(self.env).items() if k not in _IDLE and "_spawn_e" not in k}
        own = {k: v for k, v in own.items() if not callable(v)}
        arrays = {name: _array(name, value) for name, value in own.items()}
        return arrays | {"last_action": np.int32(self._game.last_action)}


def _array(name, value):
    if name not in _LENGTHS:
        array = np.asarray(value)
        is_map = array.shape == (10, 10) or array.dtype == bool
        return array.astype(bool if is_map or name in ("strike", "surface", "sub_or") else np.int32)
    shape, gone = _LENGTHS[name], _GONE.get(name, -1)
    rows = [[gone] * shape[1] if row is None else [int(x) for x in row] for row in value]
    rows += [[gone] * shape[1]] * (shape[0] - len(rows))
    return np.array(rows, np.int32)


def careful(original, wished, numbers, others):
    """The first of `wished` and `others` after which some play of a few ticks goes on."""
    depth = len(numbers)
    for first in (wished, *others):
        for rest in itertools.product([first, *others][:3], repeat=depth - 1):
            if original.survives((first, *rest), numbers):
                return first
    return wished
