"""KerasTuner's oracles, which choose the trials, with a state that survives a kill."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from sklearn.exceptions import ConvergenceWarning

from hln_tf.common import files
from hln_tf.training import OBJECTIVE
from tuning.plan import Plan


class SearchOracle(keras_tuner.Oracle):
    """Base class of the oracles of a search.

    The first trial has the default values; with Hyperband it is the first of the
    first bracket, which starts with few epochs and is promoted if its score is
    good.

    The whole state is in one file, which is written atomically: KerasTuner's own
    files, one for each trial and one for the oracle, are overwritten one by one
    and may be inconsistent after a kill.

    Attributes:
      path: The file of the state.
      planned_trials: Maximum number of trials.
      has_stopped: Whether it has answered a worker that no trial is left.
      error: The exception that prevented an answer to a worker, or None. From
        then on KerasTuner's lock is never released.
      on_end: Called with each trial that has ended.
    """

    path: Path
    planned_trials: int
    ongoing_trials: dict[str, Trial]
    has_stopped = False
    error: Exception | None = None
    on_end: Callable[[Trial], None]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Return the next trial, or the running trial of the worker with this id.

        If no new trial is left, workers stay idle until the running trials have
        ended: one of them may be requeued.
        """
        with self._recorded_error():
            trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED:
            if self.ongoing_trials:
                trial.status = TrialStatus.IDLE
            else:
                self.has_stopped = True
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record the end of a trial."""
        with self._recorded_error():
            known = self.trials[trial.trial_id]
            # The values that another process sends were rounded to 32-bit floats.
            trial.hyperparameters = known.hyperparameters
            super().end_trial(trial)
            # A worker that was lost may return and end a trial that has been requeued.
            with contextlib.suppress(ValueError):
                self._retry_queue.remove(trial.trial_id)
            self.on_end(known)

    @keras_tuner.synchronized
    def requeue(self, tuner_id: str) -> Trial | None:
        """Move the running trial of a worker to the retry queue and return it."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is not None:
            self._retry_queue.append(trial.trial_id)
            self.save()
        return trial

    @contextlib.contextmanager
    def _recorded_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    @property
    def is_complete(self) -> bool:
        """True if all planned trials have ended."""
        remaining = self.ongoing_trials or self._retry_queue
        return not remaining and len(self.trials) >= self.planned_trials

    def _random_values(self) -> dict[str, Any] | None:
        if not self.trials:
            return {each.name: each.default for each in self.hyperparameters.space}
        return super()._random_values()

    def get_state(self) -> dict[str, Any]:
        """Return the state of the oracle and its trials."""
        trials = {name: trial.get_state() for name, trial in self.trials.items()}
        return {**super().get_state(), "trials": trials}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state that `get_state` returned."""
        self.trials = {name: Trial.from_state(each) for name, each in state["trials"].items()}
        super().set_state(state)
        # KerasTuner saves the state before it removes a trial that has ended from the ongoing ones.
        self.ongoing_trials = {
            tuner_id: trial
            for tuner_id, trial in self.ongoing_trials.items()
            if trial.status == TrialStatus.RUNNING
        }

    def save(self) -> None:
        """Write the state atomically."""
        files.write_json(self.path, self.get_state())

    def reload(self) -> None:
        """Restore the state from its file if there is one; running trials stay assigned.

        Raises:
          HlnError: The file is damaged.
        """
        if self.path.is_file():
            remedy = "choose another --workdir"
            self.set_state(files.read_json(self.path, remedy))

    def _save_trial(self, trial: Trial) -> None:
        """Do nothing: the state that `save` writes includes the trials."""


class RandomOracle(SearchOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(SearchOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation with a Gaussian process."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Sample the values of a trial, without the warnings of the Gaussian process' fit."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)


class HyperbandOracle(SearchOracle, keras_tuner.oracles.HyperbandOracle):
    """Hyperband: many trials of few epochs, of which the best are promoted to more epochs."""

    @property
    def planned_trials(self) -> int:  # type: ignore[override]
        """Number of trials in all rounds of all brackets."""
        brackets = range(self._get_num_brackets())
        rounds = [(bracket, each) for bracket in brackets for each in range(bracket + 1)]
        return self.hyperband_iterations * sum(self._get_size(*each) for each in rounds)


def create_oracle(plan: Plan, on_end: Callable[[Trial], None] = lambda trial: None) -> SearchOracle:
    """Create the oracle of a search and restore its state if there is one.

    Args:
      plan: The search.
      on_end: Called with each trial that has ended.

    Raises:
      HlnError: The file of the state is damaged.
    """
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "hyperparameters": plan.space.declare(),
        # KerasTuner replaces a seed of 0 by a random one.
        "seed": plan.base.training.seed or 2**32 - 1,
        # Failed trials never end a search.
        "max_consecutive_failed_trials": math.inf,
    }
    oracle: SearchOracle
    if plan.tuner == "hyperband":
        oracle = HyperbandOracle(
            max_epochs=plan.hyperband["max_epochs"],
            factor=plan.hyperband["factor"],
            hyperband_iterations=plan.hyperband["iterations"],
            **options,
        )
    else:
        assert plan.max_trials is not None
        options["max_trials"] = plan.max_trials
        if plan.tuner == "bayesian":
            # KerasTuner's default of 3 per hyperparameter would make a small search purely random.
            random_trials = min(3 * len(plan.space.hyperparameters), max(3, plan.max_trials // 3))
            oracle = BayesianOracle(num_initial_points=random_trials, **options)
        else:
            oracle = RandomOracle(**options)
        oracle.planned_trials = plan.max_trials
    oracle.on_end = on_end
    oracle.verbose = 0
    oracle.path = plan.oracle
    oracle.reload()
    return oracle
