"""MuJoCo's games against gymnasium, driven by hand, and their states against the unbroken game."""

import io
import logging
import subprocess
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.games import MUJOCO, OLDER, SIZES, SUITES
from prune_rl.environments.mujoco import create_mujoco_environment
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError
from prune_rl.specs import Box, ObservationSpec
from prune_rl.state import flatten, json_to_array, unflatten

GAMES = [*MUJOCO, *OLDER]
# D, A, the box's edge and frames in an agent step, from gymnasium's documentation.
FORMS = {
    "HalfCheetah-v5": (17, 6, 1.0, 5),
    "Hopper-v5": (11, 3, 1.0, 4),
    "Walker2d-v5": (17, 6, 1.0, 4),
    "Ant-v5": (105, 8, 1.0, 5),
    "Humanoid-v5": (348, 17, 0.4, 5),
    "HalfCheetah-v4": (17, 6, 1.0, 5),
    "Hopper-v4": (11, 3, 1.0, 4),
    "Walker2d-v4": (17, 6, 1.0, 4),
    "Ant-v4": (27, 8, 1.0, 5),
    "Humanoid-v4": (376, 17, 0.4, 5),
}


def _actions(game, count, seed=0):
    _, size, edge, _ = FORMS[game]
    return np.random.default_rng(seed).uniform(-edge, edge, (count, size)).astype(np.float32)


def _played(environment, actions, longest=100):
    """What is seen, as bytes, with what came along; a new episode begins after the longest."""
    rows, length = [], 0
    for action in actions:
        frame, reward, over = environment.step(action)
        rows.append((frame.tobytes(), reward, over))
        length += 1
        if over or length == longest:
            rows.append(environment.reset().tobytes())
            length = 0
    return rows


def _through_a_file(state):
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **flatten(state))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return unflatten(arrays)


def _restored(game, state, seed=9):
    """Another game, in the middle of an episode, that takes up a state."""
    other = create_mujoco_environment(seed, game)
    other.reset()
    _played(other, _actions(game, 5, seed))
    other.set_state(state)
    return other


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("game", GAMES)
def test_what_is_seen_is_what_gymnasium_shows(game):
    """From the same seed, over several of its episodes; in float32, of which it makes float64."""
    ours, theirs = create_mujoco_environment(3, game), gymnasium.make(game)
    np.testing.assert_array_equal(ours.reset(), theirs.reset(seed=3)[0].astype(np.float32))
    ends = 0
    for number, action in enumerate(_actions(game, 200), 1):
        frame, reward, terminated = ours.step(action)
        seen, their_reward, their_end, truncated, _ = theirs.step(action)
        assert frame.dtype == np.float32
        np.testing.assert_array_equal(frame, seen.astype(np.float32))
        assert (type(reward), type(terminated)) == (float, bool)
        assert (reward, terminated) == (their_reward, their_end)
        assert not truncated
        ends += terminated
        if terminated or number == 120:
            np.testing.assert_array_equal(ours.reset(), theirs.reset()[0].astype(np.float32))
    assert (ends == 0) == game.startswith("HalfCheetah")


@pytest.mark.parametrize("game", GAMES)
def test_specs_are_those_of_the_documentation(game):
    size, actions, edge, skipped = FORMS[game]
    environment = create_mujoco_environment(0, game)
    assert environment.observation_spec == ObservationSpec((size,), np.float32)
    assert SIZES[game] == (size, actions)
    bound = float(np.float32(edge))
    assert environment.action_spec == Box((-bound,) * actions, (bound,) * actions)
    assert (environment.frame_skip, environment.life_lost) == (skipped, False)
    assert (environment.protocol["suite"], environment.protocol["game"]) == ("mujoco", game)


@pytest.mark.parametrize("game", MUJOCO)
def test_an_action_outside_the_box_is_the_nearest_within(game):
    inside, outside = (create_mujoco_environment(1, game) for _ in range(2))
    edge = FORMS[game][2]
    actions = 3 * _actions(game, 20)
    assert (np.abs(actions) > edge).any()
    for environment in (inside, outside):
        environment.reset()
    near = _played(inside, np.clip(actions, -np.float32(edge), np.float32(edge)))
    assert _played(outside, actions) == near


