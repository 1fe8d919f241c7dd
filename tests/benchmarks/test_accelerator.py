"""The accelerator's benchmark: its rows, their order, a cut run, going on, and what follows."""

import json

import pytest

from benchmarks import accelerator, accelerator_measures
from benchmarks.accelerator import Report, hours, take
from benchmarks.accelerator_rows import Row, rows
from prune_rl.errors import ConfigError

ABOUT = {"kind": "abacus", "tiny": False}
PLAN = [Row(name, "learn", {"seeds": 5}) for name in "abc"]


def measured(torso="nature", precision="fp32", way="vmap", rate=1000.0, seeds=5):
    own = {"torso": torso, "precision": precision, "way": way, "seeds": seeds}
    return own | {"steps_per_second_of_each_seed": rate}


def on_disk(path):
    return json.loads(path.read_text())


def test_every_torso_number_of_seeds_way_and_precision_has_one_row():
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)
    learning = {name for name in names if name.startswith("learn/")}
    expected = {
        f"learn/{torso}/S={seeds}/{way}/{precision}"
        for torso in ("nature", "impala_x1", "impala_x3", "impala_x5")
        for seeds in (1, 5, 10)
        for way in ("vmap", "unroll", "patches")
        for precision in ("fp32", "tf32", "bf16")
        if (seeds, way) != (1, "vmap")
    }
    assert learning == expected
    assert set(names) - learning == {
        "device_loop/minatar/S=5",
        "device_loop/minatar/S=50",
        "emulator/pong/S=1",
        "emulator/pong/S=5",
        "emulator/pong/S=10",
        "replay_on_host/pong_nature/S=5",
        "replay_on_device/pong_nature/S=5",
        "checkpoint/pong/S=5",
    }


def test_what_decides_most_comes_first():
    names = [row.name for row in rows()]
    assert names[:3] == [f"learn/impala_x3/S=5/{way}/fp32" for way in ("vmap", "unroll", "patches")]
    first = {name.split("/")[0]: place for place, name in reversed(list(enumerate(names)))}
    assert max(first.values()) < 26  # each kind before the long rest
    assert names.index("learn/impala_x3/S=10/unroll/tf32") > 26


def test_each_row_is_on_disk_before_the_next_begins(tmp_path):
    path, seen = tmp_path / "out.json", []

    def measure(kind, settings, seconds):
        seen.append(list(on_disk(path)["rows"]))
        return {"update_ms": 1.0}

    report = Report(path, ABOUT)
    report.write()
    assert take(PLAN, report, measure, 1.0, 1.0) == []
    assert seen == [[], ["a"], ["a", "b"]]
    assert not list(tmp_path.glob("*.part"))


def test_a_cut_run_loses_nothing_and_goes_on_after_its_last_row(tmp_path):
    path = tmp_path / "out.json"

    def cut(kind, settings, seconds):
        if len(on_disk(path)["rows"]) == 2:
            raise KeyboardInterrupt
        return {"update_ms": 1.0}

    report = Report(path, ABOUT)
    report.write()
    with pytest.raises(KeyboardInterrupt):
        take(PLAN, report, cut, 1.0, 1.0)
    assert list(on_disk(path)["rows"]) == ["a", "b"]
    again = []
    left = take(PLAN, Report(path, ABOUT), lambda *own: again.append(own) or {}, 1.0, 1.0)
    assert (left, len(again), list(on_disk(path)["rows"])) == ([], 1, ["a", "b", "c"])


def test_no_row_begins_after_the_time_is_over(tmp_path, monkeypatch):
    now = [0.0]

    def measure(kind, settings, seconds):
        now[0] += 40.0
        return {}

    monkeypatch.setattr(accelerator.time, "monotonic", lambda: now[0])
    report = Report(tmp_path / "out.json", ABOUT)
    assert take(PLAN, report, measure, 1.0, 1.0) == ["c"]
    assert report.rows["a"]["took_s"] == 40.0


def test_a_row_that_fails_says_why_and_the_others_are_measured(tmp_path):
    def measure(kind, settings, seconds):
        if seconds == next(turns):
            raise MemoryError("out of it")
        return {}

    turns = iter([2.0, 1.0, 2.0])
    report = Report(tmp_path / "out.json", ABOUT)
    assert take(PLAN, report, measure, 1.0, 1.0) == []
    assert [own.get("error") for own in report.rows.values()] == [
        None,
        "MemoryError: out of it",
        None,
    ]


@pytest.mark.parametrize(
    "content", [json.dumps({"rows": {}, "kind": "H100", "tiny": False}), "[]", "{}", "{", "null"]
)
def test_a_file_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "out.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"^--out=.*choose another"):
        Report(path, ABOUT)
    assert path.read_text() == content


