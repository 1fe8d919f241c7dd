"""A process that saves and is killed; run by test_killed_checkpoints.py, with the package's root.

python killed.py loop DIRECTORY    saves for ever; prints a number once that one is written
python killed.py each DIRECTORY    is killed before each of its file operations, one by one,
                                   and prints what is restored then: "operation saves"
"""

import itertools
import os
import shutil
import sys
from pathlib import Path

from prune_rl.recording.checkpoints import Checkpointer
from tests.recording import growing
from tests.recording.growing import Game


def main() -> None:
    {"loop": _loop, "each": _each}[sys.argv[1]](Path(sys.argv[2]))


def _loop(root: Path) -> None:
    checkpointer, game = Checkpointer(root), Game((40, 25))
    checkpointer.restore(game.take_up)
    print("ready", flush=True)
    while True:
        for _ in range(5):
            checkpointer.before_step()
            game.play(2, 1)
        checkpointer.save(game.checkpoint())
        checkpointer.wait()
        print(growing.numbers(root)[-1], flush=True)


def _each(root: Path) -> None:
    os.fsync = lambda descriptor: None  # killed, not without power
    _in_a_child(lambda: _begin(root / "0"))  # threads and forks do not mix
    for count in itertools.count(1):
        own = root / str(count)
        shutil.copytree(root / "0", own)
        killed = _in_a_child(lambda own=own, count=count: _save_until(own, count))
        game = Game()
        checkpointer = Checkpointer(own)
        assert checkpointer.restore(game.take_up)
        print(count, (sum(game.cursors()) + 2) // 16, flush=True)
        _in_a_child(lambda own=own: _save_until(own, None))
        assert checkpointer.restore(Game().take_up)
        assert len(growing.numbers(own)) == 2
        shutil.rmtree(own)
        if not killed:
            return


def _begin(root: Path) -> None:
    checkpointer, game = Checkpointer(root), Game()
    for _ in range(4):
        _save(checkpointer, game)


def _save(checkpointer: Checkpointer, game: Game) -> None:
    game.play(9, 7)
    checkpointer.save(game.checkpoint())
    checkpointer.wait()


def _save_until(root: Path, count: int | None) -> None:
    """Killed before the operation of that number, if there are so many."""
    checkpointer, game = Checkpointer(root), Game()
    checkpointer.restore(game.take_up)
    left = [count]

    def watch(event: str, args: tuple) -> None:
        changes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
        if count and (changes or (event == "open" and "w" in str(args[1]))):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

    sys.addaudithook(watch)
    _save(checkpointer, game)


def _in_a_child(work) -> bool:
    """Whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9


if __name__ == "__main__":
    main()