@pytest.mark.parametrize("game", GAMES)
def test_a_game_of_another_seed_goes_on_from_a_state_to_the_bit(game):
    original = create_mujoco_environment(5, game)
    original.reset()
    for moment in range(4):
        _played(original, _actions(game, 23, moment))
        restored = _restored(game, _through_a_file(original.get_state()))
        actions = _actions(game, 300, [moment, 1])
        expected = _played(original, actions)
        assert len(expected) > len(actions)  # episodes began
        assert _played(restored, actions) == expected


def _nudged(state):
    """All of where the robot is, after the time, is a neighbouring number."""
    physics = state["physics"].copy()
    physics[1:10] = np.nextafter(physics[1:10], np.inf)
    return state | {"physics": physics}


def _zeroed(state):
    return {name: np.zeros_like(x) if name in ("xpos", "xipos") else x for name, x in state.items()}


def _of_another_stream(state):
    return state | {"random": json_to_array(np.random.default_rng(0).bit_generator.state)}


def _damages():
    return [
        *((game, damage) for game in MUJOCO for damage in (_nudged, _of_another_stream)),
        ("Ant-v5", _zeroed),
        ("Humanoid-v5", _zeroed),
    ]


@pytest.mark.parametrize(("game", "damage"), _damages())
def test_a_state_that_is_a_little_different_goes_on_otherwise(game, damage):
    """So that the test above can fail; what falls soon after forgets it, hence several moments."""
    original, same = create_mujoco_environment(5, game), []
    original.reset()
    for moment in range(3):
        _played(original, _actions(game, 23, moment))
        restored = _restored(game, damage(original.get_state()))
        actions = _actions(game, 150, [moment, 1])
        same.append(_played(restored, actions) == _played(original, actions))
    assert not all(same)


@pytest.mark.parametrize("game", ["Ant-v5", "Humanoid-v5"])
def test_a_state_is_a_copy_on_both_sides(game):
    first = create_mujoco_environment(1, game)
    first.reset()
    _played(first, _actions(game, 30))
    state, actions = first.get_state(), _actions(game, 60, 2)
    expected = _played(first, actions)
    for _ in range(2):
        assert _played(_restored(game, state), actions) == expected


@pytest.mark.parametrize("game", MUJOCO)
def test_a_state_is_arrays_that_hold_no_objects(game):
    environment = create_mujoco_environment(1, game)
    environment.reset()
    for array in flatten(environment.get_state()).values():
        assert isinstance(array, np.ndarray)
        assert array.dtype.kind in "uif"


def _without(state, name):
    return {own: x for own, x in state.items() if own != name}


def _state_of(game):
    environment = create_mujoco_environment(1, game)
    environment.reset()
    return environment.get_state()


@pytest.mark.parametrize(
    ("game", "damage", "expected"),
    [
        # These two have states of the same size.
        ("HalfCheetah-v5", lambda x: _state_of("Walker2d-v5"), "it is one of Walker2d-v5"),
        ("Ant-v5", lambda x: _state_of("Ant-v4"), "it is one of Ant-v4"),
        ("Ant-v5", lambda x: _state_of("Humanoid-v5"), r"lacks \['xpos'\], has \['xipos'\]"),
        ("Hopper-v5", lambda x: _state_of("HalfCheetah-v5"), r"physics is float64 \(91,\), not"),
        ("Hopper-v5", lambda x: _without(x, "random"), r"lacks \['random'\]"),
        ("Hopper-v5", lambda x: x | {"more": x["physics"]}, r"has \['more'\]"),
        ("Hopper-v5", lambda x: b"bytes", "lacks"),
        ("Hopper-v5", lambda x: x | {"physics": np.float32(x["physics"])}, "float32"),
        ("Ant-v5", lambda x: x | {"xpos": x["xpos"][1:]}, r"xpos is float64 \(13, 3\), not"),
        ("Hopper-v5", lambda x: x | {"random": json_to_array({"state": 1})}, "random stream"),
        ("Hopper-v5", lambda x: x | {"random": np.zeros(9, np.uint8)}, "random stream"),
        ("Hopper-v5", lambda x: x | {"game": np.zeros(9, np.uint8)}, "its name is none"),
    ],
)
def test_what_is_not_a_state_of_the_game_is_refused_in_one_line(game, damage, expected):
    environment = create_mujoco_environment(1, game)
    environment.reset()
    state = environment.get_state()
    with pytest.raises(ValueError, match=f"^state of {game}.*{expected}") as caught:
        environment.set_state(damage(state))
    assert "\n" not in str(caught.value)
    for name, array in environment.get_state().items():  # it is what it was
        np.testing.assert_array_equal(array, state[name])


