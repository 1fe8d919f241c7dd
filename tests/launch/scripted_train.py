"""Stands in for `prune_rl.train`: does what a script says, and keeps a journal of it.

SCRIPTED is a folder: script.json has, by cell, what its attempts do, the last again and again;
journal has a line of JSON for every beginning, end and signal.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["SCRIPTED"])
(DIRECTORY,) = (Path(x.partition("=")[2]) for x in sys.argv[1:] if x.startswith("--base_dir="))
NAMES = [x.partition("=")[2] for x in sys.argv[1:] if x.startswith("--cell=")]
NAME = NAMES[0] if NAMES else DIRECTORY.name
ITERATIONS, STEPS = 2, 100


def note(what, **more):
    line = json.dumps({"cell": NAME, "what": what, "at": time.monotonic(), **more})
    with (FOLDER / "journal").open("a") as file:
        file.write(f"{line}\n")


def write(iterations):
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / "config.gin").write_text(
        f"Runner.num_iterations = {ITERATIONS}\nRunner.num_seeds = 1\nRunner.seed = 0\n"
        f"Runner.training_steps = {STEPS}\n"
    )
    for i in range(iterations):
        row = {"seed": 0, "iteration": i, "phase": "train", "clock": "agent_steps"}
        row |= {"agent_steps": (i + 1) * STEPS}
        for name, more in (
            ("metrics", {"episode_return_mean": 5.0 + i}),
            ("timing", {"agent_steps_per_second": 50.0}),
        ):
            with (DIRECTORY / f"{name}.jsonl").open("a") as file:
                file.write(json.dumps(row | more) + "\n")


def stop(number, frame):
    note("saved")
    print("SIGTERM: saved after 100 agent steps; the same command goes on", flush=True)
    sys.exit(75)


def wait():
    while not (FOLDER / "go").exists():
        time.sleep(0.01)


def finish():
    for name in ("metrics.jsonl", "timing.jsonl"):
        (DIRECTORY / name).unlink(missing_ok=True)
    write(ITERATIONS)


def do(what):
    if what == "finish":
        finish()
    elif what == "finish when told":
        signal.signal(signal.SIGTERM, stop)
        note("ready")
        wait()
        finish()
    elif what == "hold":  # as a training holds its directory
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        write(1)
        with (DIRECTORY / "lock").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            note("ready")
            wait()
    elif what == "save":
        write(1)
        print("SIGUSR1: saved after 100 agent steps; the same command goes on")
        return 75
    elif what == "crash":
        print("prune_rl.train: unexpected\nOSError: it broke")
        return 1
    elif what == "mistake":
        print("prune_rl.train: --base_dir: holds a run with other settings")
        return 2
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork():  # its child, too
            note("ready")
        time.sleep(60)
    elif what == "leave a child":
        if not os.fork():
            note("child", pid=os.getpid())
            time.sleep(60)
        time.sleep(0.1)
        finish()
    return 0


def main():
    count = sum(
        json.loads(x)["cell"] == NAME and json.loads(x)["what"] == "began"
        for x in (FOLDER / "journal").read_text().splitlines()
    )
    told = json.loads((FOLDER / "script.json").read_text())
    script = told.get(NAME, told.get("*", ["finish"]))
    note(
        "began",
        pid=os.getpid(),
        cores=sorted(os.sched_getaffinity(0)),
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES"),
        share=os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION"),
    )
    code = do(script[min(count, len(script) - 1)])
    note("ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
