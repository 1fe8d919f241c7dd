"""One file from a server that does what servers do."""

import errno
import fcntl
import gzip
import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from prune_rl.dataset_tool import download, server
from prune_rl.dataset_tool.download import Corrupt, Wanted
from prune_rl.dataset_tool.server import Missing, Unreachable
from prune_rl.errors import ConfigError

from .faulty_server import FaultyServer

_NAME = "a/$store$_action_ckpt.0.gz"
_QUOTED = "a/%24store%24_action_ckpt.0.gz"
_NOISE = np.random.default_rng(0).bytes(100_000)  # gzip makes nothing of it
_PACKED = gzip.compress(_NOISE, mtime=0)
_OTHER = gzip.compress(_NOISE[::-1], mtime=0)
_SIZE = len(_PACKED)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(server, "_LONGEST_PAUSE", 0.01)


@pytest.fixture
def faulty():
    faulty = FaultyServer()
    faulty.files[_NAME] = _PACKED
    yield faulty
    faulty.close()


@pytest.fixture
def wanted(faulty, tmp_path):
    return Wanted(f"{faulty.url}/{_QUOTED}", tmp_path / "run" / Path(_NAME).name)


def _download(wanted, watch=lambda count: None):
    download.download(wanted, server.ask(wanted.url), watch)


def _left(wanted):
    return sorted(path.name for path in wanted.path.parent.iterdir())


def _assert_whole(wanted, body=_PACKED):
    assert wanted.path.read_bytes() == body
    assert _left(wanted) == [wanted.path.name]


def test_a_file_comes_whole_and_every_byte_is_told_of(faulty, wanted):
    told = []
    _download(wanted, told.append)
    _assert_whole(wanted)
    assert sum(told) == _SIZE
    assert faulty.gets(_NAME) == [None]


def test_what_is_cut_goes_on_where_it_was_cut(faulty, wanted):
    faulty.cuts[_NAME] = [30_000, 1, 0, 50_000]
    told = []
    _download(wanted, told.append)
    _assert_whole(wanted)
    spans = [None, "bytes=30000-", "bytes=30001-", "bytes=30001-", "bytes=80001-"]
    assert faulty.gets(_NAME) == spans
    assert faulty.conditions == [faulty.etag(_NAME)] * 4
    assert faulty.sent[_NAME] == sum(told) == _SIZE


def test_as_long_as_something_comes_it_is_not_given_up(faulty, wanted):
    faulty.cuts[_NAME] = [5_000] * 15
    _download(wanted)
    _assert_whole(wanted)
    assert faulty.sent[_NAME] == _SIZE


def test_without_ranges_it_comes_anew(faulty, wanted):
    faulty.ranges, faulty.cuts[_NAME] = False, [30_000]
    told = []
    _download(wanted, told.append)
    _assert_whole(wanted)
    assert faulty.sent[_NAME] == 30_000 + _SIZE
    assert sum(told) == _SIZE


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_the_time_of_the_last_change_will_do(faulty, wanted, etag):
    faulty.etags[_NAME], faulty.cuts[_NAME] = etag, [30_000]
    faulty.modified = "Wed, 01 Apr 2020 10:00:00 GMT"
    _download(wanted)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None, "bytes=30000-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_where_versions_cannot_be_told_apart_nothing_is_resumed(faulty, wanted, etag):
    faulty.etags[_NAME], faulty.cuts[_NAME] = etag, [30_000]
    _download(wanted)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None, None]


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("asked_anew", [True, False])
def test_a_file_that_changed_is_not_spliced(faulty, wanted, if_range, asked_anew, monkeypatch):
    """Neither of the same length, nor by a server that does not heed If-Range, nor unchecked."""
    monkeypatch.setattr(download, "_fault", lambda *args, **kwargs: None)
    faulty.cuts[_NAME], faulty.if_range = [30_000], if_range
    assert len(_OTHER) == _SIZE
    ask, pause, old = server.ask, server.pause, server.ask(wanted.url)
    stale = [] if asked_anew else [old]  # it changes between the question and the transfer

    def change(*args):
        faulty.files[_NAME] = _OTHER
        pause(*args)

    monkeypatch.setattr(server, "pause", change)
    monkeypatch.setattr(server, "ask", lambda url: stale.pop() if stale else ask(url))
    download.download(wanted, old, lambda count: None)
    _assert_whole(wanted, _OTHER)


