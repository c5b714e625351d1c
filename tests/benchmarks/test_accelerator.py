"""Compiled steps: what they take, what they return, and their execution without TensorFlow."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run

from benchmarks.compiled.hlo import count_launches
from benchmarks.compiled.programs import (
    Argument,
    Output,
    Program,
    ProgramError,
    probe,
    read_manifest,
    write_manifest,
)

ROOT = Path(__file__).parents[2]
SIZES = ("--items", "60", "--embedding_dim", "4", "--hidden_dim", "6", "--num_groups", "2")
KINDS = ("train", "train_unrolled", "rank", "top_k")


def program(*outputs, arguments=(), precision="float32"):
    return Program("train", "train.npz", precision, 4, 100.0, tuple(arguments), outputs)


@pytest.mark.parametrize(
    ("values", "dtype", "low", "high"),
    [
        ("uniform", "float32", -0.5, 0.5),
        ("integers", "int32", 1, 9),
        ("sessions", "int32", 1, 9),
        ("logistic", "float32", 0, 1),
        ("constant", "int64", 7, 1),
    ],
)
def test_an_argument_is_a_function_of_its_name(values, dtype, low, high):
    argument = Argument("first", (50, 40), dtype, values, low, high)
    array = argument.array()
    assert array.shape == (50, 40) and array.dtype == dtype
    np.testing.assert_array_equal(array, argument.array())
    other = dataclasses.replace(argument, name="second").array()
    assert np.array_equal(array, other) == (values == "constant")
    if values == "constant":
        assert np.all(array == 7)
    elif values == "logistic":
        # The logistic distribution's quartiles are the logits of 1/4 and 3/4.
        quartiles = np.quantile(array, [0.25, 0.5, 0.75])
        np.testing.assert_allclose(quartiles, [-np.log(3), 0, np.log(3)], atol=0.15)
    elif values == "sessions":
        lengths = np.count_nonzero(array, axis=1)
        assert lengths.min() >= 1 and lengths.max() == 40 and array.max() == high
        assert np.array_equal(array > 0, np.arange(40) < lengths[:, None])
    else:
        assert low <= array.min() < array.max() <= high


def test_a_small_array_is_compared_whole_and_a_large_one_by_entries_and_norm():
    assert list(probe("small", np.arange(4))) == ["small"]
    large = np.full([200, 200], 3.0, np.float32)
    found = probe("large", large)
    assert found["large"].tolist() == 512 * [3.0]
    assert found["large, norm"] == pytest.approx([600.0])


@pytest.mark.parametrize(
    ("expected", "found", "is_index", "deviation"),
    [
        ([2.0, -4.0], [2.0, -4.0], False, 0.0),
        ([2.0, -4.0], [2.0008, -4.0], False, 2.0),
        ([2.0, -4.0], [2.0, np.nan], False, np.inf),
        ([5, 6, 7, 8], [5, 6, 8, 8], True, 50.0),
        ([False, False], [False, False], False, 0.0),
        ([False, False], [False, True], False, np.inf),
    ],
)
def test_deviation_by_hand(expected, found, is_index, deviation):
    reference = {"exact": np.array([1.0]), "scores": np.array(expected)}
    ratio, name = program(Output("exact"), Output("scores", is_index)).deviation(
        [np.array([1.0]), np.array(found)], reference
    )
    assert name == "scores"
    # The smallest float32 is the scale where everything is zero.
    assert ratio == pytest.approx(deviation, rel=1e-6) or (deviation == np.inf and ratio > 1e30)


def test_updates_replace_their_arguments():
    step = program(Output("loss"), Output("X", argument=2), Output("iter", argument=1))
    assert step.next_arguments(["items", 10, "X0"], [0.5, "X1", 11]) == ["items", 11, "X1"]
    assert step.steps == 3 and program(Output("loss")).steps == 1


def test_a_manifest_is_read_as_written(tmp_path):
    written = program(
        Output("loss"), arguments=[Argument("X", (3, 2), "float32", "uniform", -0.5, 0.5)]
    )
    write_manifest(tmp_path, {"items": 3}, [written])
    assert read_manifest(tmp_path) == ({"items": 3}, [written])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "programs": [{"name": "train"}]}']
)
def test_another_manifest_is_an_error(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ProgramError, match=r"manifest\.json (cannot be read|is no list)"):
        read_manifest(tmp_path)


MODULE = """\
HloModule step, is_scheduled=true

%fused (p0: f32[4]) -> f32[4] {
  %p0 = f32[4]{0} parameter(0)
  ROOT %negate = f32[4]{0} negate(%p0)
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[], f32[4]{0}) parameter(0)
  %t = s32[] get-tuple-element(%state), index=0
  %h = f32[4]{0} get-tuple-element(%state), index=1
  %gemm = f32[4]{0} custom-call(%h), custom_call_target="__cublas$gemm"
  %next = f32[4]{0} fusion(%gemm), kind=kLoop, calls=%fused
  ROOT %result = (s32[], f32[4]{0}) tuple(%t, %next)
}

%condition (state.1: (s32[], f32[4])) -> pred[] {
  %state.1 = (s32[], f32[4]{0}) parameter(0)
  %t.1 = s32[] get-tuple-element(%state.1), index=0
  %ten = s32[] constant(10)
  ROOT %less = pred[] compare(%t.1, %ten), direction=LT
}

%left (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %copy = f32[4]{0} copy(%x)
}

