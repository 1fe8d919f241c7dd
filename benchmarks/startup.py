"""What passes between the start of a training and its first update, cold and warm.

Run: python benchmarks/startup.py [--only NAME] [--rounds 3] [--out startup.json]

Every start is `python -m prune_rl.train` in a process of its own, with the flags of a real run but
for its warm-up, which is 40 agent steps. Seconds from the start of the process, wall and CPU; cold
with an empty compilation cache, warm (the least of all rounds) with the one that this filled. A run
begins with a first checkpoint, then measures itself ("priced") and goes back: "update" is the first
after that, "first update" the first of all, both waited for.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PONG = ('create_atari_environment.game_name="Pong"', "Runner.num_iterations=40")
_RUNS = {
    "MinAtar, 3 seeds": (["experiments/minatar_breakout.gin"], ["Runner.num_seeds=3"]),
    "Pong, Nature": (["agents/dqn.gin", "networks/nature.gin"], _PONG),
    "Pong, Impala": (["agents/dqn.gin", "networks/impala.gin"], _PONG),
}
_MARKS = ("imported", "first program", "made", "saved", "first update", "priced", "update")


def start(name: str, folder: Path) -> dict[str, dict[str, float]]:
    """Marks of one start, with the compilation cache below `folder`."""
    files, bindings = _RUNS[name]
    argv = [f"--gin_files={x}" for x in (*files, "pruning/magnitude.gin")]
    argv += [f"--gin_bindings={x}" for x in (*bindings, "DQNAgent.min_replay_history=40")]
    own = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    with tempfile.TemporaryDirectory() as run:
        done = subprocess.run(
            [sys.executable, __file__, "--child", f"--base_dir={run}/run", *argv],
            env=own | {"XDG_CACHE_HOME": str(folder), "BEGAN": str(time.monotonic())},
            stdout=subprocess.PIPE,
            check=True,
        )
    marks: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return marks


def child(argv: Sequence[str]) -> None:
    """Trains until its first update after the price, prints its marks and ends."""
    marks: dict[str, dict[str, float]] = {}

    def mark(name: str) -> None:
        wall = time.monotonic() - float(os.environ["BEGAN"])
        marks.setdefault(name, {"wall": wall, "cpu": time.process_time()})

    from prune_rl import malloc, train

    malloc.keep_memory()
    import jax

    from prune_rl import composition, session, trainer

    mark("imported")
    marked(composition, "compose", lambda own: mark("made"))
    marked(session.Session, "start", lambda own: mark("saved"))
    marked(session.Session, "restore", lambda own: "saved" in marks and mark("priced"))

    def learned(own: trainer.Trainer) -> None:
        jax.block_until_ready(own.agent_state)
        mark("first update")
        if "priced" in marks:
            mark("update")
            print(json.dumps(marks), flush=True)
            os._exit(0)

    marked(trainer.Trainer, "learn", learned)
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: event.endswith("backend_compile_duration") and mark("first program")
    )
    train.main(argv)


def marked(owner: Any, name: str, after: Callable[[Any], Any]) -> None:
    """Lets `after` be told the first argument of that function whenever it has returned."""
    function = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        after(args[0])
        return result

    setattr(owner, name, call)


def measure(name: str, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Marks of a cold start, and the least of those of warm ones."""
    with tempfile.TemporaryDirectory() as folder:
        cold = start(name, Path(folder))
        warm = [start(name, Path(folder)) for _ in range(rounds)]
    least = {m: {k: min(own[m][k] for own in warm) for k in cold[m]} for m in cold}
    return {"cold": cold, "warm": least}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=list(_RUNS), help="one of the runs")
    parser.add_argument("--rounds", type=int, default=3, help="warm starts of each")
    parser.add_argument("--out", type=Path, help="where to write the numbers as JSON")
    flags = parser.parse_args()
    results = {}
    print(f"| run | start | {' | '.join(_MARKS)} |\n|{' --- |' * (2 + len(_MARKS))}")
    for name in [flags.only] if flags.only else _RUNS:
        results[name] = measure(name, flags.rounds)
        for kind, marks in results[name].items():
            cells = [f"{marks[m]['wall']:.1f} ({marks[m]['cpu']:.1f})" for m in _MARKS]
            print(f"| {name} | {kind} | {' | '.join(cells)} |", flush=True)
        if flags.out:
            flags.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
