"""A run from a mirror, however it fails: what is on disk at the end, and at any time before."""

import gzip
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from prune_rl.dataset_tool import catalogue, command, fetch, server
from prune_rl.errors import ConfigError

from .faulty_server import FaultyServer

_RUN = "Pong/1/replay_logs"
_KINDS = [f"$store$_{kind}" for kind in ("observation", "action", "reward", "terminal")]
_KINDS += ["add_count", "invalid_range"]
_RLU = "rlu_atari_checkpoints_ordered/Pong_run_1/1.1.0"


def _tree(checkpoints, size=20_000):
    noise = np.random.default_rng(0)
    return {
        f"{_RUN}/{kind}_ckpt.{number}.gz": gzip.compress(noise.bytes(size), mtime=0)
        for number in checkpoints
        for kind in _KINDS
    }


def _sums(files):
    return "".join(
        f"{hashlib.sha256(body).hexdigest()}  ./{path}\n" for path, body in files.items()
    ).encode()


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr(server, "_LONGEST_PAUSE", 0.01)
    faulty = FaultyServer()
    faulty.files = _tree(range(2))
    yield faulty
    faulty.close()


def _flags(faulty, out, *more, checkpoints="0-1"):
    flags = ["fetch", "--dataset=dqn_replay", "--game=Pong", "--run=1", f"--out={out}"]
    return [*flags, f"--mirror={faulty.url}", f"--checkpoints={checkpoints}", *more]


