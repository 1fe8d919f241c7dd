"""`python -m prune_rl.evaluate`: what it plays, prints, writes and refuses."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from prune_rl import evaluate
from prune_rl.acting.lanes import Lanes, acting
from prune_rl.loading import load_run

from .films import frames_of

pytestmark = pytest.mark.usefixtures("quick_compiling")


@pytest.fixture(autouse=True)
def _no_choice_of_opengl(monkeypatch):
    """That is one of the process, and MinAtar needs none."""
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.fixture(scope="module")
def trained(trained_minatar, quick_compiling):
    return trained_minatar(files=("pruning/magnitude.gin",))


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """(JSON, what was printed, the video's path) of three episodes of two seeds."""
    folder = tmp_path_factory.mktemp("evaluated")
    flags = ["--episodes=3", "--out=eval.json", "--video=x.mp4", "--video_episodes=2"]
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said):
        assert evaluate.main([str(trained), *flags]) == 0
    assert sorted(os.listdir(folder)) == ["eval.json", "x.mp4"]
    return json.loads((folder / "eval.json").read_text()), said.getvalue(), folder / "x.mp4"


def test_json_has_the_episodes_that_the_lanes_play(trained, evaluated):
    card, _, _ = evaluated
    assert [own["seed"] for own in card["seeds"]] == [0, 1]
    assert card["exploration"] == {"epsilon": 0.001}  # of evaluations, as the agent's defaults are
    for own in card["seeds"]:
        run = load_run(trained, seed=own["seed"])
        lanes = Lanes(run, 3, act=acting(run.learner), number=0, exploration=[0.001])
        played = [(x.episode_return, x.length, x.terminated) for x in lanes.play(3)]
        assert [tuple(x.values()) for x in own["episodes"]] == played
        assert own["sparsity"]["q"] == pytest.approx(0.95, abs=2e-3)
    assert (card["agent_steps"], card["gradient_steps"], card["game"]) == (600, 134, "breakout")
    assert card["provenance"]["protocol"]["difficulty_ramping"] is True


def test_a_table_is_printed_and_what_was_written(evaluated):
    card, printed, path = evaluated
    lines = printed.splitlines()
    assert "DQNAgent on breakout after 600 agent steps" in lines[0]
    assert lines[-3].startswith(f"mean return {card['mean_return']:.2f} ")
    assert lines[-2:] == ["wrote eval.json", f"wrote {path.name}"]


def test_the_video_has_a_frame_for_each_step_and_a_second_for_each_score(evaluated):
    card, _, path = evaluated
    lengths = [own["length"] for own in card["seeds"][0]["episodes"][:2]]
    frames = frames_of(path)
    assert len(frames) == sum(lengths) + 2 * 15
    # The first picture of a game is not the last; the last stands still.
    held = frames[lengths[0] : lengths[0] + 15]
    assert abs(held[1:].astype(int) - held[:-1]).mean() < 0.5  # as far as H.264 has it
    assert (abs(frames[0].astype(int) - frames[lengths[0] - 1])[:, :420] > 100).sum() > 1000


def test_frames_show_the_game_and_the_chosen_action(trained, tmp_path):
    """Against frames drawn from what the lanes show, decoded."""
    looks = []
    run = load_run(trained)
    lanes = Lanes(run, 1, act=acting(run.learner), number=5, exploration=[0.0])

    def watch(look):
        looks.append((look.game.render(), int(look.action), run.values(look.observation)))

    lanes.play(1, watch=watch)
    flags = ["--episodes=1", "--random_seed=5", "--epsilon=0", "--seed=0"]
    assert evaluate.main([str(trained), *flags, f"--video={tmp_path / 'x.gif'}"]) == 0
    frames = frames_of(tmp_path / "x.gif")
    assert len(frames) == len(looks) + 15
    for frame, (picture, action, values) in zip(frames, looks, strict=False):
        assert abs(frame[:, :420].astype(int) - picture).mean() < 2
        # Which row of the panel is orange, as only the chosen one is.
        orange = abs(frame[:, 420:].astype(int) - [230, 159, 0]).max(axis=-1) < 12
        rows = np.flatnonzero(orange.any(axis=1))
        assert (rows.min() - 112) // 17 == (rows.max() - 112) // 17 == action
        assert action == values.argmax()


