"""What is said to exist, against tensorflow-datasets and the sets of games that we know."""

import re

import pytest

from prune_rl.dataset_tool import catalogue
from prune_rl.environments.games import ATARI_17, ATARI_60, MINATAR
from prune_rl.errors import ConfigError


def test_the_games_of_rl_unplugged_are_those_of_tensorflow_datasets():
    pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.rl_unplugged import atari_utils

    configs = {config.name for config in atari_utils.builder_configs()}
    ours = {f"{game}_run_{run}" for game in catalogue.RLU_GAMES for run in catalogue.RUNS}
    assert ours == configs
    for game in catalogue.RLU_GAMES:
        count = atari_utils.num_shards(game, len(catalogue.CHECKPOINTS))
        urls = catalogue.rlu_shards(game)
        assert len(urls) == count
        assert urls[-1].endswith(f"/{game}/run_1-{count - 1:05d}-of-{count:05d}")


def test_the_builders_of_rl_unplugged_are_those_of_tensorflow_datasets():
    pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.rl_unplugged import rlu_atari_checkpoints_ordered as ordered

    names = [f"rlu_atari{kind}" for kind in ("", "_checkpoints", "_checkpoints_ordered")]
    assert list(catalogue.RLU_BUILDERS) == names
    builder = ordered.RluAtariCheckpointsOrdered
    assert builder.name == catalogue.RLU_BUILDER
    assert builder._INPUT_FILE_PREFIX == catalogue.RLU_BUCKET
    assert len(catalogue.CHECKPOINTS) == builder._SPLITS


def test_both_have_the_games_of_figure_6():
    assert len(ATARI_17) == 17
    for dataset in catalogue.DATASETS:
        assert set(ATARI_17) <= set(dataset.games) <= set(ATARI_60)
        assert not set(MINATAR) & set(dataset.games)
    assert [len(set(dataset.games)) for dataset in catalogue.DATASETS] == [60, 46]


def test_sizes_are_computed():
    """50 files of a million frames of 84 x 84 bytes."""
    for dataset in catalogue.DATASETS:
        assert f" {50 * 10**6 * 84 * 84 / 1e9:.0f} GB of frames a run" in dataset.size


def test_a_game_in_one_dataset_only_is_said_to_be_missing_from_the_other():
    lines = list(catalogue.lines_of_game("Tennis"))
    assert "rlu: not Tennis" in lines
    assert any("--dataset=dqn_replay --game=Tennis" in line for line in lines)
    assert not any("--dataset=rlu" in line for line in lines)


def test_addresses_of_a_game():
    text = "\n".join(catalogue.lines_of_game("Pong"))
    for address in (
        "gs://atari-replay-datasets/dqn/Pong/",
        "https://storage.googleapis.com/atari-replay-datasets/dqn/Pong/1/replay_logs/%24store%24_",
        "rl_unplugged/atari_episodes_ordered/Pong/run_1-00000-of-00050",
        "tfds.builder('rlu_atari_checkpoints_ordered/Pong_run_1'",
    ):
        assert address in text


def test_a_game_nobody_has():
    with pytest.raises(ConfigError, match=re.escape("did you mean 'Qbert'?")):
        catalogue.require_any("QBert2")
    catalogue.require_any("Tennis")
