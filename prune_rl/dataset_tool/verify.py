"""Says of every run of a dataset what is wrong with it, or that it is whole."""

from collections.abc import Callable, Iterable, Sequence

from prune_rl.dataset_tool.describe import name
from prune_rl.datasets.experience import Run, Share
from prune_rl.errors import ConfigError, first_line

Watch = Callable[[int], None]


def verify(
    runs: Sequence[Run],
    problems: Callable[[Run, Watch], Iterable[str]],
    say: Callable[[str], None],
    watch: Watch = lambda _: None,
) -> int:
    """Says what each run holds, and its problems below; returns how many there are.

    Checkpoints that are absent as a whole are noted, and are none.

    Args:
        problems: reads every byte of a run; each thing that is wrong, with file and offset.
        watch: told how many frames more were read; `problems` is given it.
    """
    found = parts = transitions = 0
    for run in runs:
        own_parts, own_transitions, unreadable = _outline(run)
        holds = f"{_count(own_parts, 'part')}, at most {own_transitions:,} transitions"
        say(f"{name(run)}, {run.protocol.get('format')}: {holds}")
        for absent in run.absent:
            say(f"  note: {absent}")
        wrong = 0
        for problem in problems(run, watch):
            say(f"  {problem}")
            wrong += 1
            watch(0)
        if unreadable and not wrong:
            say(f"  {unreadable}")
            wrong += 1
        found, parts = found + wrong, parts + own_parts
        transitions += own_transitions
        watch(0)
    end = _count(found, "problem") if found else _whole(runs)
    holds = f"{_count(parts, 'part')}, at most {transitions:,} transitions"
    say(f"{_count(len(runs), 'run')}, {holds}: {end}")
    return found


def _whole(runs: Sequence[Run]) -> str:
    in_part = sum(bool(run.absent) for run in runs)
    return f"whole, but {_count(in_part, 'run')} without all checkpoints" if in_part else "whole"


def _outline(run: Run) -> tuple[int, int, str | None]:
    """How many parts and transitions can be read, and what keeps them from it."""
    try:
        parts = run.parts(Share())
    except ConfigError as error:
        return 0, 0, first_line(error)
    return len(parts), sum(part.num_transitions for part in parts), None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