def test_the_extrapolation_is_that_of_a_calculation_by_hand():
    """1,000 steps/s: 10,000 s for 10M steps, 2.78 h; Pong at 2,000 steps/s: half of that more."""
    found = hours(
        {
            "slow": measured(rate=500.0, way="unroll"),
            "fast": measured(rate=1000.0),
            "rounded": measured(rate=4000.0, precision="bf16"),
            "other seeds": measured(rate=9000.0, seeds=10),
            "failed": {"torso": "nature", "seeds": 5, "error": "x"},
            "emulator/pong/S=5": {"seeds": 5, "steps_per_second_of_each_seed": 2000.0},
        },
        dollars_per_hour=3.0,
    )
    assert [(own["precision"], own["way"]) for own in found] == [("bf16", "vmap"), ("fp32", "vmap")]
    rounded, exact = found
    assert exact["hours"] == pytest.approx(10_000 / 3600)
    assert exact["hours_with_pong"] == pytest.approx(15_000 / 3600)
    assert exact["emulator_share"] == pytest.approx(1 / 3)
    assert exact["dollars"] == pytest.approx(12.5)
    assert rounded["hours_with_pong"] == pytest.approx(7_500 / 3600)


def test_without_emulator_and_price_there_are_hours_alone():
    (line,) = hours({"a": measured()})
    assert set(line) == {"torso", "precision", "way", "hours"}
    (line,) = hours({"a": measured()}, dollars_per_hour=3.6)
    assert line["dollars"] == pytest.approx(10.0)
    assert hours({}) == []


def test_turns_grow_until_they_are_half_as_long_as_asked(monkeypatch):
    now, turns = [0.0], []

    def run(steps):
        turns.append(steps)
        now[0] += 0.5 + 0.01 * steps  # half a second besides the steps

    monkeypatch.setattr(accelerator_measures.time, "perf_counter", lambda: now[0])
    step = accelerator_measures.paced(run, 4, 2.0)
    assert turns[0] == 4
    assert all(steps % 4 == 0 for steps in turns)
    assert turns == sorted(set(turns))
    assert step == pytest.approx((0.5 + 0.01 * turns[-1]) / turns[-1])
    assert 0.5 + 0.01 * turns[-1] >= 1.0


def test_patches_are_matrix_products_and_the_others_convolutions():
    import jax
    import numpy as np

    from prune_rl.networks.torsos.nature import NatureTorso

    def program(way):
        with accelerator_measures._convolutions(way):
            torso, zeros = NatureTorso(), np.zeros((1, 20, 20, 1), np.uint8)
            params = jax.eval_shape(torso.init, jax.random.PRNGKey(0), zeros)
            return str(jax.make_jaxpr(torso.apply)(params, zeros))

    assert "conv_general_dilated" in program("vmap")
    assert "conv_general_dilated" not in program("patches")
    assert "conv_general_dilated" in program("unroll")


@pytest.mark.parametrize(
    "flag", ["--minutes=0", "--seconds=-1", "--dollars_per_hour=nan", "--out=/no/such/x.json"]
)
def test_wrong_flags_say_so_in_one_line(flag, capsys):
    assert accelerator.main([flag]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert flag.split("=")[0] in line


def test_a_tiny_run_measures_a_row_of_each_kind(tmp_path, capsys, monkeypatch):
    plan = [row for row in rows(tiny=True) if row.kind in ("learn", "emulator")]
    assert {row.kind for row in rows(tiny=True)} == set(accelerator_measures.MEASURES)
    monkeypatch.setattr(accelerator, "rows", lambda *, tiny: plan)
    path = tmp_path / "out.json"
    flags = ["--tiny", "--minutes=2", "--seconds=0.02", f"--out={path}"]
    assert accelerator.main(flags) == 0
    content = on_disk(path)
    assert list(content["rows"]) == [row.name for row in plan]
    for own in content["rows"].values():
        assert own["steps_per_second_of_each_seed"] > 0
    learned = content["rows"]["learn/minatar_x1/S=1/patches/tf32"]
    # Forward, target and backward of 16 3x3 filters at 8 x 8 places and 1,024 x 128 weights.
    forward = 2 * 32 * (64 * 36 * 16 + 1024 * 128 + 128 * 6) / 1e9
    assert 3 * forward < learned["gflop_of_an_update"] < 6 * forward
    assert learned["tflops"] == pytest.approx(
        learned["gflop_of_an_update"] / learned["update_ms"], rel=1e-6
    )
    assert content["platform"]
    assert content["versions"]["jax"]
    capsys.readouterr()
    monkeypatch.setattr(accelerator_measures, "measure", None)  # nothing is left to measure
    assert accelerator.main(flags) == 0
