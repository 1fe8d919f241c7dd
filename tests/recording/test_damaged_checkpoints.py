"""Damage of any kind is noticed: the checkpoint before stands in, or the run is refused."""

import hashlib
import json
import os
import random
import shutil

import pytest

from prune_rl.errors import ConfigError
from prune_rl.recording.checkpoints import Checkpointer
from prune_rl.recording.tensor_files import Damaged

from . import growing
from .growing import Game

_PLAYED = ((7, 3), (8, 8), (4, 0), (5, 9))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run" / "checkpoints"


@pytest.fixture
def games(root):
    """What checkpoints 2 and 3 hold, which are kept; both rings went round."""
    checkpointer, game, games = Checkpointer(root), Game(), {}
    for number, counts in enumerate(_PLAYED):
        game.play(*counts)
        checkpointer.save(game.checkpoint())
        checkpointer.wait()
        games[number] = growing.restored(Checkpointer(root), game)
    checkpointer.close()
    assert growing.numbers(root) == [2, 3]
    return games


def found(root):
    """What is restored, or the line that refuses."""
    try:
        return growing.restored(Checkpointer(root), Game()).held()
    except ConfigError as error:
        return str(error)


def named(root, number):
    files = {own["file"] for own in growing.records(growing.manifest(root, number))}
    return files | {f"{number}/manifest.json"}


def assert_noticed(root, games, name, newest_only, err):
    """`name` is the damaged file; if only the newest checkpoint needs it, the other stands in."""
    outcome = found(root)
    if newest_only:
        assert outcome == games[2].held()
        start = f"{root.parent}: checkpoint 3 is damaged ({name}"
        (line,) = err().splitlines()
        assert line.startswith(start)
        assert line.endswith("; going on from 2")
    else:
        assert outcome.startswith(f"--base_dir={root.parent}: checkpoint 3 is damaged ({name}: ")
        assert f"; checkpoint 2 is damaged ({name}: " in outcome
        assert "\n" not in outcome
        assert not err()


