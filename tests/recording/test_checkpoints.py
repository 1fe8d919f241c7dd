"""What checkpoints leave on disk, read by others; what they write, and what they sweep away."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from prune_rl.recording import tensor_files
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer

from . import growing
from .growing import PATH, Game


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run" / "checkpoints"


@pytest.fixture
def checkpointer(root):
    own = Checkpointer(root)
    yield own
    own.close()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def save(checkpointer, game):
    checkpointer.save(game.checkpoint())
    checkpointer.wait()


def test_without_a_checkpoint_there_is_none(checkpointer, root):
    assert not checkpointer.restore(pytest.fail)
    assert not root.exists()


def test_a_checkpoint_is_what_its_manifest_says(checkpointer, root):
    game = Game((12, 8), piece=4)
    for played in ((7, 3), (8, 8), (4, 0)):
        game.play(*played)
        save(checkpointer, game)
    text = (root / "2" / "manifest.json").read_text()
    own = json.loads(text)["manifest"]
    digest = hashlib.sha256(json.dumps(own).encode()).hexdigest()
    assert text == json.dumps({"sha256": digest, "manifest": own})
    assert (own["format"], own["number"]) == (1, 2)
    assert own["run"] == {"cursors": game.cursors()}
    assert list(own["seeds"]) == ["4", "5"]
    for ring in game.rings:
        assert growing.stored_rows(root, 2, ring.seed) == ring.held()
        arrays = own["seeds"][str(ring.seed)]["arrays"]
        assert arrays["file"] == f"2/seed_{ring.seed}.safetensors"
        data = (root / arrays["file"]).read_bytes()
        assert arrays["bytes"] == len(data)
        assert arrays["sha256"] == hashlib.sha256(data).hexdigest()
        with safe_open(root / arrays["file"], "numpy") as file:
            assert sorted(file.keys()) == ["agent/w", "source/replay/cursor"]
            assert file.get_tensor("source/replay/cursor") == ring.cursor
            assert file.get_tensor("agent/w").tolist() == [ring.cursor + 0.5] * 3
    names = {
        x["file"] for number in (1, 2) for x in growing.records(growing.manifest(root, number))
    }
    assert growing.files(root) == names | {"1/manifest.json", "2/manifest.json"}


def test_the_newest_comes_back_in_another_process(checkpointer, root):
    game = Game()
    for _ in range(3):
        game.play(9, 4)
        save(checkpointer, game)
        assert growing.restored(Checkpointer(root), game).held() == game.held()
    assert growing.numbers(root) == [1, 2]


def test_numbers_go_on_in_the_order_of_writing(checkpointer, root):
    game = Game()
    for expected in ([0], [0, 1], *([x, x + 1] for x in range(1, 12))):
        save(checkpointer, game)
        assert growing.numbers(root) == expected
    again = Checkpointer(root)
    growing.restored(again, game)
    save(again, game)
    again.close()
    assert growing.numbers(root) == [12, 13]


def test_what_is_restored_is_nested_as_it_was_saved(checkpointer):
    state = {"a": {"b": np.arange(3), "c": {"d": np.float32(0.5)}}, "e": np.zeros((0, 2))}
    run = {"logs": {"x": 1}, "none": None, "é": [1.5, True]}
    checkpointer.save(Checkpoint({10: state, 2: {}}, run))
    checkpointer.wait()
    found = []
    assert checkpointer.restore(found.append)
    ((seeds, restored_run),) = found
    assert restored_run == run
    assert list(seeds) == [10, 2]
    assert seeds[2] == {}
    assert seeds[10]["a"]["b"].tolist() == [0, 1, 2]
    assert seeds[10]["a"]["c"]["d"].dtype == np.float32
    assert seeds[10]["e"].shape == (0, 2)


def test_json_of_the_run_is_of_the_moment_of_saving(checkpointer, monkeypatch):
    """Whoever goes on to change it, and whatever its keys are."""
    run = {"logs": {2: 20, 10: 100}}
    write = tensor_files.write_bytes

    def changed(*args):
        run["logs"][2] = 99
        return write(*args)

    monkeypatch.setattr(tensor_files, "write_bytes", changed)
    checkpointer.save(Checkpoint({0: {"a": np.zeros(1)}}, run))
    checkpointer.wait()
    found = []
    checkpointer.restore(found.append)
    assert found[0].run == {"logs": {"2": 20, "10": 100}}


@pytest.mark.parametrize("value", [float("nan"), Path("x"), np.int64(3)])
def test_what_json_cannot_hold_is_refused_at_once_and_nothing_written(checkpointer, root, value):
    with pytest.raises((TypeError, ValueError)):
        checkpointer.save(Checkpoint({0: {"a": np.zeros(1)}}, {"x": value}))
    checkpointer.wait()
    assert not root.exists()


def test_rows_are_written_once(checkpointer, root):
    """Files stay the same to inode and time; every new one holds new rows only."""
    game, before = Game((40, 20), piece=7), {}
    for played in ((15, 4), (9, 9), (0, 0), (12, 1), (30, 6), (17, 2)):
        on_disk = [max(ring.cursor, 0) for ring in game.rings]
        game.play(*played)
        save(checkpointer, game)
        now = growing.row_files(root)
        assert {name: now[name] for name in now.keys() & before.keys()} == {
            name: before[name] for name in now.keys() & before.keys()
        }
        written = 0
        for name in now.keys() - before.keys():
            with safe_open(root / name, "numpy") as file:
                written += len(file.get_tensor("numbers"))
        new = [
            min(ring.cursor - own, ring.capacity - 1)
            for ring, own in zip(game.rings, on_disk, strict=True)
        ]
        assert written == sum(new)
        before = now


@pytest.mark.parametrize("played", [(3, 3), (12, 1), (40, 40)])
def test_files_that_no_kept_checkpoint_needs_are_swept_away(checkpointer, root, played):
    game = Game()
    for _ in range(6):
        game.play(*played)
        save(checkpointer, game)
        kept = growing.numbers(root)
        assert len(kept) <= 2
        named = {x["file"] for n in kept for x in growing.records(growing.manifest(root, n))}
        assert growing.files(root) == named | {f"{n}/manifest.json" for n in kept}


def test_litter_of_a_killed_process_is_swept_away_and_nothing_else(checkpointer, root):
    game = Game()
    save(checkpointer, game)
    litter = ("1.part/seed_4.safetensors", "0.part/x", "rows/seed_4/x.safetensors.part")
    theirs = ("notes.txt", "copy of 0/manifest.json")
    for name in (*litter, *theirs):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"half")
    save(checkpointer, game)
    assert not {*litter} & growing.files(root)
    assert {*theirs} <= growing.files(root)
    assert growing.restored(Checkpointer(root), game).held() == game.held()


def test_what_cannot_be_removed_stays_and_fails_nothing(checkpointer, root, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    game = Game()
    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(5):
        game.play(9, 9)
        save(checkpointer, game)
    monkeypatch.undo()
    assert growing.restored(Checkpointer(root), game).held() == game.held()


def test_every_file_is_named_and_durable_before_its_manifest_and_that_before_its_checkpoint(
    checkpointer, root, monkeypatch
):
    done, rename = [], Path.rename

    def synced(descriptor):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{root}"))

    def renamed(path, target):
        done.append(f"to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    game = Game()
    game.play(4, 4)
    save(checkpointer, game)
    assert done[-6:] == [
        "/0.part/seed_5.safetensors.part",
        "/0.part",
        "/0.part/manifest.json.part",
        "/0.part",
        "to 0",
        "",
    ]
    for ring in game.rings:
        folder = f"/rows/seed_{ring.seed}/{PATH.replace('/', '.')}"
        (file,) = [x for x in done if x.startswith(f"{folder}/")]
        assert done.index(file) < len(done) - 1 - done[::-1].index(folder)


@settings(max_examples=60, deadline=None)
@given(
    capacities=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    piece=st.integers(1, 12),
    played=st.lists(st.tuples(st.integers(0, 35), st.integers(0, 35)), min_size=1, max_size=7),
)
def test_both_kept_checkpoints_hold_what_the_rings_held(
    tmp_path_factory, capacities, piece, played
):
    root = tmp_path_factory.mktemp("some") / "checkpoints"
    checkpointer, game, before = Checkpointer(root), Game(capacities, piece), None
    for number, counts in enumerate(played):
        game.play(*counts)
        save(checkpointer, game)
        held = game.held()
        for ring in game.rings:
            assert growing.stored_rows(root, number, ring.seed) == ring.held()
        assert growing.restored(Checkpointer(root), game).held() == held
        if before:
            whole = root / str(number)
            aside = whole.rename(root / "aside")
            assert growing.restored(Checkpointer(root), game).held() == before
            aside.rename(whole)
        before = held
    checkpointer.close()