def _there(out):
    """Path to bytes of all that counts as present."""
    files = [path for path in out.rglob("*") if path.is_file() and path.suffix != ".part"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def _parts(out):
    return list(out.rglob("*.part"))


def test_a_run_comes_whole_into_the_published_layout(faulty, tmp_path, capfd):
    assert command.main(_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == faulty.files
    assert not _parts(tmp_path)
    said = capfd.readouterr()
    total = sum(map(len, faulty.files.values()))
    assert said.out == f"12 files, {total / 1000:.1f} kB, whole: {tmp_path / _RUN}\n"
    assert said.err == ""


def test_what_is_there_is_not_fetched_again_and_what_is_wrong_is(faulty, tmp_path):
    assert command.main(_flags(faulty, tmp_path)) == 0
    short, spoilt, gone, *_ = faulty.files
    (tmp_path / short).write_bytes(faulty.files[short][:-1])
    (tmp_path / spoilt).write_bytes(b"x" * len(faulty.files[spoilt]))
    (tmp_path / gone).unlink()
    faulty.asked.clear()
    assert command.main(_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == faulty.files
    gets = {path for method, path, _ in faulty.asked if method == "GET" and path in faulty.files}
    assert gets == {short, spoilt, gone}


def test_nothing_half_written_is_present_at_any_time(faulty, tmp_path, capfd):
    names = list(faulty.files)
    for name in names[::2]:
        faulty.cuts[name] = [5_000, 9_000]
    faulty.spoils[names[1]] = faulty.spoils[names[4]] = 1
    faulty.failures[names[5]] = [503, 503]
    looks = []

    def watch(path):
        there = _there(tmp_path)
        looks.append(len(there))
        assert all(faulty.files[name] == body for name, body in there.items())

    faulty.watch = watch
    assert command.main(_flags(faulty, tmp_path, "--jobs=3")) == 0
    assert _there(tmp_path) == faulty.files
    assert not _parts(tmp_path)
    assert len(looks) > 20
    assert capfd.readouterr().err == ""  # the server's assertions would be there


def test_missing_files_are_said_and_the_others_come(faulty, tmp_path, capfd):
    faulty.files = _tree([0, 2])
    del faulty.files[f"{_RUN}/$store$_reward_ckpt.2.gz"]
    assert command.main(_flags(faulty, tmp_path, checkpoints="0-2")) == 0
    assert _there(tmp_path) == faulty.files
    missing, some, done = capfd.readouterr().out.splitlines()
    assert missing == "missing on the server: all of checkpoint 1"
    assert some == "missing on the server: checkpoint 2: $store$_reward_ckpt.2.gz"
    assert done.startswith("11 files")


def test_all_checkpoints_are_asked_for_by_default(faulty, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fetch, "fetch", lambda wanted, *args, **kwargs: asked.extend(wanted))
    fetch.dqn_replay(tmp_path, "Pong", 3)
    root = "https://storage.googleapis.com/atari-replay-datasets/dqn/Pong/3/replay_logs/"
    assert len(asked) == 50 * 6
    urls = {x.url: x.path for x in asked}
    below = tmp_path / "Pong/3/replay_logs"
    name = "observation_ckpt.49.gz"
    assert urls[f"{root}%24store%24_{name}"] == below / f"$store$_{name}"
    assert urls[f"{root}invalid_range_ckpt.0.gz"] == below / "invalid_range_ckpt.0.gz"


def test_nothing_there_is_no_run(faulty, tmp_path, capfd):
    faulty.files = {}
    assert command.main(_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line == f"prune_rl.datasets: {faulty.url}/{_RUN}: nothing of the run is there"
    assert not _there(tmp_path)


def test_no_network_is_one_line(faulty, tmp_path, capfd):
    faulty.close()
    assert command.main(_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    what = "no connection (Connection refused); is there a network? --mirror names another server"
    assert line == f"prune_rl.datasets: {faulty.url}/SHA256SUMS: {what}"
    assert list(tmp_path.iterdir()) == []


def test_refused_is_one_line(faulty, tmp_path, capfd):
    faulty.failures[next(iter(faulty.files))] = [403]
    assert command.main(_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("refused (HTTP 403 Forbidden); --mirror names another server")


def test_a_corrupt_file_is_one_line_and_the_others_come(faulty, tmp_path, capfd):
    faulty.md5 = True
    bad = f"{_RUN}/$store$_action_ckpt.0.gz"
    faulty.spoils[bad] = 2
    assert command.main(_flags(faulty, tmp_path, "--jobs=1")) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert str(tmp_path / bad) in line
    assert f"{faulty.url}/{bad.replace('$', '%24')}" in line
    assert hashlib.md5(faulty.files[bad]).hexdigest() in line
    assert _there(tmp_path) == {path: body for path, body in faulty.files.items() if path != bad}
    assert not _parts(tmp_path)
    assert command.main(_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == faulty.files


def test_a_list_of_checksums_is_heeded(faulty, tmp_path, capfd):
    """Of a mirror that says no checksum itself, and has a file wrong but whole."""
    files = dict(faulty.files)
    faulty.files["SHA256SUMS"] = _sums({**files, "Pong/2/replay_logs/add_count_ckpt.0.gz": b""})
    bad = f"{_RUN}/$store$_action_ckpt.1.gz"
    faulty.files[bad] = gzip.compress(b"another")
    assert command.main(_flags(faulty, tmp_path)) == 1
    assert hashlib.sha256(files[bad]).hexdigest() in capfd.readouterr().err
    assert command.main(_flags(faulty, tmp_path, checkpoints="0")) == 0
    faulty.files[bad] = files[bad]
    assert command.main(_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == files


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (b"<html>not found</html>", "expected lines of 64 digits"),
        (b"0" * 64 + b"  ../../etc/passwd\n", "expected lines of 64 digits"),
        (b"0" * 64 + b"  Qbert/1/replay_logs/add_count_ckpt.0.gz\n", "nothing of Pong/1"),
    ],
)
def test_a_list_that_is_none_is_refused(faulty, tmp_path, capfd, sums, said):
    faulty.files["SHA256SUMS"] = sums
    assert command.main(_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"{faulty.url}/SHA256SUMS: " in line
    assert said in line


def _ours(checkpoints):
    """A run as we write it."""
    files = _tree(checkpoints, size=200)
    files |= {f"{_RUN}/truncation_ckpt.{i}.gz": gzip.compress(b"%d" % i) for i in checkpoints}
    listed = {
        path.rpartition("/")[2]: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for path, body in files.items()
    }
    about = {"format": 1, "suite": "atari", "game": "Pong", "run": 1, "num_actions": 6}
    about |= {"frame_shape": [84, 84, 1], "stack_size": 4, "protocol": {}, "files": listed}
    return {**files, f"{_RUN}/about.json": json.dumps(about).encode()}


def _all_flags(faulty, out):
    return [x for x in _flags(faulty, out) if "--checkpoints" not in x]


@pytest.mark.parametrize("checkpoints", [range(4), range(48, 53)])
def test_our_own_data_come_whole_however_many_checkpoints_they_have(
    faulty, tmp_path, capfd, checkpoints
):
    faulty.files = _ours(checkpoints)
    assert command.main(_all_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == faulty.files
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith(f"{7 * len(checkpoints) + 1} files, ")
    assert len(faulty.asked) < 3 * len(faulty.files)  # nothing else was


def test_our_own_data_are_what_about_json_says(faulty, tmp_path, capfd):
    faulty.files = files = _ours(range(2))
    bad, gone = f"{_RUN}/$store$_action_ckpt.1.gz", f"{_RUN}/truncation_ckpt.0.gz"
    faulty.files = {**files, bad: gzip.compress(b"another")}
    del faulty.files[gone]
    assert command.main(_all_flags(faulty, tmp_path)) == 1
    assert hashlib.sha256(files[bad]).hexdigest() in capfd.readouterr().err
    assert not (tmp_path / _RUN / "about.json").exists()
    faulty.files[bad] = files[bad]
    assert command.main(_all_flags(faulty, tmp_path)) == 0
    missing, _ = capfd.readouterr().out.splitlines()
    assert missing == "missing on the server: checkpoint 0: truncation_ckpt.0.gz"
    assert _there(tmp_path) == {path: body for path, body in files.items() if path != gone}


def test_checkpoints_that_our_own_data_lack_are_one_line(faulty, tmp_path, capfd):
    faulty.files = _ours(range(4))
    assert command.main(_flags(faulty, tmp_path, checkpoints="2-3,7-9")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    url = f"{faulty.url}/{_RUN}/about.json"
    assert line == f"prune_rl.datasets: --checkpoints: {url} has checkpoints 0-3, not 7-9"
    assert command.main(_flags(faulty, tmp_path, checkpoints="2-3")) == 0
    numbers = {path.split(".")[1] for path in _there(tmp_path) if path.endswith(".gz")}
    assert numbers == {"2", "3"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"../../x_ckpt.0.gz": {}}, "files: '../../x_ckpt.0.gz' is no name of a checkpoint's file"),
        ({"add_count_ckpt.0.gz": {"sha256": 3}}, "add_count_ckpt.0.gz: sha256=3, expected 64"),
        ({"add_count_ckpt.0.gz": 3}, "add_count_ckpt.0.gz: sha256=None, expected 64"),
        (None, "files=None, expected dict"),
    ],
)
def test_an_about_json_that_makes_no_sense_is_one_line(faulty, tmp_path, capfd, files, said):
    about = f"{_RUN}/about.json"
    faulty.files = _ours(range(1))
    faulty.files[about] = json.dumps({**json.loads(faulty.files[about]), "files": files}).encode()
    assert command.main(_all_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.datasets: {faulty.url}/{about}: ")
    assert said in line
    assert not _there(tmp_path)


def test_missing_checkpoints_are_said_in_ranges(faulty, tmp_path, capfd):
    assert command.main(_all_flags(faulty, tmp_path)) == 0
    missing, done = capfd.readouterr().out.splitlines()
    assert missing == "missing on the server: all of checkpoints 2-49"
    assert done.startswith("12 files")


def test_our_own_data_come_with_about_json_last(faulty, tmp_path):
    faulty.files = _ours(range(2))
    about = tmp_path / _RUN / "about.json"
    faulty.watch = lambda path: path.endswith(".json") or not about.exists() or 1 / 0
    assert command.main(_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == faulty.files
    gets = [path for method, path, _ in faulty.asked if method == "GET"]
    assert gets[-1] == f"{_RUN}/about.json"


def test_published_data_lack_only_what_was_published(faulty, tmp_path, capfd):
    faulty.files = _tree([0])
    assert command.main(_flags(faulty, tmp_path, checkpoints="0")) == 0
    assert "missing" not in capfd.readouterr().out


def test_a_disk_without_room_is_said_before(faulty, tmp_path, capfd, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 5, 5))
    assert command.main(_flags(faulty, tmp_path)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("kB to fetch, and 5 B free there")
    assert not any(faulty.sent.values())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--game=Pongg"], "--game=Pongg: dqn_replay has 60 games; did you mean 'Pong'?"),
        (["--run=6"], "--run=6: expected 1 to 5"),
        (["--run=0"], "--run=0: expected 1 to 5"),
        (["--dataset=rlu", "--game=Tennis"], "--game=Tennis: rlu has 46 games; "),
        (["--dataset=rlu", "--checkpoints=3"], "--checkpoints: of --dataset=rlu, a --mirror"),
    ],
)
def test_what_does_not_exist_is_not_asked_for(tmp_path, capfd, flags, said):
    flags = ["--dataset=dqn_replay", "--game=Pong", "--run=1", f"--out={tmp_path}", *flags]
    assert command.main(["fetch", *flags]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.datasets: {said}")


def _start(faulty, out):
    """The command in a process of its own, in the middle of its first four files."""
    argv = [sys.executable, "-m", "prune_rl.datasets", *_flags(faulty, out)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until, before = time.monotonic() + 60, sum(faulty.sent.values())
    while sum(faulty.sent.values()) < before + 4 * 100_000:
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    return process


@pytest.fixture
def slow(faulty):
    faulty.files = _tree(range(2), size=200_000)
    faulty.seconds = 0.01
    return faulty


def test_killed_the_same_command_goes_on(slow, tmp_path):
    for _ in range(2):
        process = _start(slow, tmp_path)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert all(slow.files[path] == body for path, body in _there(tmp_path).items())
    assert _parts(tmp_path)
    slow.seconds = 0
    slow.rest()
    before = sum(slow.sent.values())
    kept = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert kept > 0
    assert command.main(_flags(slow, tmp_path)) == 0
    assert _there(tmp_path) == slow.files
    assert not _parts(tmp_path)
    assert sum(slow.sent.values()) - before == sum(map(len, slow.files.values())) - kept
    assert any(span for _, _, span in slow.asked)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_end_it_in_one_line(slow, tmp_path, number, code):
    process = _start(slow, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    line = f"{number.name}: what came is kept, the same command resumes"
    assert (out, err) == ("", f"prune_rl.datasets: {line}\n")
    assert _parts(tmp_path)
    assert all(slow.files[path] == body for path, body in _there(tmp_path).items())


@pytest.fixture
def prepared(faulty):
    """What tensorflow-datasets would have prepared, in a mirror."""
    noise = np.random.default_rng(1)
    names = ["dataset_info.json", "features.json"]
    names += [
        f"{_RLU.partition('/')[0]}-checkpoint_{i:02d}.tfrecord-00000-of-00001" for i in (0, 1)
    ]
    files = {f"{_RLU}/{name}": noise.bytes(10_000) for name in names}
    other = {f"{_RLU.replace('Pong', 'Qbert')}/features.json": b"{}"}
    faulty.files = {**files, **other, "SHA256SUMS": _sums({**files, **other})}
    return files


def _rlu_flags(faulty, out, *more):
    flags = ["fetch", "--dataset=rlu", "--game=Pong", "--run=1", f"--out={out}"]
    return [*flags, f"--mirror={faulty.url}", *more]


def test_a_prepared_directory_comes_by_its_list(faulty, prepared, tmp_path):
    faulty.cuts[f"{_RLU}/features.json"] = [3_000]
    assert command.main(_rlu_flags(faulty, tmp_path)) == 0
    assert _there(tmp_path) == prepared
    gets = [path for method, path, _ in faulty.asked if method == "GET"]
    assert gets[-1] == f"{_RLU}/dataset_info.json"


def test_a_prepared_directory_in_part(faulty, prepared, tmp_path):
    assert command.main(_rlu_flags(faulty, tmp_path, "--checkpoints=1")) == 0
    assert set(_there(tmp_path)) == {path for path in prepared if "checkpoint_00" not in path}


def test_a_prepared_directory_needs_its_list(faulty, prepared, tmp_path, capfd):
    del faulty.files["SHA256SUMS"]
    assert command.main(_rlu_flags(faulty, tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "it has no SHA256SUMS, which --dataset=rlu needs" in line


@pytest.fixture
def shards(faulty, monkeypatch):
    """RL Unplugged's own bucket, and tensorflow-datasets replaced by what the test says."""
    monkeypatch.setattr(catalogue, "RLU_URL", faulty.url)
    faulty.files = {"Pong/run_1-00000-of-00050": b"an episode"}
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    called = []

    class Builder:
        def __init__(self, name, data_dir):
            called.append((name, data_dir))
            self.data_dir = f"{data_dir}/{name}/1.1.0"

        def download_and_prepare(self):
            called.append("prepared")

    module = namedtuple("module", "builder")(Builder)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return called, Builder


def _rlu_argv(out):
    return ["fetch", "--dataset=rlu", "--game=Pong", "--run=1", f"--out={out}"]


def test_tensorflow_datasets_is_asked_to_prepare(shards, tmp_path, capfd):
    called, _ = shards
    assert command.main(_rlu_argv(tmp_path)) == 0
    name = "rlu_atari_checkpoints_ordered/Pong_run_1"
    assert called == [(name, str(tmp_path)), "prepared"]
    assert capfd.readouterr().out == f"prepared: {tmp_path}/{name}/1.1.0\n"


def test_what_tensorflow_datasets_says_is_one_line(shards, tmp_path, capfd, monkeypatch):
    def fail(self):
        raise RuntimeError("PERMISSION_DENIED\nwhen reading gs://rl_unplugged\n")

    monkeypatch.setattr(shards[1], "download_and_prepare", fail)
    assert command.main(_rlu_argv(tmp_path)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    said = "RuntimeError: PERMISSION_DENIED when reading gs://rl_unplugged"
    assert line == f"prune_rl.datasets: tensorflow-datasets: {said}"


def test_without_tensorflow_it_says_what_to_install(shards, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert command.main(_rlu_argv(tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "no module tensorflow; it needs tensorflow and tensorflow-datasets" in line


def test_without_a_network_tensorflow_datasets_is_not_begun(shards, faulty, tmp_path, capfd):
    faulty.close()
    assert command.main(_rlu_argv(tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "no connection (Connection refused); is there a network?" in line
    assert shards[0] == []


def test_the_first_error_of_any_thread_ends_all(faulty, tmp_path):
    """A server that goes away in the middle is given up once, not once for every file."""
    checkpoint = list(faulty.files)
    faulty.watch = lambda path: faulty.failures.update({name: [404] * 9 for name in checkpoint})
    faulty.cuts.update({name: [100] for name in checkpoint})
    with pytest.raises(OSError, match="was there, and is no longer"):
        fetch.dqn_replay(tmp_path, "Pong", 1, checkpoints=[0, 1], mirror=faulty.url)
    assert not _there(tmp_path)


def test_a_mirror_may_have_games_that_were_never_published(faulty, tmp_path):
    renamed = {path.replace("Pong/1", "breakout/7"): body for path, body in faulty.files.items()}
    faulty.files = renamed
    fetched = fetch.dqn_replay(tmp_path, "breakout", 7, checkpoints=[0, 1], mirror=faulty.url)
    assert _there(tmp_path) == renamed
    assert fetched.directory == tmp_path / "breakout/7/replay_logs"
    assert fetched.missing == []
    with pytest.raises(ConfigError, match="--game=breakout: dqn_replay has 60 games"):
        fetch.dqn_replay(Path("x"), "breakout", 7)
