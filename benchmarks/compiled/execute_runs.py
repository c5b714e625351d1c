"""Trainings under JAX's runtime, as `hln_tf.train` runs them: epochs, validation, refit, test."""

import collections
import concurrent.futures
import dataclasses
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from benchmarks.compiled.execute import compile_module
from benchmarks.compiled.programs import Program, ProgramError
from benchmarks.compiled.run_plan import (
    RANK,
    RANKED,
    TRAIN,
    Plan,
    PlannedRun,
    initial_state,
    is_variable,
    read_sessions,
    weights_path,
)
from hln_tf.data.layout import SPLITS
from hln_tf.data.prefixes import Prefixes, noise_seed
from hln_tf.data.sessions import Sessions
from hln_tf.metrics.of_ranks import means_of_ranks
from hln_tf.training.results import describe, is_better, is_over, selection_results

Ranks = npt.NDArray[np.int32]
State = dict[str, Any]
KS = (5, 10, 20)
_FULL_TRAIN = "train+validation"
# Passes over data whose batches stay on the device for the runs that make the same.
_PASSES = 64


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A program that is ready to run."""

    program: Program
    executable: Any

    @functools.cached_property
    def names(self) -> list[str]:
        """The names of the arguments."""
        return [argument.name for argument in self.program.arguments]

    def __call__(self, state: State, inputs: dict[str, Any]) -> Any:
        """Execute it, update the state, and return the first result."""
        given = state | inputs
        results = self.executable.execute([given[name] for name in self.names])
        for output, result in zip(self.program.outputs, results, strict=True):
            if output.argument is not None:
                state[self.names[output.argument]] = result
        return results[0]


class Trained(NamedTuple):
    """Results of a training.

    Attributes:
      results: Entries of `metrics.json`, see `hln_tf.training.run`.
      ranks: The ranks of the test targets, int32 [examples].
      weights: The model's variables by name, on the device.
    """

    results: dict[str, Any]
    ranks: Ranks
    weights: State

    def write(self, path: Path) -> None:
        """Write results and ranks, atomically."""
        device = jax.devices()[0]
        results = self.results | {"device": f"{device.device_kind}, JAX {jax.__version__}"}
        ranks = self.ranks.astype(np.min_scalar_type(self.ranks.max(initial=0)))
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, ranks=ranks, results=json.dumps(results))
        temporary.replace(path)

    def write_weights(self, path: Path) -> None:
        """Write the weights."""
        weights: dict[str, Any] = {name: np.asarray(one) for name, one in self.weights.items()}
        np.savez(path, **weights)


class Executor:
    """Executes the trainings of a plan, several at a time; programs are compiled once.

    Args:
      directory: The directory of the plan.
      plan: The plan.
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        jax.config.update("jax_enable_x64", True)  # the optimiser counts its steps in int64
        self._directory, self._plan = directory, plan
        self._loaded: dict[tuple[str, str, int], _Loaded] = {}
        self._data: dict[str, dict[str, Sessions]] = {}
        self._batches: dict[Any, tuple[list[Any], Sequence[int]]] = {}
        self._locks: dict[Any, threading.Lock] = collections.defaultdict(threading.Lock)

    def train(self, run: PlannedRun) -> Trained:
        """Train, choose the epoch by validation, refit if the settings say so, and test.

        Raises:
          ProgramError: A file is missing or damaged, or the loss is not finite.
        """
        train, validation, test = SPLITS
        training = run.config.training
        started = time.monotonic()
        history: list[dict[str, float]] = []
        state, best, chosen = self._initial(run, False), None, None
        for epoch, loss in self._epochs(run, state, train, training.epochs):
            found = means_of_ranks(self._ranks(run, state, validation), KS, ("recall", "mrr"))
            rate = training.learning_rate_at(epoch)
            if is_better(found, history, best):
                best = epoch
                chosen = None if training.refit else {k: jnp.copy(v) for k, v in state.items()}
            history.append({"loss": loss, "learning_rate": rate} | found)
            seconds = time.monotonic() - started
            text = f"{run.workdir} epoch {epoch + 1}, {seconds:.0f} s: {describe(history[-1])}"
            print(text, flush=True)
            if is_over(epoch + 1, best, training.epochs, training.patience):
                break
        assert best is not None
        results = selection_results(history, best, time.monotonic() - started)
        results["trained_on"] = "train"
        if training.refit:
            started = time.monotonic()
            chosen, refit = self._initial(run, True), []
            for epoch, loss in self._epochs(run, chosen, _FULL_TRAIN, best + 1):
                rate = training.learning_rate_at(epoch)
                refit.append({"loss": loss, "learning_rate": rate})
            results |= {"trained_on": _FULL_TRAIN, "refit_history": refit}
            results["refit_seconds"] = time.monotonic() - started
        assert chosen is not None
        ranks = self._ranks(run, chosen, test)
        results["test"] = means_of_ranks(ranks, KS, ("recall", "mrr"))
        print(f"{run.workdir} test: {describe(results['test'])}", flush=True)
        weights = {name: value for name, value in chosen.items() if is_variable(name)}
        return Trained(results, ranks, weights)

    def _initial(self, run: PlannedRun, is_refit: bool) -> State:
        lengths = self._plan.lengths(run.programs, TRAIN)
        program = self._plan.programs[run.programs, TRAIN, lengths[0]]
        state = initial_state(self._directory, run, program.arguments, is_refit)
        return {name: jax.device_put(array) for name, array in state.items()}

    def _epochs(
        self, run: PlannedRun, state: State, part: str, epochs: int
    ) -> Iterator[tuple[int, float]]:
        """Train epoch by epoch; yield the number of each and its mean loss."""
        training = run.config.training
        for epoch in range(epochs):
            rate = training.learning_rate_at(epoch)
            state["learning_rate"] = jax.device_put(np.float32(rate))
            batches, counts = self._epoch(run, part, epoch)
            losses = []
            for inputs in batches:
                length = inputs["items"].shape[1]
                losses.append(self._program(run.programs, TRAIN, length)(state, inputs))
            loss = float(np.average(np.array(jax.device_get(losses)), weights=counts))
            if not np.isfinite(loss):
                raise ProgramError(
                    f"the loss is {loss} in epoch {epoch + 1}: lower its learning_rate"
                )
            yield epoch, loss

    def _epoch(self, run: PlannedRun, part: str, epoch: int) -> tuple[list[Any], Sequence[int]]:
        """Return an epoch's batches, which runs of one seed share, and their sizes."""
        training = run.config.training
        size, seed = training.batch_size, training.seed
        lengths = tuple(self._plan.lengths(run.programs, TRAIN))
        key = run.data, part, size, seed, training.max_length, lengths, epoch

        def make() -> tuple[list[Any], Sequence[int]]:
            prefixes = Prefixes.from_sessions(self._sessions(run, part), training.max_length)
            noise = noise_seed(seed, epoch)
            order = prefixes.shuffled(size, seed, epoch)
            batches, counts = [], []
            for step, batch in enumerate(prefixes.batches(order, size)):
                counts.append(len(batch["target"]))
                inputs = _padded(batch, size, lengths)
                inputs["weight"] = (np.arange(size) < counts[-1]).astype(np.float32)
                inputs["seed"] = np.array([noise, step], np.int32)
                batches.append(jax.device_put(inputs))
            return batches, counts

        return self._shared(key, make)

    def _ranks(self, run: PlannedRun, state: State, part: str) -> Ranks:
        max_length, size = run.config.training.max_length, min(RANKED, run.config.data.items)
        lengths = tuple(self._plan.lengths(run.programs, RANK))
        prefixes = Prefixes.from_sessions(self._sessions(run, part), max_length)
        order = prefixes.by_length()

        def make() -> tuple[list[Any], Sequence[int]]:
            batches = prefixes.batches(order, size)
            return [jax.device_put(_padded(batch, size, lengths)) for batch in batches], ()

        found = []
        for inputs in self._shared((run.data, part, size, max_length, lengths), make)[0]:
            program = self._program(run.programs, RANK, inputs["items"].shape[1])
            found.append(program(state, inputs))
        ranks = np.empty(len(prefixes), np.int32)
        ranks[order] = np.concatenate(jax.device_get(found))[: len(prefixes)]
        return ranks

    def _shared(
        self, key: Any, make: Callable[[], tuple[list[Any], Sequence[int]]]
    ) -> tuple[list[Any], Sequence[int]]:
        """Return batches on the device, which one run makes and others of its data use too."""
        with self._locks[key]:
            found = self._batches.get(key) or make()
            self._batches[key] = found
        while len(self._batches) > _PASSES:
            self._batches.pop(next(iter(self._batches)), None)
        return found

    def _sessions(self, run: PlannedRun, part: str) -> Sessions:
        """Return the sessions of a part of the data, or of all of train."""
        with self._locks[run.data]:
            if run.data not in self._data:
                self._data[run.data] = read_sessions(self._directory / run.data)
        parts = self._data[run.data]
        if part == _FULL_TRAIN:
            return parts[SPLITS[0]] + parts[SPLITS[1]]
        return parts[part]

    def _program(self, family: str, kind: str, length: int) -> _Loaded:
        key = family, kind, length
        with self._locks[key]:
            if key not in self._loaded:
                program = self._plan.programs[key]
                executable = compile_module(self._directory / program.file)
                self._loaded[key] = _Loaded(program, executable)
        return self._loaded[key]