def test_another_length_is_another_file(faulty, wanted):
    """Resumed by a later call, of a server that says neither ETag nor If-Range right."""
    faulty.etags[_NAME] = '"always the same"'
    faulty.cuts[_NAME], faulty.failures[_NAME] = [30_000], []
    with pytest.raises(RuntimeError):
        _download(wanted, _raise_after(30_000))
    faulty.files[_NAME] = shorter = gzip.compress(_NOISE[:20_000])
    _download(wanted)
    _assert_whole(wanted, shorter)


def _raise_after(most):
    come = 0

    def watch(count):
        nonlocal come
        come += count
        if come >= most:
            raise RuntimeError("stopped")

    return watch


def test_a_later_call_goes_on(faulty, wanted):
    with pytest.raises(RuntimeError, match="stopped"):
        _download(wanted, _raise_after(40_000))
    assert not wanted.path.exists()
    (part,) = wanted.path.parent.iterdir()
    assert part.name.startswith(wanted.path.name)
    assert part.suffix == ".part"
    have = part.stat().st_size
    assert have >= 40_000
    assert part.read_bytes() == _PACKED[:have]
    assert download.kept(wanted, server.ask(wanted.url)) == have
    _download(wanted)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None, f"bytes={have}-"] or have == _SIZE


def test_all_that_came_before_a_kill_only_lacked_its_name(faulty, wanted):
    _download(wanted)
    offer = server.ask(wanted.url)
    wanted.path.rename(download._part(wanted, offer))
    download.download(wanted, offer, lambda count: None)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None]


def test_what_is_corrupt_is_fetched_once_more(faulty, wanted):
    faulty.spoils[_NAME], faulty.md5 = 1, True
    told = []
    _download(wanted, told.append)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None, None]
    assert sum(told) == _SIZE


@pytest.mark.parametrize("kind", ["sha256", "md5", "gzip"])
def test_corrupt_twice_is_said_with_both_checksums_and_deleted(faulty, wanted, kind):
    faulty.spoils[_NAME], faulty.md5 = 2, kind == "md5"
    middle = _SIZE // 2
    spoilt = _PACKED[:middle] + bytes([_PACKED[middle] ^ 0x10]) + _PACKED[middle + 1 :]
    if kind == "sha256":
        wanted = wanted._replace(sha256=hashlib.sha256(_PACKED).hexdigest())
    with pytest.raises(Corrupt) as caught:
        _download(wanted)
    said = str(caught.value)
    assert str(wanted.path) in said
    assert wanted.url in said
    assert "\n" not in said
    assert _left(wanted) == []
    if kind == "gzip":
        assert "not a whole gzip file" in said
    else:
        for body in (_PACKED, spoilt):
            assert hashlib.new(kind, body).hexdigest() in said


def test_a_right_checksum_does_not_make_gzip_whole(faulty, wanted):
    """The mirror itself may have summed up what is broken."""
    faulty.files[_NAME] = _PACKED[:-3]
    wanted = wanted._replace(sha256=hashlib.sha256(_PACKED[:-3]).hexdigest())
    with pytest.raises(Corrupt, match="not a whole gzip file"):
        _download(wanted)
    assert _left(wanted) == []


def test_the_lists_checksum_wins_over_the_servers(faulty, wanted):
    faulty.md5 = True
    with pytest.raises(Corrupt, match=r"its sha256 is .*, expected 00"):
        _download(wanted._replace(sha256="00"))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_what_passes_is_waited_for(faulty, wanted, status):
    offer = server.ask(wanted.url)
    faulty.failures[_NAME] = [status, status]
    download.download(wanted, offer, lambda count: None)
    _assert_whole(wanted)
    faulty.failures[_NAME] = [status, status]
    assert server.ask(wanted.url) == offer


