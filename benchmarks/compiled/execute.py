"""Execution of programs under JAX's runtime: times, rates, and equality with the CPU's results."""

import collections
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import backend, mlir
from jax.interpreters import mlir as interpreters_mlir

from benchmarks.compiled.hlo import Launches, count_launches
from benchmarks.compiled.programs import Program, ProgramError

HEADER = (
    "program",
    "compile s",
    "ms/step, min / median",
    "ms/step, waiting for each",
    "examples/s, best / median",
    "TFLOP/s",
    "of peak",
    "launches",
    "loops x steps x launches",
    "deviation / allowed",
    "of",
)
# TensorFlow's copies, in a dialect that GPUs' compilers do not read.
_COPY = re.compile(r"mhlo\.copy (%\S+) : (tensor<[^>]*>)")
# Rows and columns of the factors by which the peak rate is measured.
_LARGE, _LARGE_ON_CPU = 8192, 1024


class Measured(NamedTuple):
    """The execution of a program.

    Attributes:
      program: The program.
      compile_seconds: Time of its compilation.
      seconds: Mean time of a step in each round that does not wait for results.
      waiting_seconds: The same of the rounds that do, after each step.
      launches: What its module launches.
      deviation: The largest deviation from the CPU as a multiple of the one allowed.
      deviates: Output that deviates most.
    """

    program: Program
    compile_seconds: float
    seconds: list[float]
    waiting_seconds: list[float]
    launches: Launches
    deviation: float
    deviates: str

    @property
    def is_equal(self) -> bool:
        """True if it equals the CPU, which is asked of float32 alone."""
        return self.program.precision != "float32" or self.deviation <= 1

    def row(self, peak: float) -> list[str]:
        """Format a row under `HEADER`; `peak` is in operations per second."""
        best, median = min(self.seconds), statistics.median(self.seconds)
        waiting = self.waiting_seconds
        rate = self.program.operations / best
        loops = collections.Counter(self.launches.loops)
        return [
            self.program.name,
            f"{self.compile_seconds:.1f}",
            f"{1e3 * best:.3f} / {1e3 * median:.3f}",
            f"{1e3 * min(waiting):.3f} / {1e3 * statistics.median(waiting):.3f}",
            f"{self.program.examples / best:,.0f} / {self.program.examples / median:,.0f}",
            f"{rate / 1e12:.2f}",
            f"{100 * rate / peak:.1f} %",
            str(self.launches.module),
            ", ".join(f"{n} x {trips} x {one}" for (one, trips), n in loops.items()),
            f"{self.deviation:.3f}",
            self.deviates,
        ]


def describe_device() -> str:
    """Name the device and the version of JAX that programs run on."""
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform}), JAX {jax.__version__}"


def execute(directory: Path, program: Program, steps: int, rounds: int) -> Measured:
    """Compile a program, compare its results with the CPU's and measure its steps.

    The steps of a round follow each other without a look at their results, as in
    a training loop that reads the loss now and then; those of every other round
    wait for the first result of each. Updates go from each step to the next.

    Args:
      directory: The directory of programs.
      program: The program.
      steps: Steps in a round.
      rounds: Number of rounds of either kind.

    Raises:
      ProgramError: A file of the program is missing or damaged.
    """
    jax.config.update("jax_enable_x64", True)  # the optimiser counts its steps in int64
    started = time.perf_counter()
    run = compile_module(directory / program.file)
    compile_seconds = time.perf_counter() - started
    arguments = [jax.device_put(argument.array()) for argument in program.arguments]
    for _ in range(program.steps):
        results = run.execute(arguments)
        arguments = program.next_arguments(arguments, results)
    deviation, deviates = program.deviation(
        [np.asarray(result) for result in results], _read_reference(directory / program.reference)
    )
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for is_waiting in rounds * [False, True]:
        started = time.perf_counter()
        for _ in range(steps):
            results = run.execute(arguments)
            arguments = program.next_arguments(arguments, results)
            if is_waiting:
                np.asarray(results[0])
        jax.block_until_ready(results)
        seconds[is_waiting].append((time.perf_counter() - started) / steps)
    launches = count_launches(run.hlo_modules()[0].to_string())
    return Measured(
        program, compile_seconds, seconds[False], seconds[True], launches, deviation, deviates
    )


def compile_module(path: Path) -> Any:
    """Compile a module; arguments that a result replaces give their memory to it.

    Raises:
      ProgramError: The file is missing or damaged.
    """
    try:
        module = path.read_bytes()
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror}: write the programs again") from None
    client = backend.get_backend()
    try:
        with interpreters_mlir.make_ir_context() as context:
            context.attach_diagnostic_handler(lambda _: True)  # they would go to standard error
            text = str(mlir.deserialize_portable_artifact(module))
        return client.compile_and_load(
            _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text).encode(),
            client.local_devices()[:1],
            backend.get_compile_options(1, 1),
        )
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise ProgramError(f"{path} does not compile: {reason}") from None


def _read_reference(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as stored:
            return dict(stored)
    except (OSError, ValueError) as error:
        raise ProgramError(f"{path} cannot be read ({error}): write the programs again") from None


def peak_rates(precisions: Sequence[str], rounds: int = 5) -> dict[str, float]:
    """Measure the rate of a large matrix product in each precision.

    Args:
      precisions: Names of the precisions, see `Program`.
      rounds: Number of measurements, of which the best counts.

    Returns:
      Operations per second by precision.
    """
    size = _LARGE_ON_CPU if jax.default_backend() == "cpu" else _LARGE
    return {precision: _peak_rate(size, precision, rounds) for precision in precisions}


def _peak_rate(size: int, precision: str, rounds: int) -> float:
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    exactness = jax.lax.Precision.HIGHEST if precision == "float32" else jax.lax.Precision.DEFAULT
    product: Callable[[Any, Any], Any] = jax.jit(
        lambda a, b: jnp.matmul(a, b, precision=exactness, preferred_element_type=jnp.float32)
    )
    random = np.random.RandomState(1)
    a, b = (jnp.asarray(random.uniform(-1, 1, (size, size)), dtype) for _ in range(2))
    jax.block_until_ready(product(a, b))
    repetitions, seconds = 10, []
    for _ in range(rounds):
        started = time.perf_counter()
        jax.block_until_ready([product(a, b) for _ in range(repetitions)])
        seconds.append((time.perf_counter() - started) / repetitions)
    return 2.0 * size**3 / min(seconds)
