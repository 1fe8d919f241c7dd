"""The flags of `python -m prune_rl.datasets`, and what their help teaches."""

import re
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

from prune_rl.version import add_version

_DESCRIPTION = """\
Lists public datasets of Atari games and of robots, fetches them, checks and
describes what is on disk, and makes datasets here. Each command has a --help of
its own.
"""
_EPILOG = """\
examples:
  python -m prune_rl.datasets list
  python -m prune_rl.datasets list --game=Pong
  python -m prune_rl.datasets fetch --dataset=dqn_replay --game=Pong --run=1 --checkpoints=0-4 \\
    --out=data/dqn_replay
  python -m prune_rl.datasets verify data/dqn_replay
  python -m prune_rl.datasets describe data/dqn_replay --out=pong.png
  python -m prune_rl.datasets make --out=data/pong --format=dqn_replay --agent_steps=3000 \\
    --gin_files=agents/dqn.gin --gin_files=networks/nature.gin \\
    --gin_bindings='create_atari_environment.game_name="Pong"'

exit codes:
  0 done; 1 the disk or a server failed, or verify found problems; 2 something must be changed;
  130 and 75 a signal: the same command goes on where it can
"""
_LIST = "what public datasets there are, how large, which games they have, and where they are"
_FETCH = """\
Fetches a run of a game, several files at a time. What is cut is resumed, by the next try or by
the same command; a file is in its place only if it is whole and has its checksum, that of the
mirror's SHA256SUMS or of the run's about.json, else the server's, else gzip's own. Files that are
there are not fetched again. Of --dataset=rlu without a mirror, tensorflow-datasets fetches and
prepares all of a run, and starts anew when it is interrupted; of minari, Minari itself fetches.
"""
_FETCH_EPILOG = """\
examples:
  # what 5 % of a run is drawn from: all its checkpoints, or the first five
  python -m prune_rl.datasets fetch --dataset=dqn_replay --game=Pong --run=1 --out=data/dqn_replay
  python -m prune_rl.datasets fetch --dataset=dqn_replay --game=Pong --run=1 --checkpoints=0-4 \\
    --out=data/dqn_replay

  # from a machine of your own, where `cd data/dqn_replay; python -m http.server` runs
  # (it cannot resume within a file; nginx can)
  python -m prune_rl.datasets fetch --dataset=dqn_replay --game=Pong --run=1 \\
    --mirror=http://big-disk:8000 --out=data/dqn_replay

  # robots; where D4RL and Minari keep theirs, a training finds them by their names
  python -m prune_rl.datasets fetch --dataset=d4rl --game=halfcheetah-medium-v2 --out=data/d4rl
  python -m prune_rl.datasets fetch --dataset=minari --game=mujoco/hopper/expert-v0 \\
    --out=data/minari

  # a mirror's list of checksums, which --dataset=rlu needs of it
  find . -type f ! -name SHA256SUMS | xargs -d '\\n' sha256sum > SHA256SUMS
"""
_VERIFY = """\
Reads every byte of every run at or below a path, and names file and offset of what is wrong:
truncated gzip, wrong types, unequal lengths, impossible values, missing files. Exit code 1 if
anything is. Checkpoints of which nothing is there are noted, and are not wrong: a run may have
been fetched in part.
"""
_DESCRIBE = """\
Reads every run at or below a path, a few megabytes in memory at a time, and says what is in it:
transitions, frames, bytes, episodes, their returns (of rewards as stored, which are clipped) and
lengths, how they ended, which actions were played.
"""
_MAKE = """\
Trains an agent and writes what it sees as it goes, for others to learn from: a replay, as D4RL
calls it. With --collect_steps it writes instead what the trained agent plays afterwards, from the
start of an episode on, exploring as in training and learning nothing: so D4RL's random, medium and
expert data were made.
"""
_MAKE_EPILOG = """\
examples:
  python -m prune_rl.datasets make --out=data/breakout --format=dqn_replay --agent_steps=100000 \\
    --gin_files=experiments/minatar_breakout.gin

  # medium data of a robot: what SAC plays after 100,000 agent steps
  python -m prune_rl.datasets make --out=data/medium --format=d4rl --agent_steps=100000 \\
    --collect_steps=100000 --gin_files=agents/sac.gin --gin_files=suites/mujoco.gin \\
    --gin_bindings='create_mujoco_environment.game_name="HalfCheetah-v5"'
"""