def test_a_server_that_keeps_failing_is_given_up_and_what_came_is_kept(faulty, wanted):
    offer = server.ask(wanted.url)
    faulty.cuts[_NAME] = [30_000] + [0] * 6
    with pytest.raises(
        OSError, match=r"given up after 6 tries; .*the same command resumes"
    ) as caught:
        download.download(wanted, offer, lambda count: None)
    assert wanted.url in str(caught.value)
    assert "30,000 of " in str(caught.value)
    assert download.kept(wanted, offer) == 30_000
    faulty.cuts[_NAME] = []
    _download(wanted)
    _assert_whole(wanted)


@pytest.mark.parametrize(("status", "error"), [(404, Missing), (410, Missing), (403, ConfigError)])
def test_what_no_try_mends_is_said_at_once(faulty, wanted, status, error):
    faulty.failures[_NAME] = [status] * 2
    with pytest.raises(error):
        server.ask(wanted.url)
    assert len(faulty.asked) == 1


def test_nobody_there_is_said_at_once_or_after_some_patience(faulty, wanted):
    faulty.close()
    with pytest.raises(Unreachable, match=r"http://127.*: no connection \(Connection refused\)"):
        server.ask(wanted.url, patient=False)
    with pytest.raises(OSError, match="Connection refused; given up after 6 tries"):
        server.ask(wanted.url)


def test_a_file_is_there_only_with_its_size_and_checksum(faulty, wanted):
    offer = server.ask(wanted.url)
    assert not download.is_there(wanted, offer)
    wanted.path.parent.mkdir()
    spoilt = _PACKED[:50_000] + b"x" + _PACKED[50_001:]
    for body, there in ((_PACKED, True), (_PACKED[:-1], False), (spoilt, False)):
        wanted.path.write_bytes(body)
        assert download.is_there(wanted, offer) == there
        summed = wanted._replace(sha256=hashlib.sha256(_PACKED).hexdigest())
        assert download.is_there(summed, offer) == there
    wanted.path.write_bytes(_OTHER)  # as long, and whole
    faulty.md5 = True
    assert not download.is_there(wanted, server.ask(wanted.url))


def test_a_full_disk_is_said_and_what_came_is_kept(faulty, wanted, monkeypatch):
    opened = Path.open

    def open_on_full_disk(self, mode="r", *args, **kwargs):
        file = opened(self, mode, *args, **kwargs)
        return _Full(file) if self.suffix == ".part" and "a" in mode else file

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with pytest.raises(OSError, match=r"\.part: No space left on device; .*same command resumes"):
        _download(wanted)
    assert not wanted.path.exists()
    have = download.kept(wanted, server.ask(wanted.url))
    assert 0 < have < _SIZE
    monkeypatch.undo()
    _download(wanted)
    _assert_whole(wanted)
    assert faulty.gets(_NAME) == [None, f"bytes={have}-"]


class _Full:
    """A file that takes 20,000 bytes."""

    def __init__(self, file):
        self._file, self.name = file, file.name

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, block):
        left = 20_000 - self._file.tell()
        self._file.write(block[:left])
        if len(block) > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_two_do_not_write_one_file(faulty, wanted):
    offer = server.ask(wanted.url)
    wanted.path.parent.mkdir()
    part = download._part(wanted, offer)
    part.write_bytes(_PACKED[:1000])
    with part.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process is fetching it"):
            download.download(wanted, offer, lambda count: None)
        assert part.read_bytes() == _PACKED[:1000]
    _download(wanted)
    _assert_whole(wanted)


def test_google_is_asked_not_to_unpack(faulty, wanted):
    seen = []
    handler = faulty._server.RequestHandlerClass
    answer = handler._answer
    handler._answer = lambda self, method: (seen.append(dict(self.headers)), answer(self, method))
    _download(wanted)
    assert {headers["Accept-Encoding"] for headers in seen} == {"gzip"}


def test_files_come_beside_one_another(faulty, tmp_path):
    """Neither waits for the other: each block waits for both to be under way."""
    both = threading.Barrier(2, timeout=10)
    faulty.files = dict.fromkeys(("x.gz", "y.gz"), _PACKED)
    faulty.watch = lambda path: faulty.sent[path] or both.wait()
    files = [Wanted(f"{faulty.url}/{name}", tmp_path / name) for name in faulty.files]
    threads = [threading.Thread(target=_download, args=(one,)) for one in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one.path.read_bytes() == _PACKED for one in files)
