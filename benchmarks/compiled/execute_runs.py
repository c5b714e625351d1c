"""Trainings under JAX's runtime, as `hln_tf.train` runs them: epochs, validation, refit, test."""

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    read_sessions,
)
from hln_tf.data.layout import SPLITS
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.metrics.of_ranks import means_of_ranks
from hln_tf.training.settings import OBJECTIVE

Ranks = npt.NDArray[np.int32]
State = dict[str, Any]
KS = (5, 10, 20)


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A program that is ready to run."""

    program: Program
    executable: Any

    def __call__(self, state: State, inputs: dict[str, Any]) -> Any:
        """Execute it, update the state, and return the first result."""
        given = state | inputs
        names = [argument.name for argument in self.program.arguments]
        results = self.executable.execute([given[name] for name in names])
        for output, result in zip(self.program.outputs, results, strict=True):
            if output.argument is not None:
                state[names[output.argument]] = result
        return results[0]


class Executor:
    """Executes the trainings of a plan; programs are compiled once.

    Args:
      directory: The directory of the plan.
      plan: The plan.
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        jax.config.update("jax_enable_x64", True)  # the optimiser counts its steps in int64
        self._directory, self._plan = directory, plan
        self._loaded: dict[tuple[str, str, int], _Loaded] = {}
        self._data: dict[str, dict[str, Sessions]] = {}

    def train(self, run: PlannedRun) -> tuple[dict[str, Any], Ranks]:
        """Train, choose the epoch by validation, refit if the settings say so, and test.

        Returns:
          Entries of `metrics.json`, see `hln_tf.training.run`, and the ranks of the
          test targets, int32 [examples].

        Raises:
          ProgramError: A file is missing or damaged, or the loss is not finite.
        """
        if run.data not in self._data:
            self._data[run.data] = read_sessions(self._directory / run.data)
        train, validation, test = (self._data[run.data][each] for each in SPLITS)
        training = run.config.training
        started = time.monotonic()
        state, history, best, chosen = self._initial(run, False), [], None, None
        for epoch, loss in self._epochs(run, state, train, training.epochs):
            found = means_of_ranks(self._ranks(run, state, validation), KS, ("recall", "mrr"))
            history.append({"loss": loss, "learning_rate": training.learning_rate_at(epoch)} | found)
            if best is None or found[OBJECTIVE] > history[best][OBJECTIVE]:
                best = epoch
                chosen = None if training.refit else {k: jnp.copy(v) for k, v in state.items()}
            seconds = time.monotonic() - started
            text = f"{run.workdir} epoch {epoch + 1}, {seconds:.0f} s: {_describe(history[-1])}"
            print(text, flush=True)
            if epoch - best >= training.patience:
                break
        assert best is not None
        results: dict[str, Any] = {
            "best_epoch": best + 1,
            "history": history,
            "validation": {name: value for name, value in history[best].items() if "@" in name},
            "trained_on": "train",
            "training_seconds": time.monotonic() - started,
        }
        if training.refit:
            started = time.monotonic()
            chosen, refit = self._initial(run, True), []
            for epoch, loss in self._epochs(run, chosen, train + validation, best + 1):
                rate = training.learning_rate_at(epoch)
                refit.append({"loss": loss, "learning_rate": rate})
            results |= {"trained_on": "train+validation", "refit_history": refit}
            results["refit_seconds"] = time.monotonic() - started
        assert chosen is not None
        ranks = self._ranks(run, chosen, test)
        results["test"] = means_of_ranks(ranks, KS, ("recall", "mrr"))
        print(f"{run.workdir} test: {_describe(results['test'])}", flush=True)
        return results, ranks

    def _initial(self, run: PlannedRun, is_refit: bool) -> State:
        lengths = self._plan.lengths(run.programs, TRAIN)
        program = self._plan.programs[run.programs, TRAIN, lengths[0]]
        state = initial_state(self._directory, run, program.arguments[4:], is_refit)
        return {name: jax.device_put(array) for name, array in state.items()}

    def _epochs(
        self, run: PlannedRun, state: State, sessions: Sessions, epochs: int
    ) -> Iterator[tuple[int, float]]:
        """Train epoch by epoch; yield the number of each and its mean loss."""
        training = run.config.training
        size, seed = training.batch_size, training.seed
        prefixes = Prefixes.from_sessions(sessions, training.max_length)
        for epoch in range(epochs):
            rate = training.learning_rate_at(epoch)
            state["learning_rate"] = jax.device_put(np.float32(rate))
            noise = np.random.SeedSequence([seed, epoch]).generate_state(1).view(np.int32)[0]
            order = prefixes.shuffled(size, seed, epoch)
            losses = []
            for step, batch in enumerate(prefixes.batches(order, size)):
                inputs = self._padded(run, TRAIN, batch, size)
                program = self._program(run.programs, TRAIN, inputs["items"].shape[1])
                inputs["weight"] = (np.arange(size) < len(batch["target"])).astype(np.float32)
                inputs["seed"] = np.array([noise, step], np.int32)
                losses.append(program(state, jax.device_put(inputs)))
            found = np.array(jax.device_get(losses))
            counts = np.full(len(found), size)
            counts[-1] = len(prefixes) - size * (len(found) - 1)
            loss = float(np.average(found, weights=counts))
            if not np.isfinite(loss):
                raise ProgramError(f"{run.workdir}: the loss is {loss} in epoch {epoch + 1}")
            yield epoch, loss

    def _ranks(self, run: PlannedRun, state: State, sessions: Sessions) -> Ranks:
        prefixes = Prefixes.from_sessions(sessions, run.config.training.max_length)
        order, size = prefixes.by_length(), min(RANKED, run.config.data.items)
        found = []
        for batch in prefixes.batches(order, size):
            inputs = self._padded(run, RANK, batch, size)
            program = self._program(run.programs, RANK, inputs["items"].shape[1])
            found.append(program(state, jax.device_put(inputs)))
        ranks = np.empty(len(prefixes), np.int32)
        ranks[order] = np.concatenate(jax.device_get(found))[: len(prefixes)]
        return ranks

    def _padded(
        self, run: PlannedRun, kind: str, batch: dict[str, npt.NDArray[np.int32]], size: int
    ) -> dict[str, Any]:
        """Pad a batch to a length that there is a program for, and fill it up with its first row."""
        items, target = batch["items"], batch["target"]
        length = min(
            each for each in self._plan.lengths(run.programs, kind) if each >= items.shape[1]
        )
        items = np.pad(items, [(0, 0), (0, length - items.shape[1])])
        rows = np.where(np.arange(size) < len(target), np.arange(size), 0)
        return {"items": items[rows], "target": target[rows]}

    def _program(self, family: str, kind: str, length: int) -> _Loaded:
        key = family, kind, length
        if key not in self._loaded:
            program = self._plan.programs[key]
            executable = compile_module(self._directory / program.file)
            self._loaded[key] = _Loaded(program, executable)
        return self._loaded[key]