def _padded(
    batch: dict[str, npt.NDArray[np.int32]], size: int, lengths: Sequence[int]
) -> dict[str, Any]:
    """Pad a batch to a length that there is a program for, and fill it up with its first row."""
    items, target = batch["items"], batch["target"]
    length = min(each for each in lengths if each >= items.shape[1])
    items = np.pad(items, [(0, 0), (0, length - items.shape[1])])
    rows = np.where(np.arange(size) < len(target), np.arange(size), 0)
    return {"items": items[rows], "target": target[rows]}


def execute_runs(directory: Path, plan: Plan, output: Path, at_once: int) -> list[str]:
    """Train the runs of a plan, but for those that have results, and write the results.

    Args:
      directory: The directory of the plan.
      plan: The plan.
      output: Where two files are written for each, results and weights.
      at_once: Runs that are trained at a time.

    Returns:
      What went wrong, a sentence for each run that failed.
    """
    executor = Executor(directory, plan)
    output.mkdir(parents=True, exist_ok=True)

    def execute(number: int) -> str | None:
        path = output / f"{number}.npz"
        if path.exists():
            return None
        try:
            trained = executor.train(plan.runs[number])
        except (ProgramError, OSError, jax.errors.JaxRuntimeError) as error:
            return f"{plan.runs[number].workdir}: {' '.join(str(error).split())[:500]}"
        trained.write_weights(weights_path(output, number))
        trained.write(path)
        return None

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return [error for error in pool.map(execute, range(len(plan.runs))) if error]