%right (x.1: f32[4]) -> f32[4] {
  %x.1 = f32[4]{0} parameter(0)
  %first = f32[4]{0} fusion(%x.1), kind=kLoop, calls=%fused
  ROOT %second = f32[4]{0} fusion(%first), kind=kLoop, calls=%fused
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[4]{0}) tuple(%zero, %a)
  %loop = (s32[], f32[4]{0}) while(%start), condition=%condition, body=%bodyTRIPS
  %out = f32[4]{0} get-tuple-element(%loop), index=1
  %choice = pred[] compare(%zero, %zero), direction=EQ
  %chosen = f32[4]{0} conditional(%choice, %out, %out), true_computation=%left, \
false_computation=%right
  ROOT %last = f32[4]{0} fusion(%chosen), kind=kLoop, calls=%fused
}
"""


@pytest.mark.parametrize(
    ("trips", "loop", "module"),
    [
        # Two in the body; a comparison, the dearer branch of two and a fusion after the loop.
        (', backend_config={"known_trip_count":{"n":"10"}}', (2, 10), 24),
        # A condition of unknown outcome is executed too.
        ("", (3, 0), 7),
    ],
)
def test_launches_by_hand(trips, loop, module):
    launches = count_launches(MODULE.replace("TRIPS", trips))
    assert launches.loops == [loop]
    assert launches.module == module


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "one of the arguments --emit --run is required"),
        (["--emit", "a", "--run", "b"], "not allowed with argument"),
        (["--emit", "a", "--batch_size", "0"], "--batch_size has 0, expected"),
        (["--emit", "a", "--items", "10"], "--items has 10, expected whole numbers of at least 20"),
        (["--emit", "a", "--precision", "half"], "'half'"),
        (["--run", "a", "--rounds", "0"], "--rounds has 0, expected"),
    ],
)
def test_bad_flags(flags, message):
    assert message in run("benchmarks.accelerator", *flags).sentence(2)


def test_programs_that_are_not_there(tmp_path):
    outcome = run("benchmarks.accelerator", "--run", tmp_path / "none")
    assert "manifest.json does not exist: write programs with" in outcome.sentence(1)
    write_manifest(tmp_path, {}, [program(Output("loss"))])
    outcome = run("benchmarks.accelerator", "--run", tmp_path, "--programs", "rank-*")
    assert outcome.sentence(2) == "--programs has 'rank-*', which is none of train"


def execute(directory, *flags):
    """Execute programs in a process of its own, which prints what it has imported."""
    arguments = ["--run", str(directory), "--steps", "2", "--rounds", "2", *flags]
    code = (
        f"import sys\nfrom benchmarks.accelerator import main\ncode = main({arguments!r})\n"
        f"print('imported:', [name for name in ('tensorflow', 'hln_tf') if name in sys.modules])\n"
        f"sys.exit(code)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("programs")
    flags = ("--batch_size", "3", "--length", "4", "--precision", "float32", "--unrolled")
    outcome = run("benchmarks.accelerator", "--emit", directory, *SIZES, *flags)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"4 programs in {directory}\n"
    return directory


@pytest.mark.slow
def test_every_variable_of_a_training_step_is_an_argument_and_a_result(emitted):
    _, programs = read_manifest(emitted)
    assert [one.name for one in programs] == [f"{kind}-b3-t4-float32" for kind in KINDS]
    step = programs[0]
    names = [argument.name for argument in step.arguments]
    assert names[:3] == ["items", "target", "noise"]
    cell = ("U", "c", "w_q", "kernel", "bias", "W_p", "U_p", "u_q", "b")
    weights = {"X", "W", *(f"cell/{name}" for name in cell)}
    slots = {f"Adam/{name}/{slot}" for name in weights for slot in "mv"}
    state = weights | slots | {"Adam/iter"}
    assert set(names[3:]) == state | {
        f"Adam/{one}" for one in ("learning_rate", "beta_1", "beta_2")
    }
    loss, *updates = step.outputs
    assert loss == Output("loss")
    assert {update.name for update in updates} == state
    assert all(names[update.argument] == update.name for update in updates)


@pytest.mark.slow
def test_programs_equal_the_cpu_without_tensorflow(emitted):
    pytest.importorskip("jax", reason="JAX executes the programs")
    outcome = execute(emitted)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1] == "imported: []"
    lines = outcome.stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    header, rows = rows[0], rows[2:]
    assert [row[0] for row in rows] == [f"{kind}-b3-t4-float32" for kind in KINDS]
    deviations = [float(row[header.index("deviation / allowed")]) for row in rows]
    assert max(deviations) <= 1
    # Two passes, forward and backward; the first step is outside of the loop. An iteration was
    # 13 and 16 launches when the products with h were joined, and may not become more.
    loops = re.findall(r"(\d+) x 3 x (\d+)", rows[0][header.index("loops x steps x launches")])
    assert sum(int(count) for count, _ in loops) == 4
    launches = [int(launches) for _, launches in loops]
    assert min(launches) <= 13 and max(launches) <= 16
    assert rows[1][header.index("loops x steps x launches")] == ""


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["reference", "module"])
def test_programs_that_do_not_equal_the_cpu(emitted, tmp_path, damage):
    pytest.importorskip("jax", reason="JAX executes the programs")
    directory = shutil.copytree(emitted, tmp_path / "programs")
    if damage == "reference":
        path = directory / "rank-b3-t4.npz"
        with np.load(path) as stored:
            np.savez(path, ranks=stored["ranks"] + [0, 0, 1])
        message = "float32 deviates from the CPU: rank-b3-t4-float32"
    else:
        (directory / "rank-b3-t4-float32.mlirbc").write_bytes(b"ML")
        message = "rank-b3-t4-float32.mlirbc does not compile: "
    outcome = execute(directory, "--programs", "rank-*")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("error: ")
    assert message in outcome.stderr
