"""RL Unplugged that is damaged, incomplete or impossible: what is said of it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.rlu import find_runs, problems
from prune_rl.errors import ConfigError
from tests.datasets.rl_unplugged import (
    FOLDER,
    assert_same,
    expected_of,
    files_of,
    flip,
    rows_of,
    the_run,
    write_splits,
)


def test_a_flipped_byte_is_named_with_its_file_and_place(copied, capfd):
    file = files_of(copied, 1)[1]
    flip(file, 5000)
    run = the_run(copied)
    with pytest.raises(Damaged, match=r"damaged at byte \d+") as caught:
        run.parts(Share())
    assert str(caught.value).startswith(str(file))
    assert list(problems(run)) == [str(caught.value)]
    assert capfd.readouterr() == ("", "")


def test_damage_that_comes_after_counting_is_named_too(copied):
    parts = the_run(copied).parts(Share())
    flip(files_of(copied, 0)[0], 5000)
    with pytest.raises(Damaged, match=r"checkpoint_00.*damaged at byte"):
        list(parts[0].blocks())
    list(parts[1].blocks())


def test_a_file_that_ends_early_is_named(copied):
    file = files_of(copied, 2)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Damaged, match=r"checkpoint_02.*00000-of-00002: damaged at"):
        the_run(copied).parts(Share())


def test_a_file_with_fewer_episodes_than_it_should_have_is_named(copied):
    info = copied / FOLDER / "dataset_info.json"
    content = json.loads(info.read_text())
    content["splits"][0]["shardLengths"] = ["2", "3"]
    info.write_text(json.dumps(content))
    with pytest.raises(Damaged, match=r"00001-of-00002: .* expected 3 episodes"):
        the_run(copied).parts(Share())


def test_splits_that_lack_a_file_are_left_out_and_reported(copied, episodes):
    before = the_run(copied).identity()
    lost = files_of(copied, 1)[0]
    lost.unlink()
    run = the_run(copied)
    assert run.gaps == ["split checkpoint_01 lacks files"]
    assert run.protocol["splits"] == 2
    assert run.identity() != before
    parts = run.parts(Share())
    assert [part.name for part in parts] == ["Pong/3 checkpoint 0", "Pong/3 checkpoint 2"]
    assert_same(rows_of(parts[1]), expected_of(episodes[2]))
    assert list(problems(run)) == [f"{lost}: missing, though dataset_info.json names it"]


def test_a_run_without_any_whole_split_is_refused(copied):
    for split in range(3):
        files_of(copied, split)[0].unlink()
    with pytest.raises(ConfigError, match="every split lacks files; split checkpoint_00"):
        the_run(copied).parts(Share())


_WRONG = {
    "is_first at steps [0, 7], expected at step 0 alone": ("first", 7, True),
    "is_first at steps [], expected at step 0 alone": ("first", 0, False),
    "is_last at steps [9, 39], expected at step 39 alone": ("last", 9, True),
    "is_terminal before the last step, at steps [3]": ("terminal", 3, True),
}


def _changed(episode, field, step, value):
    changed = SimpleNamespace(**vars(episode))
    setattr(changed, field, getattr(episode, field).copy())
    getattr(changed, field)[step] = value
    return changed


@pytest.mark.parametrize("message", _WRONG)
def test_an_episode_that_is_not_one_is_damaged(tmp_path, episodes, message):
    own = episodes[1]
    write_splits(tmp_path, [[own[0], _changed(own[1], *_WRONG[message]), own[2]]], num_shards=1)
    run = the_run(tmp_path)
    with pytest.raises(Damaged) as caught:
        run.parts(Share())
    (file,) = files_of(tmp_path, 0)
    assert str(caught.value) == f"{file}: episode 1: {message}"
    assert list(problems(run)) == [str(caught.value)]


def test_an_empty_episode_is_damaged(tmp_path, episodes):
    empty = SimpleNamespace(**vars(episodes[0][0]))
    for name in ("frames", "actions", "rewards", "first", "last", "terminal"):
        setattr(empty, name, getattr(empty, name)[:0])
    write_splits(tmp_path, [[episodes[0][0], empty]], num_shards=1)
    with pytest.raises(Damaged, match=r"checkpoint_00.*: episode 1: the episode is empty"):
        the_run(tmp_path).parts(Share())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("actions", -1, "step 4: action -1"),
        ("actions", 18, "step 4: action 18"),
        ("rewards", np.nan, "step 4: reward nan"),
    ],
)
def test_impossible_values_are_named_and_not_read(tmp_path, episodes, field, value, message):
    own = episodes[1]
    write_splits(tmp_path, [[own[0], _changed(own[1], field, 4, value)]], num_shards=1)
    run = the_run(tmp_path)
    (part,) = run.parts(Share())
    with pytest.raises(Damaged, match=rf"checkpoint_00.*: episode 1: {message}"):
        list(part.blocks())
    assert message in next(problems(run))


def test_what_the_last_step_says_beside_its_observation_means_nothing(tmp_path, episodes):
    episode = episodes[1][1]
    odd = _changed(_changed(episode, "actions", -1, -5), "rewards", -1, np.nan)
    odd.episode_return = episode.rewards[:-1].sum()
    write_splits(tmp_path, [[odd]], num_shards=1)
    run = the_run(tmp_path)
    assert_same(rows_of(run.parts(Share())[0]), expected_of([episode]))
    assert list(problems(run)) == []


def test_returns_and_checkpoints_that_do_not_fit_are_problems(tmp_path, episodes):
    first, second = (SimpleNamespace(**vars(episode)) for episode in episodes[1][:2])
    first.episode_return, second.checkpoint = 77.0, 4
    write_splits(tmp_path, [[first, second]], num_shards=1)
    told = first.rewards[:-1].sum()
    of_return, of_checkpoint = problems(the_run(tmp_path))
    assert of_return.endswith(f": episode 0: episode_return 77, but the rewards sum to {told:g}")
    assert of_checkpoint.endswith(": episodes of checkpoints [0, 4], expected one")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dataset_info.json", '{"name": ', "dataset_info.json: no JSON"),
        ("dataset_info.json", "[]", "dataset_info.json: expected an object"),
        ("features.json", "{}", "features.json: no steps with images"),
    ],
)
def test_what_describes_a_run_is_checked(copied, name, content, message):
    (copied / FOLDER / name).write_text(content)
    with pytest.raises(Damaged, match=message):
        find_runs(copied)


def test_frames_of_another_size_and_lacking_features_are_refused(copied):
    file = copied / FOLDER / "features.json"
    whole = file.read_text()
    file.write_text(whole.replace('"84"', '"64"'))
    with pytest.raises(Damaged, match=r"frames \['64', '64', '1'\], expected"):
        find_runs(copied)
    file.write_text(whole.replace('"is_last"', '"is_least"'))
    with pytest.raises(Damaged, match=r"features\.json: no is_last, expected"):
        find_runs(copied)
