"""What is documented: the README, CONTRIBUTING.md and docs/; their blocks, and how they run."""

import atexit
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}

# Makes a page's blocks true one after another, in one process of Python.
_DRIVER = """
import json, subprocess, sys
names = {"__name__": "__main__"}
for language, text in json.load(sys.stdin):
    if language == "bash":
        if subprocess.run(["bash", "-e", "-c", text]).returncode:
            sys.exit(f"failed: {text}")
    else:
        exec(compile(text, "block", "exec"), names)
"""


def blocks(page: str) -> list[tuple[str, str]]:
    """('bash' or 'python', text) of every block of a page that is to run, in order."""
    return re.findall(r"^```(bash|python)\n(.*?)^```$", TEXTS[page], re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """Those of the bash blocks of a page, each one line."""
    texts = [text for language, text in blocks(page) if language == "bash"]
    return [text.replace("\\\n", " ").strip() for text in texts]


def command_with(page: str, word: str) -> str:
    """The one that holds a word."""
    (command,) = [command for command in commands(page) if word in command]
    return command


def run(command: str, folder: Path, more: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A command with more arguments, in a folder, by this Python."""
    line = " ".join([command, *map(shlex.quote, more)])
    return _run(["bash", "-c", line], folder, "")


def run_blocks(parts: Sequence[tuple[str, str]], folder: Path) -> subprocess.CompletedProcess[str]:
    """Blocks one after another, in a folder; those of Python share their names."""
    return _run([sys.executable, "-c", _DRIVER], folder, json.dumps(parts))


@functools.cache
def _environment() -> Path:
    """A virtual environment of this Python whose pip does nothing: ours stays as it is."""
    folder = Path(tempfile.mkdtemp(prefix="prune_rl_venv_"))
    atexit.register(shutil.rmtree, folder)
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/bash\n[ "$2" = pip ] || exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def _run(words: list[str], folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VENV": str(_environment()),
        "RUNS": str(folder / "runs/quickstart"),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # nearly all of the time is compiling
    }
    return subprocess.run(
        words, cwd=folder, env=os.environ | own, input=text, capture_output=True, text=True
    )
