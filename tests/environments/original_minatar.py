"""MinAtar itself, made to draw what a twin in JAX draws, and to say what it holds in its words."""

import minatar
import numpy as np

_ROWS = {"entities": (8, 4), "cars": (8, 4)}  # of what is a list there and an array here
_ROWS |= {"f_bullets": (5, 3), "e_bullets": (25, 3), "e_fish": (25, 4), "e_subs": (25, 5)}
_ROWS |= {"divers": (5, 4)}
_NOTHING = {"entities": 99}  # fills the place of what is not there; else -1 does
_FLAGS = {"strike", "surface", "sub_or"}
_NOT_COMPARED = {"channels", "action_map", "ramping", "random", "terminal"}


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
        assert len(taken) == count, "the original draws more than its twin"
        self._next += count
        return taken

    def rand(self, *shape):
        taken = self._take(shape[0] if shape else 1)
        return taken if shape else float(taken[0])

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        drawn = low + np.floor(self._take(size or 1) * (high - low)).astype(int)
        return drawn if size else int(drawn[0])


class Original:
    """One game of the package with scripted numbers; `env` is the package's own."""

    def __init__(self, name, sticky=0.1):
        self._game, self._random = minatar.Environment(name, sticky_action_prob=sticky), Scripted()
        self.env, self.actions = self._game.env, self._game.minimal_action_set()
        self._game.random = self.env.random = self._random
        if name == "seaquest":  # its twin's numbers have their places, whoever spawns
            self._give_place("_spawn_enemy", 1)
            self._give_place("_spawn_diver", 4)

    def _give_place(self, spawn, place):
        own = getattr(self.env, spawn)

        def placed():
            self._random.seek(place)
            own()

        setattr(self.env, spawn, placed)

    def reset(self, numbers):
        self._random.load(numbers)
        self._game.reset()

    def act(self, action, numbers):
        self._random.load(numbers)
        return self._game.act(self.actions[action])

    def frame(self):
        return np.asarray(self._game.state(), np.uint8) * np.uint8(255)

    def variables(self):
        return to_arrays(self._game)

    def goes_on(self, action, numbers):
        """Whether some play of the ticks that `numbers` are for starts so and ends no episode."""
        kept = _copy(_variables(self.env)), self._game.last_action
        _, over = self.act(action, numbers[0])
        later = numbers[1:]
        survives = not over and (
            not len(later) or any(self.goes_on(a, later) for a in range(len(self.actions)))
        )
        vars(self.env).update(kept[0], terminal=False)
        self._game.last_action = kept[1]
        return survives


def to_arrays(game):
    """The variables of a game of the package, as its twin has them."""
    own = {name: _to_array(name, value) for name, value in _variables(game.env).items()}
    return own | {"last_action": np.int32(game.last_action)}


def _variables(env):
    own = {name: x for name, x in vars(env).items() if name not in _NOT_COMPARED}
    own = {name: x for name, x in own.items() if not callable(x)}
    if "entities" in own:
        del own["shot_timer"]  # which Asterix neither reads nor changes
    return own


def _copy(value):
    """What is deep is not deeper than a list of lists; `copy.deepcopy` takes ten times as long."""
    if isinstance(value, dict):
        return {name: _copy(x) for name, x in value.items()}
    if isinstance(value, list):
        return [_copy(x) for x in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _to_array(name, value):
    if name not in _ROWS:
        is_flag = name in _FLAGS or np.shape(value) == (10, 10)
        return np.asarray(value).astype(bool if is_flag else np.int32)
    (length, width), nothing = _ROWS[name], _NOTHING.get(name, -1)
    rows = [[nothing] * width if row is None else row for row in value]
    return np.array(rows + [[nothing] * width] * (length - len(rows)), np.int32)
