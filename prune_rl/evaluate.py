"""Plays what a run has trained: `python -m prune_rl.evaluate RUN`, `--help` says how."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prune_rl.errors import require
from prune_rl.last_words import last_words
from prune_rl.version import add_version

if TYPE_CHECKING:  # --help needs no JAX
    from prune_rl.acting.lanes import Lanes, Played
    from prune_rl.acting.video_file import VideoFile
    from prune_rl.loaded_run import LoadedRun
    from prune_rl.scorecard import Result

_DESCRIPTION = """\
Plays the pruned policy of a run on its real game, at the run's newest checkpoint: returns with an
interval, and a video if asked for. The run may still be training; nothing in it is changed, and
neither its data nor its replay is needed.
"""
_EPILOG = """\
how it plays:
  as the run's own evaluations do: its game and protocol, its longest episode, its evaluation's
  exploration (epsilon_eval of agents of values; the middle of the distribution of actors). Random
  numbers are new ones: of the seed, the episode and --random_seed alone, so the same command gives
  the same returns, however many episodes or seeds are asked for.
what is written:
  --out is JSON: every seed's and episode's return and length in agent steps; their mean and its
  95 % bootstrap interval, of the seeds' means from three seeds on, else of episodes; scores between
  a random and a human player (Atari) or an expert (D4RL), where these are known; sparsity of every
  network; protocol and versions. An earlier evaluation's --out and --video are replaced, no other
  file is. --video is one frame for each agent step, 15 a second: of Atari real time, of MuJoCo's
  robots slower or faster. Videos need: pip install 'prune_rl[video]'
exit codes:
  0 all played; 1 a game or the disk failed; 2 something must be changed; 130 interrupted

examples:
  python -m prune_rl.evaluate runs/x
  python -m prune_rl.evaluate runs/x --episodes=5 --out=eval.json
  python -m prune_rl.evaluate runs/x --episodes=5 --out=eval.json --video=x.mp4
  python -m prune_rl.evaluate runs/x --seed=0 --seed=2 --epsilon=0.05 --video=x.gif