def _truncated(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


_DAMAGES = {
    "truncated": _truncated,
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b" "),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_file_costs_the_checkpoints_that_need_it(root, games, tmp_path, damage, capfd):
    sound = tmp_path / "sound"
    shutil.copytree(root, sound)
    newest, older = named(root, 3), named(root, 2)
    assert newest - older
    assert newest & older
    for name in sorted(newest):
        _DAMAGES[damage](root / name)
        assert_noticed(root, games, name, name not in older, lambda: capfd.readouterr().err)
        shutil.rmtree(root)
        shutil.copytree(sound, root)
    assert found(root) == games[3].held()


def test_every_flipped_bit_is_noticed(root, games, capfd):
    names, older, rng = sorted(named(root, 3)), named(root, 2), random.Random(7)
    for flip in range(300):
        name = names[flip % len(names)]
        data = (root / name).read_bytes()
        spoilt, bit = bytearray(data), rng.randrange(8 * len(data))
        spoilt[bit // 8] ^= 1 << bit % 8
        (root / name).write_bytes(spoilt)
        assert_noticed(root, games, name, name not in older, lambda: capfd.readouterr().err)
        (root / name).write_bytes(data)
    assert found(root) == games[3].held()


def test_a_damaged_older_checkpoint_costs_nothing(root, games, capfd):
    for name in sorted(named(root, 2) - named(root, 3)):
        (root / name).write_bytes(b"")
    assert found(root) == games[3].held()
    assert not capfd.readouterr().err


def test_without_any_whole_checkpoint_the_run_is_refused(root, games):
    for number in (2, 3):
        shutil.rmtree(root / str(number))
        (root / str(number)).mkdir()
    message = found(root)
    assert "checkpoint 3 is damaged (3/manifest.json: No such file" in message
    assert "checkpoint 2 is damaged (2/manifest.json: No such file" in message
    assert "put back a copy of what is named" in message


def test_a_manifest_of_another_number_is_noticed(root, games, capfd):
    manifests = {n: (root / str(n) / "manifest.json").read_bytes() for n in (2, 3)}
    (root / "3" / "manifest.json").write_bytes(manifests[2])
    assert found(root) == games[2].held()
    assert "3/manifest.json: it is that of checkpoint 2" in capfd.readouterr().err
    (root / "2" / "manifest.json").write_bytes(manifests[3])
    assert "it is that of checkpoint 3" in found(root)


def _rewrite(root, number, **changes):
    """A manifest with other values and the digest that belongs to them."""
    own = growing.manifest(root, number) | changes
    digest = hashlib.sha256(json.dumps(own).encode()).hexdigest()
    path = root / str(number) / "manifest.json"
    path.write_text(json.dumps({"sha256": digest, "manifest": own}))


def test_another_format_is_refused_and_not_taken_for_damage(root, games):
    _rewrite(root, 3, format=2)
    expected = f"--base_dir={root.parent}: checkpoint 3 has format 2; this version reads 1"
    assert found(root) == expected


def test_an_older_checkpoint_of_another_format_stands_in_no_way(root, games):
    _rewrite(root, 2, format=0)
    assert found(root) == games[3].held()


def test_a_manifest_whose_digest_fits_is_believed(root, games):
    _rewrite(root, 3)
    assert found(root) == games[3].held()


def test_who_takes_a_checkpoint_up_may_find_it_damaged(root, games, capfd):
    """As a run does whose logs have lost what the checkpoint counts on."""
    given = []

    def take_up(checkpoint):
        given.append(checkpoint.run["cursors"])
        if len(given) == 1:
            raise Damaged("metrics.jsonl is too short")

    assert Checkpointer(root).restore(take_up)
    assert given == [games[3].cursors(), games[2].cursors()]
    reason = "checkpoint 3 is damaged (metrics.jsonl is too short); going on from 2"
    assert reason in capfd.readouterr().err


def test_another_error_of_who_takes_it_up_is_not_damage(root, games):
    def take_up(checkpoint):
        raise ConfigError("of another agent")

    with pytest.raises(ConfigError, match="of another agent"):
        Checkpointer(root).restore(take_up)


@pytest.mark.parametrize("later", [(5, 9), (1, 1), (30, 30)])
@pytest.mark.parametrize("part", ["manifest.json", "seed_4.safetensors", "rows"])
def test_after_a_fall_back_the_run_goes_on_as_if_nothing_had_been(root, games, part, later):
    """Also with rows of the same positions, whose files have the same names."""
    whole = {own["file"] for own in growing.records(growing.manifest(root, 2))}
    if part == "rows":
        spoilt = [name for name in growing.row_files(root) if name not in whole]
    else:
        spoilt = [f"3/{part}"]
    for name in spoilt:
        (root / name).write_bytes(b"spoilt")
    checkpointer = Checkpointer(root)
    game, uninterrupted = growing.restored(checkpointer, Game()), games[2]
    assert game.held() == uninterrupted.held()
    for expected, counts in (([2, 4], _PLAYED[3]), ([4, 5], later), ([5, 6], later)):
        before = game.held()
        for own in (game, uninterrupted):
            own.play(*counts)
        checkpointer.save(game.checkpoint())
        checkpointer.wait()
        assert growing.numbers(root) == expected
        assert found(root) == uninterrupted.held()
        newest = root / str(expected[-1])
        aside = newest.rename(root / "aside")
        assert found(root) == before
        aside.rename(newest)
        assert growing.files(root) == {x for n in expected for x in named(root, n)}
    checkpointer.close()


def test_a_resumed_run_keeps_the_checkpoint_before_the_one_it_resumed(root, games):
    checkpointer = Checkpointer(root)
    game = growing.restored(checkpointer, Game())
    game.play(2, 2)
    checkpointer.save(game.checkpoint())
    checkpointer.wait()
    assert growing.numbers(root) == [3, 4]
    shutil.rmtree(root / "4")
    assert found(root) == games[3].held()
    checkpointer.close()


def test_a_resumed_run_that_cannot_save_keeps_both(root, games, monkeypatch):
    checkpointer = Checkpointer(root)
    game = growing.restored(checkpointer, Game())

    def refuse(descriptor):
        raise OSError("gone")

    monkeypatch.setattr(os, "fsync", refuse)
    game.play(20, 20)
    checkpointer.save(game.checkpoint())
    with pytest.raises(OSError, match="checkpoints/4: gone"):
        checkpointer.wait()
    checkpointer.close()
    assert growing.numbers(root) == [2, 3]
    assert found(root) == games[3].held()
    shutil.rmtree(root / "3")
    assert found(root) == games[2].held()
