"""Puts deliberate faults into copies of the project, one at a time, and sees whether tests fail.

    python tests/mutations/run.py                     # all of them, on two cores
    python tests/mutations/run.py --only=epsilon      # those whose name holds the word

Prints a line for each fault with the test that killed it, writes them to --out, and exits with 1
if fewer than 95 % were killed. The project's own files are never changed.
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).parent / "faults"
_NEEDED = ("prune_rl", "launch", "gin_configs", "tests", "results", "benchmarks")
_NEEDED += ("docs", "examples", "notebooks", ".ci")
_FILES = ("pyproject.toml", "setup.cfg", "setup.py", "README.md", "LICENSE")
_FILES += ("quickstart.sh", "run_tests.sh", "constraints.txt", "mkdocs.yml")
_FILES += ("CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md")
_TIMEOUT = 300  # seconds; tests that reach it have not killed a fault
_ENOUGH = 0.95


class Fault(NamedTuple):
    """A unique piece of a file, what to put in its place, and the tests that should fail."""

    name: str
    file: str
    text: str
    fault: str
    tests: list[str]


class Verdict(NamedTuple):
    """`killed_by`: the first test that failed, empty if none did or time ran out."""

    fault: Fault
    killed_by: str
    seconds: float


def load_faults() -> list[Fault]:
    """All faults, in the order of the files and within them."""
    tables = [tomllib.loads(path.read_text()) for path in sorted(FAULTS.glob("*.toml"))]
    return [Fault(**own) for table in tables for own in table["fault"]]


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a fault's name or file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the verdicts to this CSV file")
    flags = parser.parse_args()
    chosen = [own for own in load_faults() if flags.only in own.name or flags.only in own.file]
    with tempfile.TemporaryDirectory() as scratch:
        # Most programs are the same with a fault as without.
        os.environ.setdefault("PRUNE_RL_TEST_CACHE", f"{scratch}/compiled")
        copies = [_copy(Path(scratch) / str(i)) for i in range(flags.workers)]
        tests = sorted({test for fault in chosen for test in fault.tests})
        failed = _first_failure(copies[0], tests)
        if failed:
            print(f"without any fault {failed} fails: mend that first", file=sys.stderr)
            return 2
        verdicts = list(_judge_all(chosen, copies))
    killed = sum(bool(own.killed_by) for own in verdicts)
    print(f"{killed} of {len(verdicts)} faults killed ({killed / max(len(verdicts), 1):.1%})")
    if flags.out:
        _write(verdicts, flags.out)
    return 0 if killed >= _ENOUGH * len(verdicts) else 1


def _judge_all(faults: Sequence[Fault], copies: Sequence[Path]) -> Iterator[Verdict]:
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(fault: Fault) -> Verdict:
        copy = free.get()
        try:
            return _judge(fault, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for number, verdict in enumerate(pool.map(judge, faults), start=1):
            late = verdict.seconds >= _TIMEOUT
            outcome = verdict.killed_by or ("TIME LIMIT" if late else "SURVIVED")
            head = f"{number}/{len(faults)} {verdict.fault.file}: {verdict.fault.name}"
            print(f"{head}: {outcome} ({verdict.seconds:.0f} s)", flush=True)
            yield verdict


def _judge(fault: Fault, copy: Path) -> Verdict:
    started, path = time.monotonic(), copy / fault.file
    sound = path.read_text()
    path.write_text(sound.replace(fault.text, fault.fault))
    try:
        killed_by = _first_failure(copy, fault.tests, _TIMEOUT)
    except subprocess.TimeoutExpired:
        killed_by = ""
    finally:
        path.write_text(sound)
    return Verdict(fault, killed_by, time.monotonic() - started)


def _first_failure(copy: Path, tests: Sequence[str], timeout: float | None = None) -> str:
    """The first of the tests that fails in that copy; empty if all pass."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=timeout)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found[1] if found else f"pytest's exit code {done.returncode}"


def _copy(target: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in _NEEDED:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in _FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, target / name)
    return target


def _write(verdicts: Sequence[Verdict], out: Path) -> None:
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "fault", "killed_by"))
        for own in verdicts:
            writer.writerow((own.fault.file, own.fault.name, own.killed_by))


if __name__ == "__main__":
    sys.exit(main())
