"""Files as D4RL has published them: what is learned from them, by D4RL's own rules."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.datasets import d4rl_names
from prune_rl.datasets.d4rl import find_runs, num_rows, problems
from prune_rl.datasets.d4rl_part import layout
from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.finding import find_runs as find_any
from prune_rl.datasets.hdf5_files import BLOCK_ROWS
from prune_rl.errors import ConfigError
from prune_rl.specs import Box

from .vector_episodes import play, publish, qlearning_dataset, read

NAME = "halfcheetah_medium-v2.hdf5"
ARRAYS = play([5, 1, 4, 3, 6], "otoo-")


def _run(path):
    (run,) = find_runs(path)
    return run


def _same(found, expected):
    """Whether transitions are the same to the bit; what follows a terminal one is nothing."""
    assert len(found) == len(expected)
    for (frame, action, reward, discount, after), own in zip(found, expected, strict=True):
        assert frame.tobytes() == own[0].tobytes()
        assert action.tobytes() == own[1].tobytes()
        assert (reward, discount) == (own[2], 0.0 if own[4] else 0.5)
        assert (after is None) == own[4]
        assert after is None or after.tobytes() == own[3].tobytes()


def test_without_next_observations_it_is_the_qlearning_dataset(tmp_path):
    run = _run(publish(tmp_path / NAME, ARRAYS, but=["next_observations"]))
    _same(read(run), qlearning_dataset(ARRAYS))


def test_with_next_observations_rows_that_timed_out_bootstrap_from_theirs(tmp_path):
    """Every row is a transition then, and those of the qlearning dataset are as they were."""
    fields = ("observations", "actions", "rewards", "next_observations", "terminals")
    every = list(zip(*(ARRAYS[name] for name in fields), strict=True))
    assert ARRAYS["timeouts"].sum() == 3
    found = read(_run(publish(tmp_path / NAME, ARRAYS)))
    _same(found, every)
    cut = {*np.flatnonzero(ARRAYS["timeouts"]).tolist(), len(every) - 1}
    kept = [own for row, own in enumerate(found) if row not in cut]
    _same(kept, qlearning_dataset(ARRAYS))


def test_a_terminal_last_row_is_a_transition_though_d4rl_leaves_it_out(tmp_path):
    arrays = play([3, 4], "ot")
    found = read(_run(publish(tmp_path / NAME, arrays, but=["next_observations"])))
    _same(found[:-1], qlearning_dataset(arrays))
    assert found[-1][3] == 0
    assert found[-1][1].tobytes() == arrays["actions"][-1].tobytes()


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from("to")), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whatever_the_ends_each_transition_is_there_once_and_bootstraps_unless_terminal(
    episodes, goes_on, has_next
):
    lengths, ends = zip(*episodes, strict=True)
    ends = "".join(ends[:-1]) + ("-" if goes_on else ends[-1])
    arrays = play(lengths, ends, (1, 1))
    sources, is_next, whole = layout(arrays["terminals"], arrays["timeouts"], has_next)
    starts = sources[whole.startable]
    cut = arrays["timeouts"].copy()
    cut[-1] |= ends[-1] != "t"
    rows = np.arange(sum(lengths))
    assert starts.tolist() == rows[has_next | ~cut].tolist()
    for place in np.flatnonzero(whole.startable).tolist():
        row = sources[place]
        assert (whole.ends[place] == 1) == arrays["terminals"][row]
        if not arrays["terminals"][row]:  # what follows is what came of it
            following = (sources[place + 1], bool(is_next[place + 1]))
            assert following == ((row, True) if cut[row] else (row + 1, False))
            assert whole.ages[place + 1] == whole.ages[place] + 1
    firsts = np.cumsum([0, *lengths[:-1]])
    own = whole.ages[~is_next]
    assert np.flatnonzero(own == 0).tolist() == firsts.tolist()


@pytest.mark.parametrize("but", [[], ["next_observations"]])
@pytest.mark.parametrize("horizon", [1, 3])
def test_a_share_holds_what_its_windows_need(tmp_path, but, horizon):
    """The same transitions, whatever else is read: drawn by themselves, together, or the first."""
    run = _run(publish(tmp_path / NAME, ARRAYS, but=but))
    every = {own[0].tobytes(): own for own in read(run, Share(horizon=horizon))}
    order = list(every)
    for unit in ("transitions", "windows", "first"):
        for seed in range(4):
            found = read(run, Share(unit=unit, seed=seed, horizon=horizon, count=7))
            assert len(found) == 7
            for own in found:
                assert str(own) == str(every[own[0].tobytes()])
            places = [order.index(own[0].tobytes()) for own in found]
            assert places == sorted(set(places))
            if unit != "transitions":
                assert np.ptp(places) == 6
            if unit == "first":
                assert places[0] == 0


def test_shares_differ_by_seed_and_half_is_half(tmp_path):
    run = _run(publish(tmp_path / NAME, ARRAYS))
    drawn = {
        b"".join(own[0].tobytes() for own in read(run, Share(unit="transitions", seed=i, count=5)))
        for i in range(5)
    }
    assert len(drawn) > 1
    assert len(read(run, Share(fraction=0.5))) == round(0.5 * len(ARRAYS["rewards"]))


def test_more_than_there_are_is_refused(tmp_path):
    run = _run(publish(tmp_path / NAME, ARRAYS))
    with pytest.raises(ConfigError, match=r"Dataset.num_transitions=20: expected at most the 19"):
        run.parts(Share(count=20))
    assert run.parts(Share(count=19))[0].num_transitions == 19


def test_large_files_are_read_in_blocks(tmp_path, monkeypatch):
    count = 2 * BLOCK_ROWS + 100
    arrays = play([count // 4] * 4, "oto-", (11, 3))
    (tmp_path / "x").mkdir()
    run = _run(publish(tmp_path / "hopper_x-v5.hdf5", arrays))
    (part,) = run.parts(Share())
    blocks = list(part.blocks())
    assert len(blocks) == 3
    assert max(len(block.ends) for block in blocks) <= BLOCK_ROWS + 4
    assert len(read(run)) == len(arrays["rewards"])
    (few,) = run.parts(Share(count=3))
    assert sum(len(block.ends) for block in few.blocks()) == few.num_rows == 4


def test_columns_of_one_number_are_squeezed(tmp_path):
    wide = {
        name: array[:, None] if array.ndim == 1 else array.astype(np.float64)
        for name, array in ARRAYS.items()
    }
    wide["terminals"] = wide["terminals"].astype(np.uint8)
    plain, other = (publish(tmp_path / x / NAME, y) for x, y in (("a", ARRAYS), ("b", wide)))
    assert str(read(_run(plain))) == str(read(_run(other)))


def test_what_is_said_of_a_published_file(tmp_path):
    run = _run(publish(tmp_path / NAME, ARRAYS))
    assert (run.game, run.suite, run.number) == ("HalfCheetah-v4", "mujoco", 1)
    assert run.observation_spec.shape == (17,)
    assert run.action_spec == Box((-1.0,) * 6, (1.0,) * 6)
    assert run.protocol == {
        "format": "d4rl",
        "path": str(tmp_path / NAME),
        "dataset": "halfcheetah-medium-v2",
        "stored_rewards": "as they are",
        "algorithm": "SAC",
        "reference_scores": [-280.178953, 12135.0],
    }
    assert (run.absent, run.gaps) == ([], [])


def test_identity_changes_with_any_byte_and_not_with_the_place(tmp_path):
    path = publish(tmp_path / NAME, ARRAYS)
    other = tmp_path / "other" / NAME
    other.parent.mkdir()
    shutil.copy(path, other)
    before = _run(path).identity()
    assert len(before) == 64
    assert _run(other).identity() == before
    with h5py.File(other, "a") as file:
        file["infos/qpos"][0, 0] = 1
    assert _run(other).identity() != before


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (NAME, ("halfcheetah-medium-v2", "HalfCheetah-v4")),
        ("walker2d_medium_replay-v2.hdf5", ("walker2d-medium-replay-v2", "Walker2d-v4")),
        ("hopper_run_3-v5.hdf5", ("hopper-run-3-v5", "Hopper-v5")),
        ("halfcheetah_medium.hdf5", None),
        ("cartpole_medium-v2.hdf5", None),
    ],
)
def test_names(file, said):
    named = d4rl_names.named(file)
    assert (named and named[:2]) == said
    if said:
        assert d4rl_names.file_of(said[0]) == file


def test_ant_of_d4rls_sizes_shows_what_its_files_do_not_hold():
    """Their last 84 numbers are 0 (D4RL's issue 143), of v4 with contact forces they are not."""
    gymnasium = pytest.importorskip("gymnasium")
    size = d4rl_names.GAMES["ant"].observation
    with gymnasium.make("Ant-v4") as own:
        assert own.observation_space.shape == (27,)
    with gymnasium.make("Ant-v4", use_contact_forces=True) as own:
        assert own.observation_space.shape == (size,)
        own.reset(seed=0)
        shown = [own.step(np.zeros(8))[0][27:] for _ in range(40)]
    assert np.abs(shown).max() > 0


def test_sets_are_found_by_name_where_d4rl_keeps_them(tmp_path, monkeypatch):
    publish(tmp_path / "cache" / NAME, ARRAYS)
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "cache"))
    (run,) = find_any("Dataset.path", "halfcheetah-medium-v2")
    assert run.path == tmp_path / "cache" / NAME
    with pytest.raises(ConfigError, match=r"Dataset.path='hopper-medium-v2': not there; expected"):
        find_any("Dataset.path", "hopper-medium-v2")
    monkeypatch.delenv("D4RL_DATASET_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    publish(tmp_path / ".d4rl/datasets/hopper_expert-v2.hdf5", play([3], "o", (11, 3)))
    (run,) = find_any("Dataset.path", "hopper-expert-v2")
    assert run.game == "Hopper-v4"


def test_files_are_found_at_any_depth_and_two_of_a_game_are_refused(tmp_path):
    publish(tmp_path / NAME, ARRAYS)
    expert = publish(tmp_path / "a/b/hopper_expert-v2.hdf5", play([3], "o", (11, 3)))
    publish(tmp_path / "a/.partial/hopper_medium-v2.hdf5", play([3], "o", (11, 3)))
    assert [run.game for run in find_any("x", tmp_path)] == ["HalfCheetah-v4", "Hopper-v4"]
    assert [run.path for run in find_any("x", expert)] == [expert]
    other = publish(tmp_path / "hopper_medium-v2.hdf5", play([3], "o", (11, 3)))
    with pytest.raises(ConfigError, match="run 1 of Hopper-v4 is there twice") as caught:
        find_any("x", tmp_path)
    assert str(other) in str(caught.value)


def _nan(name, row):
    array = ARRAYS[name].copy()
    array.reshape(len(array), -1)[row, -1] = np.nan
    return {name: array}


_FLAGS = {"terminals": ARRAYS["terminals"] | ARRAYS["timeouts"]}
_BAD = [
    ({}, ["terminals"], f"{NAME}: no terminals; expected what D4RL's v1 and v2 have: obs"),
    ({}, ["actions", "timeouts"], f"{NAME}: no actions, timeouts; expected"),
    ({"rewards": ARRAYS["rewards"][:7]}, [], f"{NAME}: 19 observations, 19 actions, .*7 rewards"),
    ({"rewards": ARRAYS["actions"]}, [], rf"{NAME}: rewards: float32 \(19, 6\), expected numbers"),
    ({"actions": np.full((19, 6), b"x")}, [], f"{NAME}: actions: .* expected numbers"),
    ({"observations": ARRAYS["observations"][:, :11]}, ["next_observations"], "actions of 6 num"),
    (_FLAGS, [], r"timeouts: row 4 \(3 in all\) is terminal and timed out at once; expected one"),
    ({"timeouts": ARRAYS["timeouts"] * 2}, [], f"{NAME}: timeouts: row 4 is 2.0, expected 0 or 1"),
    (_nan("observations", 3), [], f"{NAME}: observations: row 3 has nan, expected finite"),
    (_nan("actions", 7), [], f"{NAME}: actions: row 7 has nan"),
    (_nan("rewards", 18), [], f"{NAME}: rewards: row 18 has nan, expected finite numbers"),
    (_nan("next_observations", 18), [], f"{NAME}: next_observations: row 18 has nan"),
]


@pytest.mark.parametrize(("changes", "but", "said"), _BAD)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, changes, but, said):
    path = publish(tmp_path / NAME, ARRAYS | changes, but=but)
    with pytest.raises(Damaged, match=said) as caught:
        read(_run(path))
    assert str(caught.value).startswith(f"{tmp_path}/")
    assert "\n" not in str(caught.value)


