"""States of games: whole, no more than arrays, refused where they do not fit, never executed."""

import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import prune_rl
from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.games import MINATAR
from prune_rl.environments.minatar import create_minatar_environment
from prune_rl.state import flatten, unflatten

ATARI = ("Breakout", "Qbert", "Seaquest")


def _make(game, seed):
    if game in MINATAR:
        return create_minatar_environment(seed, game)
    return create_atari_environment(seed, game, terminal_on_life_loss=True, max_noops=5)


def _through_a_file(state):
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **flatten(state))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return unflatten(arrays)


def _played(environment, actions):
    """Bytes of the frames, with what came along, over as many episodes as the actions take."""
    rows = []
    for action in actions:
        frame, reward, over = environment.step(action)
        rows.append((frame.tobytes(), reward, over, environment.life_lost))
        if over:
            rows.append(environment.reset().tobytes())
    return rows


def _actions(environment, number, seed):
    high = environment.action_spec.num_actions
    return np.random.default_rng(seed).integers(high, size=number).tolist()


@pytest.mark.parametrize("game", [*MINATAR, *ATARI])
def test_a_game_of_another_seed_goes_on_from_a_state_to_the_bit(game):
    original = _make(game, 5)
    original.reset()
    moments, length = (25, 700) if game in MINATAR else (2, 600)
    episodes = 0
    for moment in range(moments):
        _played(original, _actions(original, 37, moment))
        restored = _make(game, 100 + moment)
        restored.reset()
        restored.set_state(_through_a_file(original.get_state()))
        actions = _actions(original, length, [moment, 1])
        expected = _played(original, actions)
        assert _played(restored, actions) == expected
        episodes += len(expected) - length
    assert episodes


@pytest.mark.parametrize("game", ["space_invaders", "freeway", "Breakout"])
def test_a_state_is_a_copy_on_both_sides(game):
    first, second = _make(game, 1), _make(game, 2)
    first.reset()
    actions = _actions(first, 60, 3)
    _played(first, actions)
    state = first.get_state()
    expected = _played(first, actions)
    for _ in range(2):
        second.set_state(state)
        assert _played(second, actions) == expected


@pytest.mark.parametrize(
    ("game", "name"), [("breakout", "brick_map"), ("space_invaders", "alien_map")]
)
def test_no_array_of_a_state_is_the_games_own(game, name):
    environment = _make(game, 1)
    array = environment.get_state()["game"][name]
    assert not np.shares_memory(array, getattr(environment._game.env, name))
    state = environment.get_state()
    environment.set_state(state)
    assert not np.shares_memory(state["game"][name], getattr(environment._game.env, name))


@pytest.mark.parametrize("game", [*MINATAR, *ATARI])
def test_a_state_is_arrays_that_hold_no_objects(game):
    environment = _make(game, 1)
    environment.reset()
    for array in flatten(environment.get_state()).values():
        assert isinstance(array, np.ndarray | np.generic)
        assert array.dtype.kind in "uif"


@pytest.mark.parametrize("game", MINATAR)
def test_a_restored_minatar_game_sticks_its_actions_from_the_stream_of_the_game(game):
    first, second = _make(game, 1), _make(game, 2)
    second.set_state(first.get_state())
    assert second._game.random is second._game.env.random


def _without(state, name):
    return {own: x for own, x in state.items() if own != name}


@pytest.mark.parametrize(
    ("game", "damage", "expected"),
    [
        ("asterix", lambda x: _make("freeway", 1).get_state(), "asterix: lacks .*'player_x'"),
        ("Qbert", lambda x: _make("asterix", 1).get_state(), "Qbert: lacks .*'console'.*'game'"),
        ("Qbert", lambda x: _make("Breakout", 1).get_state(), "Qbert: its console"),
        ("asterix", lambda x: x | {"more": x["last_action"]}, r"has \['more'\]"),
        ("asterix", lambda x: _without(x, "random"), r"lacks \['random'\]"),
        ("asterix", lambda x: b"bytes", "asterix: lacks"),
        ("Qbert", lambda x: x | {"console": x["console"][:-1]}, "Qbert: its console"),
        ("Qbert", lambda x: x | {"console": np.zeros(5000, np.uint8)}, "Qbert: its console"),
        ("Qbert", lambda x: x | {"screens": x["screens"][:, 1:]}, "Qbert: screens are uint8"),
        ("Qbert", lambda x: x | {"playing": np.int64(77)}, "77"),
        ("Qbert", lambda x: x | {"noops": _without(x["noops"], "gauss")}, "lacks .*'gauss'"),
        ("Qbert", lambda x: x | {"noops": x["noops"] | {"position": np.int64(625)}}, "at 625"),
        ("Qbert", lambda x: x | {"noops": x["noops"] | {"position": np.int64(-1)}}, "at -1"),
        ("Qbert", lambda x: x | {"noops": x["noops"] | {"key": np.zeros(3)}}, "float64 "),
        (
            "breakout",
            lambda x: x | {"game": x["game"] | {"brick_map": np.zeros((9, 10))}},
            r"breakout's brick_map: float64 \(9, 10\) for float64 \(10, 10\)",
        ),
        (
            "asterix",
            lambda x: x | {"game": x["game"] | {"entities": np.zeros(3)}},
            "asterix's entities: ",
        ),
    ],
)
def test_what_is_not_a_state_of_the_game_is_refused_in_one_line(game, damage, expected):
    environment = _make(game, 1)
    environment.reset()
    with pytest.raises(ValueError, match=expected) as caught:
        environment.set_state(damage(environment.get_state()))
    assert "\n" not in str(caught.value)


class _Touch:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize("game", ["freeway", "Qbert"])
def test_a_program_in_place_of_a_state_or_a_part_of_it_is_not_run(tmp_path, game):
    """The payload makes a file where it is run, as the first lines show."""
    pickle.loads(pickle.dumps(_Touch(tmp_path / "made")))
    assert (tmp_path / "made").exists()
    payload = pickle.dumps(_Touch(tmp_path / "never"))
    array = np.frombuffer(payload, np.uint8)
    environment = _make(game, 1)
    environment.reset()
    with pytest.raises(ValueError, match="state of"):
        environment.set_state(payload)
    flat = flatten(environment.get_state())
    for name in flat:
        with pytest.raises((ValueError, TypeError)):
            environment.set_state(unflatten(flat | {name: array}))
    assert not (tmp_path / "never").exists()


def test_the_package_has_nothing_that_runs_what_it_reads():
    runs = re.compile(
        r"\b(c?[pP]ickle|dill|joblib|marshal|shelve)\b|allow_pickle=True|(?<![\w.])(eval|exec)\("
    )
    files = sorted(Path(prune_rl.__file__).parent.rglob("*.py"))
    assert len(files) > 80
    assert [path.name for path in files if runs.search(path.read_text())] == []
    for text in ("import pickle", "x = eval(y)", "np.load(f, allow_pickle=True)"):
        assert runs.search(text)
