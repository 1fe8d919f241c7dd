"""`python -m prune_rl.datasets`: lists, fetches, checks, describes and makes datasets."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prune_rl.dataset_tool.flags import parser
from prune_rl.errors import ConfigError
from prune_rl.last_words import last_words
from prune_rl.signals import Stopped, StopSignals

if TYPE_CHECKING:  # --help needs no NumPy
    from prune_rl.datasets.experience import Run

_RESUMES = "what came is kept, the same command resumes"
_PROBLEMS = 1  # exit code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code (2: the user must change something)."""
    flags = parser().parse_args(argv)
    try:
        return _COMMANDS[flags.command](flags)
    except BrokenPipeError:  # `list | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if flags.traceback:
            traceback.print_exc()
        line, code = last_words(error)
        print(f"prune_rl.datasets: {line}", file=sys.stderr)
        return code


def _list(flags: argparse.Namespace) -> int:
    from prune_rl.dataset_tool import catalogue, listing

    if flags.game:
        catalogue.require_any(flags.game)
        _say(catalogue.lines_of_game(flags.game))
    else:
        listing.show(sys.stdout)
    sys.stdout.flush()
    return 0


def _fetch(flags: argparse.Namespace) -> int:
    from prune_rl.dataset_tool import fetch

    if flags.dataset in ("d4rl", "minari"):
        return _fetch_vectors(flags)
    if flags.run is None:
        raise ConfigError(f"--run: not given; expected 1 to 5 of --dataset={flags.dataset}")
    if flags.dataset == "rlu" and flags.mirror is None:
        if flags.checkpoints is not None:
            raise ConfigError("--checkpoints: of --dataset=rlu, a --mirror alone can give a few")
        print(f"prepared: {fetch.rlu(flags.out, flags.game, flags.run)}")
        return 0
    one = fetch.dqn_replay if flags.dataset == "dqn_replay" else fetch.rlu_mirror
    with StopSignals() as stop:
        fetched = one(
            flags.out,
            flags.game,
            flags.run,
            checkpoints=flags.checkpoints,
            mirror=flags.mirror,
            jobs=flags.jobs,
            check=_check(stop, _RESUMES),
        )
    _say(fetch.lines(fetched))
    return 0


def _fetch_vectors(flags: argparse.Namespace) -> int:
    from prune_rl.dataset_tool import fetch, fetch_vectors

    for name in ("run", "checkpoints"):
        if getattr(flags, name) is not None:
            raise ConfigError(f"--{name}: --dataset={flags.dataset} has no {name}s; leave it out")
    if flags.dataset == "minari" and flags.mirror is None:
        print(f"fetched: {fetch_vectors.minari(flags.out, flags.game)}")
        return 0
    one = fetch_vectors.d4rl if flags.dataset == "d4rl" else fetch_vectors.minari_mirror
    with StopSignals() as stop:
        check = _check(stop, _RESUMES)
        fetched = one(flags.out, flags.game, mirror=flags.mirror, jobs=flags.jobs, check=check)
    _say(fetch.lines(fetched))
    return 0


def _verify(flags: argparse.Namespace) -> int:
    from prune_rl.dataset_tool.verify import verify
    from prune_rl.progress import Bar, in_numbers

    with _reading():
        runs = _find_runs(flags.path)
        total = sum(map(_num_rows, runs))
        with Bar("verifying", total, words=in_numbers) as bar:
            problems = verify(runs, _problems, partial(print, flush=True), bar.advance)
    return _PROBLEMS if problems else 0


def _describe(flags: argparse.Namespace) -> int:
    from prune_rl.dataset_tool import describe
    from prune_rl.progress import Bar, in_numbers

    _require_writable(flags)
    with _reading():
        runs = _find_runs(flags.path)
        total = sum(describe.num_transitions(run) for run in runs)
        with Bar("reading", total, words=in_numbers) as bar:
            found = [describe.describe(run, bar.advance) for run in runs]
    for description in found:
        _say(describe.lines(description))
    if flags.json:
        flags.json.write_text(json.dumps([describe.as_json(x) for x in found], indent=2) + "\n")
    if flags.out:
        from prune_rl.reporting.figures import save

        save(describe.draw(found), flags.out)
        print(f"wrote {flags.out}")
    return 0


def _make(flags: argparse.Namespace) -> int:
    from prune_rl import compilation_cache, malloc
    from prune_rl.dataset_tool.making import create_runner, make

    if not flags.gin_files:
        raise ConfigError("--gin_files: none given; start from --gin_files=agents/dqn.gin (--help)")
    if flags.checkpoint_rows is not None and flags.format in ("d4rl", "minari"):
        problem = f"a run of --format={flags.format} is one file; leave it out"
        raise ConfigError(f"--checkpoint_rows={flags.checkpoint_rows}: {problem}")
    malloc.keep_memory()
    compilation_cache.enable()
    create = partial(
        create_runner,
        gin_files=flags.gin_files,
        gin_bindings=flags.gin_bindings,
        agent_steps=flags.agent_steps,
    )
    rows = {} if flags.checkpoint_rows is None else {"checkpoint_rows": flags.checkpoint_rows}
    made = make(
        flags.out,
        format=flags.format,
        agent_steps=flags.agent_steps,
        collect_steps=flags.collect_steps,
        create_runner=create,
        **rows,
    )
    print(made)
    return 0


def _find_runs(path: Path) -> "Sequence[Run]":
    from prune_rl.datasets.finding import find_runs

    return find_runs("PATH", path)


def _problems(run: "Run", watch: Callable[[int], None]) -> Iterable[str]:
    found: Iterable[str] = _format_of(run).problems(run, watch)
    return found


def _num_rows(run: "Run") -> int:
    count: int = _format_of(run).num_rows(run)
    return count


def _format_of(run: "Run") -> Any:
    """The module that reads the format of a run."""
    from prune_rl.datasets import d4rl, dqn_replay, minari, rlu

    modules = {"dqn_replay": dqn_replay, "rl_unplugged": rlu, "d4rl": d4rl, "minari": minari}
    return modules[run.protocol["format"]]


def _require_writable(flags: argparse.Namespace) -> None:
    """Reading may take an hour: what cannot be written is said before."""
    for flag, path in (("--out", flags.out), ("--json", flags.json)):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{flag}={path}: there is no directory {path.parent}")
    if flags.out is not None:
        from matplotlib.backend_bases import FigureCanvasBase

        known = FigureCanvasBase.filetypes
        if flags.out.suffix.removeprefix(".") not in known:
            expected = f"expected a name ending in {', '.join(known)}"
            raise ConfigError(f"--out={flags.out}: {expected}")


@contextmanager
def _reading() -> Iterator[None]:
    """Within, a signal ends the command at once: nothing is written that could be half."""
    with StopSignals() as stop, stop.raising("not all was read"):
        yield


def _check(stop: StopSignals, stands: str) -> Callable[[], None]:
    def check() -> None:
        if stop.received is not None:
            raise Stopped(stop.received, stands)

    return check


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "fetch": _fetch,
    "verify": _verify,
    "describe": _describe,
    "make": _make,
}