def test_what_is_said_of_rows_of_both_flags_mends_them(tmp_path):
    """Where timeouts are cleared, episodes end there, with nothing to bootstrap from."""
    path = publish(tmp_path / "both" / NAME, ARRAYS | _FLAGS)
    with pytest.raises(Damaged, match=r"the terminal counts, so clear the timeout$"):
        read(_run(path))
    mended = _FLAGS | {"timeouts": ARRAYS["timeouts"] & ~_FLAGS["terminals"]}
    found = read(_run(publish(tmp_path / "mended" / NAME, ARRAYS | mended)))
    assert [discount == 0 for *_, discount, _ in found] == _FLAGS["terminals"].tolist()


def test_a_truncated_file_is_one_line(tmp_path):
    path = publish(tmp_path / NAME, ARRAYS)
    for size in (path.stat().st_size - 100, 50, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(Damaged, match=f"{NAME}: cannot be read: ") as caught:
            find_runs(tmp_path)
        assert "\n" not in str(caught.value)


def test_spoilt_bytes_are_named_by_their_rows(tmp_path):
    path = publish(tmp_path / NAME, ARRAYS)
    with h5py.File(path) as file:
        chunk = file["rewards"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 10] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(Damaged, match=f"{NAME}: rewards: rows 0 to 19 cannot be read"):
        read(_run(path))
    assert any("rewards: rows 0 to 19" in line for line in problems(_run(path)))


def test_another_environment_is_refused(tmp_path):
    path = publish(tmp_path / "hopper_medium-v2.hdf5", ARRAYS)
    said = "observations of 17 and actions of 6 numbers, expected those of Hopper, which are 11"
    with pytest.raises(Damaged, match=said):
        find_runs(path)


def test_a_file_that_does_not_say_what_it_is_of(tmp_path):
    publish(tmp_path / "mine.hdf5", ARRAYS)
    with pytest.raises(ConfigError, match=r"mine.hdf5: does not say which environment it is of"):
        find_runs(tmp_path)


def test_other_hdf5_files_are_none(tmp_path):
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file["layer"] = np.zeros(3)
    assert find_runs(tmp_path) == []


def test_verify_says_what_is_wrong_a_line_each(tmp_path):
    told = []
    run = _run(publish(tmp_path / "whole" / NAME, ARRAYS))
    assert list(problems(run, told.append)) == []
    assert sum(told) == num_rows(run) == 19
    actions, following = ARRAYS["actions"].copy(), ARRAYS["next_observations"].copy()
    actions[:3, 2] = 1 + 1e-6  # as training lets them pass
    actions[3:5, 2], following[7] = 1.5, 0
    changes = {"actions": actions, "next_observations": following} | _nan("rewards", 8)
    lines = list(problems(_run(publish(tmp_path / "bad" / NAME, ARRAYS | changes))))
    assert [line.partition(f"{NAME}: ")[2] for line in lines] == [
        "actions: row 3 is outside of its game's bounds",
        "rewards: row 8 has nan, expected finite numbers",
        "next_observations: row 7 is not the observation of row 8, where it goes on",
    ]
    path = publish(tmp_path / "flags" / NAME, ARRAYS | _FLAGS)
    assert ["at once" in line for line in problems(_run(path))] == [True]