def _describe(entry: dict[str, float]) -> str:
    loss = f"loss {entry['loss']:.4f}, " if "loss" in entry else ""
    return f"{loss}recall@20 {100 * entry['recall@20']:.2f} %, mrr@20 {100 * entry['mrr@20']:.2f} %"


def execute_runs(directory: Path, tasks: Any, output: Path) -> None:
    """Train runs of a plan, but for those that have results, and write the results.

    Args:
      directory: The directory of the plan.
      tasks: A queue of lists of runs, by their names, that ends with None.
      output: Where a file of results is written for each, NUMBER.npz.
    """
    plan = Plan.read(directory)
    executor = Executor(directory, plan)
    output.mkdir(parents=True, exist_ok=True)
    numbers = {run.workdir: number for number, run in enumerate(plan.runs)}
    device = jax.devices()[0]
    failed = []
    for workdir in itertools.chain.from_iterable(iter(tasks.get, None)):
        path = output / f"{numbers[workdir]}.npz"
        if path.exists():
            continue
        try:
            results, ranks = executor.train(plan.runs[numbers[workdir]])
        except ProgramError as error:
            failed.append(f"error: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
            continue
        results["device"] = f"{device.device_kind}, JAX {jax.__version__}"
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, ranks=ranks, results=json.dumps(results))
        temporary.replace(path)
    if failed:
        sys.exit(1)