def test_seeds_and_streams_can_be_chosen(trained, evaluated, tmp_path, monkeypatch):
    out, explored = tmp_path / "eval.json", []

    class Spied(Lanes):
        def __init__(self, *args, exploration, **kwargs):
            explored.append(exploration)
            super().__init__(*args, exploration=exploration, **kwargs)

    monkeypatch.setattr("prune_rl.acting.lanes.Lanes", Spied)

    def played(*flags):
        assert evaluate.main([str(trained), f"--out={out}", *flags]) == 0
        return json.loads(out.read_text())

    one = played("--episodes=2", "--seed=1")
    assert [own["seed"] for own in one["seeds"]] == [1]
    assert one["seeds"][0]["episodes"] == evaluated[0]["seeds"][1]["episodes"][:2]
    flags = ("--episodes=6", "--seed=1", "--epsilon=1")
    random, other = (played(*flags, f"--random_seed={i}") for i in (0, 1))
    assert random["exploration"] == {"epsilon": 1.0}
    assert random["seeds"][0]["episodes"] != other["seeds"][0]["episodes"]
    assert explored == [[0.001], [1.0], [1.0]]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--episodes=0"], "--episodes=0: expected an integer >= 1"),
        (["--seed=7"], ": --seed=7: expected one of the run's: 0, 1\n"),
        (["--epsilon=1.5"], "--epsilon=1.5: expected a number in [0, 1]"),
        (["--random_seed=-1"], "--random_seed=-1: expected an integer from 0"),
        (["--out=eval.txt"], "--out='eval.txt': expected a file that ends in .json"),
        (["--out=no/eval.json"], "--out='no/eval.json': expected a folder no that is there"),
        (["--out=precious.json"], "this is no earlier evaluation's, and is kept"),
        (["--out=folder.json"], "this is no earlier evaluation's, and is kept"),
        (["--video=x.avi"], "--video='x.avi': expected a file that ends in .mp4 or .gif"),
        (["--video=precious.mp4"], "this is no earlier evaluation's, and is kept"),
        (
            ["--video=x.mp4", "--video_episodes=11"],
            "--video_episodes=11: expected an integer from 1",
        ),
        (["--video_episodes=3"], "--video_episodes=3: expected --video=FILE.mp4 beside it"),
        (["--video_episodes=1"], "--video_episodes=1: expected --video=FILE.mp4 beside it"),
        (["--game="], "--game='': expected a game's name, as HalfCheetah-v4; without it, the"),
        (["--game=asterix"], "game 'asterix': it has 5 actions; the agent expects 3 actions"),
        (["--game=brekout"], "did you mean 'breakout'?"),
    ],
)
def test_mistakes_are_one_line_and_code_2_before_anything_is_played(
    trained, tmp_path, monkeypatch, capsys, flags, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    for name in ("precious.json", "precious.mp4"):
        (tmp_path / name).write_text('{"made_by": "hand"}')
    monkeypatch.setattr(Lanes, "play", None)
    before = sorted(tmp_path.rglob("*"))
    assert evaluate.main([str(trained), *flags]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("prune_rl.evaluate: ")
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_no_run_is_one_line_and_code_2(tmp_path, capsys):
    assert evaluate.main([str(tmp_path)]) == 2
    assert "holds no run (config.gin)" in capsys.readouterr().err


def test_earlier_results_are_replaced_as_a_whole(trained, evaluated, tmp_path, capsys, monkeypatch):
    out, video = tmp_path / "eval.json", tmp_path / "x.mp4"
    out.write_text(json.dumps(evaluated[0]))
    shutil.copy(evaluated[2], video)
    flags = [str(trained), "--episodes=1", f"--out={out}", f"--video={video}"]

    def fail(self, *args, **kwargs):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("prune_rl.acting.film.Film.end", fail)
        assert evaluate.main(flags) == 1
    assert "No space left" in capsys.readouterr().err
    assert json.loads(out.read_text()) == evaluated[0]
    assert video.read_bytes() == evaluated[2].read_bytes()
    assert evaluate.main(flags) == 0
    assert json.loads(out.read_text())["episodes_per_seed"] == 1
    assert len(frames_of(video)) < len(frames_of(evaluated[2]))
    assert sorted(x.name for x in tmp_path.iterdir()) == ["eval.json", "x.mp4"]


def test_nothing_is_in_its_place_until_all_is_played(trained, tmp_path, capsys, monkeypatch):
    play = Lanes.play

    def interrupted(self, count, **options):
        if "watch" not in options:  # filmed all that is to be
            raise KeyboardInterrupt
        return play(self, count, **options)

    monkeypatch.setattr(Lanes, "play", interrupted)
    flags = [f"--video={tmp_path / 'x.gif'}", f"--out={tmp_path / 'eval.json'}"]
    assert evaluate.main([str(trained), "--episodes=2", *flags]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
        (OSError("No space left on device"), 1, "No space left on device; nothing was written"),
        (KeyError("of ours"), 1, "unexpected KeyError: 'of ours'; this is a mistake of ours"),
    ],
)
def test_what_stops_it_has_a_code_of_its_own(trained, monkeypatch, capsys, error, code, said):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(Lanes, "play", fail)
    assert evaluate.main([str(trained)]) == code
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1]


def test_help_teaches_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from prune_rl import evaluate\n"
        "try:\n    evaluate.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "assert not {'jax', 'flax', 'numpy', 'gin', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in ("--episodes", "examples:", "runs/x --episodes=5 --out=eval.json --video=x.mp4"):
        assert words in done.stdout
