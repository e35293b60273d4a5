import io

import pytest
import rich.console
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.runtime.cluster import Cluster
from cyclegan.training import precision
from cyclegan.training.precision import choose_precision, with_known_precision
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan

CONFIG = load_config("smoke")
FLAGS = {"with": "flags : fpu avx512f avx512_bf16 sse2", "without": "flags : fpu avx512f avx512_bf16x sse2"}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Says which instructions the processor has, and how long a convolution takes in float32 and in bfloat16."""

    def pretend(flags, seconds=(1.0, 1.0)):
        (tmp_path / "cpuinfo").write_text(FLAGS[flags])
        monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(precision, "_gain", lambda config, device: seconds[0] / seconds[1])

    return pretend


@pytest.mark.parametrize(
    ("flags", "seconds", "name", "reason"),
    [
        ("without", (2.0, 1.0), "float32", "this processor has no instructions for bfloat16"),
        ("with", (2.0, 1.0), "mixed_bfloat16", "which makes a convolution 2.0 times as fast"),
        ("with", (1.1, 1.0), "float32", "bfloat16 makes a convolution only 1.10 times as fast"),
        ("with", (1.0, 1.5), "float32", "bfloat16 makes a convolution only 0.67 times as fast"),
    ],
)
def test_bfloat16_is_taken_where_the_processor_has_it_and_gains_by_it(machine, flags, seconds, name, reason):
    machine(flags, seconds)
    chosen = choose_precision(CONFIG, "/job:localhost/replica:0/task:0/device:CPU:0")
    assert chosen.name == name and reason in chosen.reason


def test_the_chosen_precision_is_that_of_the_run_and_a_line_says_why(machine, tmp_path):
    machine("with", (3.0, 1.0))
    output = io.StringIO()
    progress, cluster = (
        Progress(rich.console.Console(file=output, width=500)),
        Cluster(tf.distribute.OneDeviceStrategy("/cpu:0")),
    )
    for asked, taken in (("auto", "mixed_bfloat16"), ("float64", "float64")):
        plan = Plan(tmp_path, load_config("smoke", [("training.precision", asked)]), None, {})
        assert with_known_precision(plan, cluster, progress).config.training.precision == taken
    assert output.getvalue() == "Precision: mixed_bfloat16, which makes a convolution 3.0 times as fast.\n"


def test_a_deterministic_run_is_not_timed(machine, monkeypatch):
    machine("with")
    monkeypatch.delattr(precision, "_gain")
    config = load_config("smoke", [("training.deterministic", True)])
    assert choose_precision(config, "/cpu:0").name == "mixed_bfloat16"


def test_the_shortest_times_of_runs_that_take_turns_are_compared(monkeypatch):
    """The machine is busy in the second round, and float32 takes longer in the last one."""
    times = iter([9, 9, 2, 1.0, 80, 60, 3, 0.5, 2, 1, 2, 1, 4, 1])  # the first two are not counted
    monkeypatch.setattr(precision, "_timed", lambda run: next(times))
    monkeypatch.setattr(precision, "TIMED_SECONDS", 0)
    monkeypatch.setattr(precision, "MIN_ROUNDS", 6)
    assert precision._gain(CONFIG, "/cpu:0") == 2 / 0.5


def test_a_convolution_is_timed_on_this_machine():
    assert 0.01 < precision._gain(CONFIG, "/cpu:0") < 100