def _batches(game, longest):
    """The same seeds with a thread for each, and without."""
    for threads in (True, False):
        games = [create_mujoco_environment(seed, game) for seed in (3, 4, 5)]
        for own in games:
            own.steps_off_gil = threads
        yield EnvironmentBatch(games, longest)


@pytest.mark.parametrize("game", ["HalfCheetah-v5", "Ant-v5"])
def test_threads_play_what_one_thread_plays_and_the_time_limit_truncates(game):
    actions = np.stack([_actions(game, 90, seed) for seed in range(3)], axis=1)
    (threaded, alone), truncated = _batches(game, 20), 0
    np.testing.assert_array_equal(threaded.reset(), alone.reset())
    for own in actions:
        steps = threaded.step(own), alone.step(own)
        for x, y in zip(*steps, strict=True):
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()
        assert steps[0].frames.dtype == np.float32
        truncated += np.count_nonzero(steps[0].truncated)
    for batch in (threaded, alone):
        batch.close()
    assert truncated == 3 * (90 // 20)


@pytest.mark.parametrize("game", MUJOCO)
def test_seeds_start_and_go_on_in_places_of_their_own(game):
    games = [create_mujoco_environment(seed, game) for seed in (0, 1, 2)]
    starts = [own.reset().tobytes() for own in games for _ in range(2)]
    assert len(set(starts)) == 6


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        ("HalfCheetah-v3", "no such game; did you mean 'HalfCheetah-v5'"),
        ("hopper", "no such game; did you mean 'Hopper-v"),
        (
            "Pong",
            "no such game; of another suite there is create_atari_environment.game_name='Pong'",
        ),
        (None, r"create_mujoco_environment.game_name: not set; .*='HalfCheetah-v5'"),
    ],
)
def test_an_unknown_game_is_refused_with_the_nearest(game, expected):
    with pytest.raises(ConfigError, match=expected):
        create_mujoco_environment(0, game)


def test_the_suite_is_the_fives_newest_versions_and_allows_the_version_before(monkeypatch):
    assert SUITES["mujoco"] == MUJOCO
    assert [game.removesuffix("-v4") for game in OLDER] == [game[:-3] for game in MUJOCO]
    assert Suite("mujoco").environment == "create_mujoco_environment"
    monkeypatch.setattr("prune_rl.environments.mujoco.Suite", lambda: Suite("mujoco"))
    for game in ("Hopper-v5", "Hopper-v4"):
        assert create_mujoco_environment(0, game).protocol["game"] == game
    monkeypatch.setattr("prune_rl.environments.mujoco.Suite", lambda: Suite("minatar"))
    with pytest.raises(ConfigError, match="not in suite minatar"):
        create_mujoco_environment(0, "Hopper-v4")


@pytest.mark.parametrize("missing", ["mujoco", "gymnasium", "imageio", "packaging"])
def test_what_is_not_installed_is_one_line(missing):
    """In a process of its own, where nothing is imported yet."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from prune_rl.environments.mujoco import create_mujoco_environment\n"
        "create_mujoco_environment(0, 'Hopper-v5')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"MuJoCo's games need {missing}: pip install 'prune_rl[mujoco]'" in done.stderr


def test_nothing_is_said_or_written_of_the_cheetahs_model(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    create_mujoco_environment(0, "HalfCheetah-v5").reset()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert list(Path(tmp_path).iterdir()) == []


def test_a_simulation_that_becomes_unstable_is_said(caplog):
    environment = create_mujoco_environment(0, "Hopper-v5")
    environment.reset()
    state = environment.get_state()
    physics = state["physics"].copy()
    physics[1:12] = 1e20
    environment.set_state(state | {"physics": physics})
    with caplog.at_level(logging.WARNING):
        environment.step(np.zeros(3))
    assert "MuJoCo: Nan, Inf or huge value in" in caplog.text


def test_anothers_way_to_be_warned_is_left_in_place(monkeypatch):
    def own(message):
        raise AssertionError

    before = mujoco.get_mju_user_warning()
    try:
        mujoco.set_mju_user_warning(own)
        create_mujoco_environment(0, "Hopper-v5")
        assert mujoco.get_mju_user_warning() is own
    finally:
        mujoco.set_mju_user_warning(before)