def parser() -> ArgumentParser:
    """The command line of `python -m prune_rl.datasets`."""
    result = ArgumentParser(
        prog="python -m prune_rl.datasets",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_version(result)
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, description: str, short: str, epilog: str = "") -> ArgumentParser:
        own = commands.add_parser(
            name,
            help=short,
            description=description,
            epilog=epilog,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        text = "print Python's traceback before the line that says what went wrong"
        own.add_argument("--traceback", action="store_true", help=text)
        return own

    own = command("list", _LIST, _LIST)
    own.add_argument("--game", help="where this game is, and how to fetch it")
    _add_fetch(command("fetch", _FETCH, "download a run, resumed and checked", _FETCH_EPILOG))
    _add_path(command("verify", _VERIFY, "check every byte of what is on disk"))
    own = command("describe", _DESCRIBE, "say and draw what is in the data")
    _add_path(own)
    text = "draw returns and lengths of episodes over each run (.png, .pdf, .svg)"
    own.add_argument("--out", type=Path, metavar="PICTURE", help=text)
    own.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    _add_make(command("make", _MAKE, "train an agent and keep what it sees", _MAKE_EPILOG))
    return result


def _add_path(own: ArgumentParser) -> None:
    text = "a dataset, a game of it, or one run"
    own.add_argument("path", type=Path, metavar="PATH", help=text)


def _add_fetch(own: ArgumentParser) -> None:
    add = own.add_argument
    add(
        "--dataset", required=True, choices=("dqn_replay", "rlu", "d4rl", "minari"), help="see list"
    )
    text = "as `list` spells it; of d4rl and minari the set, as halfcheetah-medium-v2"
    add("--game", required=True, type=_name, help=text)
    add("--run", type=int, help="1 to 5; of dqn_replay and rlu")
    add("--out", required=True, type=Path, metavar="ROOT", help="GAME/RUN/... goes below it")
    text = "numbers from 0, as 0-4 or 0,10,20; default: all"
    add("--checkpoints", type=_checkpoints, metavar="LIST", help=text)
    text = "another server with the same tree; also of datasets made here"
    add("--mirror", type=_url, metavar="URL", help=text)
    add("--jobs", type=_count, default=4, metavar="N", help="files at a time; default: 4")


def _add_make(own: ArgumentParser) -> None:
    add = own.add_argument
    add("--out", required=True, type=Path, metavar="ROOT", help="a directory that is empty or new")
    text = "MinAtar: dqn_replay only; robots: d4rl or minari"
    formats = ("dqn_replay", "rlu", "d4rl", "minari")
    add("--format", required=True, choices=formats, help=text)
    text = "of training, of each seed, a run each"
    add("--agent_steps", required=True, type=_count, metavar="N", help=text)
    text = "play so many more after training, learning nothing, and keep these alone"
    add("--collect_steps", type=_count, metavar="N", help=text)
    add("--gin_files", action="append", default=[], metavar="FILE", help="as in prune_rl.train")
    text = "one gin binding, applied after the files; repeatable"
    add("--gin_bindings", action="append", default=[], metavar="'NAME=VALUE'", help=text)
    text = "rows of a file; default: 1,000,000, as published"
    add("--checkpoint_rows", type=_count, metavar="N", help=text)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_count.__name__ = "integer >= 1"  # in argparse's message


def _checkpoints(text: str) -> list[int]:
    """'0-4,7' as [0, 1, 2, 3, 4, 7]."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        span = range(int(first), int(last if dash else first) + 1)
        if not span or span[-1] > 9999:
            raise ValueError
        numbers |= set(span)
    return sorted(numbers)


_checkpoints.__name__ = "list of checkpoints, as 0-4 or 0,10,20"


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ArgumentTypeError(f"{text}: expected a URL that begins with http:// or https://")
    return text.rstrip("/")


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", text):
        raise ArgumentTypeError(f"{text!r}: expected a game, as Pong")
    return text