"""


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m prune_rl.evaluate`."""
    result = argparse.ArgumentParser(
        prog="python -m prune_rl.evaluate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = result.add_argument
    add_version(result)
    add("run", type=Path, metavar="RUN", help="a run directory: what --base_dir was")
    add("--episodes", type=int, default=10, metavar="N", help="of each seed; default: 10")
    add(
        "--seed",
        type=int,
        action="append",
        dest="seeds",
        metavar="K",
        help="only this one of the run's seeds; repeat for more; default: all",
    )
    add("--out", type=Path, metavar="FILE.json", help="where the results go, as JSON")
    add("--video", type=Path, metavar="FILE.mp4|gif", help="a video of the first seed's first game")
    add(
        "--video_episodes",
        type=int,
        metavar="N",
        help="how many of the first seed's episodes the video has; default: 1",
    )
    add("--game", help="another game of the suite that fits the agent, as HalfCheetah-v4")
    add(
        "--epsilon",
        type=float,
        help="probability of a random action, for agents of values; default: their epsilon_eval",
    )
    add(
        "--random_seed",
        type=int,
        default=0,
        metavar="N",
        help="of all that is random in the games; default: 0",
    )
    add("--traceback", action="store_true", help="print Python's traceback before an error's line")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    flags = parser().parse_args(argv)
    try:
        _check(flags)
        _evaluate(flags)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if flags.traceback:
            traceback.print_exc()
        line, code = last_words(error, "nothing was written")
        print(f"prune_rl.evaluate: {line}", file=sys.stderr)
        return code


def _check(flags: argparse.Namespace) -> None:
    """Raises `ConfigError` where flags make no sense, before anything is read or played."""
    require(flags.episodes >= 1, "--episodes", flags.episodes, "an integer >= 1")
    most, own = flags.episodes, flags.video_episodes
    if own is not None:
        expected = f"an integer from 1 to --episodes, {most}"
        require(1 <= own <= most, "--video_episodes", own, expected)
        require(flags.video is not None, "--video_episodes", own, "--video=FILE.mp4 beside it")
    fits = flags.game is None or bool(flags.game.strip())
    require(fits, "--game", flags.game, "a game's name, as HalfCheetah-v4; without it, the run's")
    fits = 0 <= flags.random_seed < 2**32
    require(fits, "--random_seed", flags.random_seed, "an integer from 0 to 2**32 - 1")
    fits = flags.epsilon is None or 0 <= flags.epsilon <= 1
    require(fits, "--epsilon", flags.epsilon, "a number in [0, 1]")
    if flags.out is not None:
        _check_file("--out", flags.out, [".json"], _is_ours)
    if flags.video is not None:
        from prune_rl.acting.video_file import SUFFIXES, find_ffmpeg, is_ours
        from prune_rl.environments.mujoco_pictures import choose_opengl

        _check_file("--video", flags.video, SUFFIXES, is_ours)
        find_ffmpeg()
        choose_opengl()


def _check_file(
    flag: str, path: Path, suffixes: Sequence[str], is_ours: Callable[[Path], bool]
) -> None:
    """Raises `ConfigError` unless such a file can be made there, or was made by this command."""
    expected = f"a file that ends in {' or '.join(suffixes)}"
    require(path.suffix.lower() in suffixes, flag, str(path), expected)
    require(path.parent.is_dir(), flag, str(path), f"a folder {path.parent} that is there")
    require(os.access(path.parent, os.W_OK), flag, str(path), "a folder that can be written to")
    fits = not path.exists() or (path.is_file() and is_ours(path))
    require(fits, flag, str(path), "a new name: this is no earlier evaluation's, and is kept")


def _is_ours(path: Path) -> bool:
    from prune_rl.scorecard import MADE_BY

    try:
        card = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(card, dict) and card.get("made_by") == MADE_BY


def _evaluate(flags: argparse.Namespace) -> None:
    from prune_rl import compilation_cache
    from prune_rl.loading import load_seeds
    from prune_rl.recording import tensor_files
    from prune_rl.scorecard import scorecard, table

    compilation_cache.enable()
    runs = load_seeds(flags.run, flags.seeds, named="--seed")
    exploration = _exploration(runs[0], flags.epsilon)
    with ExitStack() as stack:
        video = stack.enter_context(_video(flags.video)) if flags.video else None
        results, protocol = _play(flags, runs, list(exploration.values()), video)
        card = scorecard(
            results, protocol=protocol, exploration=exploration, random_seed=flags.random_seed
        )
        print(table(card, runs[0].acting))
        if video is not None:
            video.end()  # what fails from here on fails before anything is in its place
        if flags.out is not None:
            text = json.dumps(card, indent=1, allow_nan=False) + "\n"
            tensor_files.write_bytes(flags.out.parent, flags.out.name, text.encode())
    for path in filter(None, (flags.out, flags.video)):
        print(f"wrote {path}")


def _exploration(run: "LoadedRun", epsilon: float | None) -> dict[str, float]:
    """Numbers by which it explores, by name; see `Agent.exploration_eval`."""
    from prune_rl.specs import Discrete

    own = run.agent.exploration_eval
    if epsilon is None:
        return own
    fits = "epsilon" in own and isinstance(run.action_spec, Discrete)
    expected = f"none: {type(run.agent).__name__} does not explore so when it is evaluated"
    require(fits, "--epsilon", epsilon, expected)
    return own | {"epsilon": epsilon}


def _video(path: Path) -> "VideoFile":
    from prune_rl.acting.video_file import VideoFile

    return VideoFile(path)


def _play(
    flags: argparse.Namespace,
    runs: Sequence["LoadedRun"],
    exploration: Sequence[float],
    video: "VideoFile | None",
) -> tuple[list["Result"], dict[str, Any]]:
    """The episodes of every seed, and the games' protocol; the first go to the video."""
    from prune_rl.acting.lanes import Lanes, acting
    from prune_rl.progress import Bar
    from prune_rl.scorecard import Result

    results: list[Result] = []
    act, count = acting(runs[0].learner), flags.episodes
    total = count * len(runs)
    with Bar(f"playing {flags.game or runs[0].game}", total, words=_in_episodes) as bar:
        for run in runs:
            lanes = Lanes(
                run,
                count,
                act=act,
                number=flags.random_seed,
                exploration=exploration,
                game=flags.game,
            )
            with closing(lanes):
                filmed: list[Played] = []
                if video is not None and not results:
                    filmed = _film(video, flags.video_episodes or 1, lanes, bar.advance)
                played = lanes.play(count - len(filmed), tell=bar.advance)
            results.append(Result(run, [*filmed, *played]))
    return results, lanes.protocol


def _in_episodes(count: float) -> str:
    return f"{count:,.3g} episodes"


def _film(
    video: "VideoFile", episodes: int, lanes: "Lanes", tell: Callable[[int], None]
) -> list["Played"]:
    """The first episodes, one after another, as the video has them."""
    from prune_rl.acting.film import Film

    filmed: list[Played] = []
    film = Film(video, lanes)
    for _ in range(episodes):
        filmed += lanes.play(1, watch=film, tell=tell)
        film.end(filmed[-1])
    return filmed


if __name__ == "__main__":
    raise SystemExit(main())
