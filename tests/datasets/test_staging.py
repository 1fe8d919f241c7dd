"""A directory that is filled as a whole or not at all."""

import errno
import os

import pytest

from prune_rl.datasets.staging import staged
from prune_rl.errors import ConfigError


def _names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_it_is_there_when_all_is_written(tmp_path):
    out = tmp_path / "data" / "pong"
    with staged(out) as folder:
        assert folder == out / ".partial"
        (folder / "Pong" / "1").mkdir(parents=True)
        (folder / "other").write_text("x")
        assert _names(out) == [".partial", ".partial/Pong", ".partial/Pong/1", ".partial/other"]
    assert _names(out) == ["Pong", "Pong/1", "other"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ConfigError])
@pytest.mark.parametrize("existed", [True, False])
def test_an_error_leaves_it_as_it_was(tmp_path, error, existed):
    out = tmp_path / "pong"
    if existed:
        out.mkdir()

    def fail():
        with staged(out) as folder:
            (folder / "half").write_text("x")
            raise error("no")

    with pytest.raises(error, match="no"):
        fail()
    assert _names(tmp_path) == ["pong"] * existed


@pytest.mark.parametrize("existing", ["", "aa", "aa/bb"])
def test_an_error_leaves_no_folder_that_was_made_for_it(tmp_path, existing):
    (tmp_path / existing).mkdir(parents=True, exist_ok=True)
    before = _names(tmp_path)
    with pytest.raises(ValueError, match="no"), staged(tmp_path / "aa/bb/cc"):
        raise ValueError("no")
    assert _names(tmp_path) == before
    with (
        pytest.raises(ConfigError, match="cannot be made"),
        staged(tmp_path / f"aa/bb/{'c' * 300}"),
    ):
        pytest.fail("it began")
    assert _names(tmp_path) == before


def test_folders_that_others_use_meanwhile_stay(tmp_path):
    def fail():
        with staged(tmp_path / "aa/bb/cc"):
            (tmp_path / "aa/precious").write_text("x")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert _names(tmp_path) == ["aa", "aa/precious"]


def test_a_full_disk_names_the_flag(tmp_path):
    def fail():
        with staged(tmp_path / "pong"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"^--out=.*pong: No space left on device; nothing of it"):
        fail()
    assert _names(tmp_path) == []


def test_what_is_there_is_never_touched(tmp_path):
    (tmp_path / "precious").write_text("x")
    with (
        pytest.raises(ConfigError, match=r"--out=.*: not empty, it holds 'precious'"),
        staged(tmp_path),
    ):
        pytest.fail("it began")
    assert _names(tmp_path) == ["precious"]


def test_what_a_killed_process_left_is_removed_and_said(tmp_path, capsys):
    (tmp_path / ".partial" / "Pong").mkdir(parents=True)
    (tmp_path / ".partial" / "file").write_text("x")
    with staged(tmp_path) as folder:
        assert list(folder.iterdir()) == []
    said = f"--out={tmp_path}: removed .partial, which a process that was ended had left"
    assert capsys.readouterr().err.splitlines() == [said]
    assert _names(tmp_path) == []


def test_only_one_process_writes_it(tmp_path):
    with staged(tmp_path) as folder:
        (folder / "mine").write_text("x")
        with pytest.raises(ConfigError, match="another process is writing it"), staged(tmp_path):
            pytest.fail("it began")
        assert _names(folder) == ["mine"]
    assert _names(tmp_path) == ["mine"]


@pytest.mark.parametrize("place", ["file", "file/pong", "/proc/pong"])
def test_one_that_cannot_be_made(tmp_path, place):
    (tmp_path / "file").write_text("precious")
    out = tmp_path / place
    message = f"^--out={out}: cannot be made or written to: "
    with pytest.raises(ConfigError, match=message), staged(out):
        pytest.fail("it began")
    assert (tmp_path / "file").read_text() == "precious"
