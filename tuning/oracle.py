"""Oracles, which choose the trials of a search, with a state that survives a kill.

They derive from `keras_tuner.Oracle` and override its public methods. A proposal is a
function of the seed, the number of the trial and the trials so far: there is no other
state, so a search that was killed and resumed proposes what it would have proposed.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from hln_tf.common import files
from hln_tf.training import OBJECTIVE
from tuning.plan import Plan
from tuning.stopping import is_stopped, record

RUNNING, IDLE, STOPPED = TrialStatus.RUNNING, TrialStatus.IDLE, TrialStatus.STOPPED


class SearchOracle(keras_tuner.Oracle):
    """Base class of the oracles of a search, which is random search.

    The first trial has the default values; with Hyperband it is the first of the
    first bracket, which starts with few epochs and is promoted if its score is
    good. No other trial has the values of an earlier one.

    The whole state is in one file, which is written atomically: KerasTuner's own
    files, one for each trial and one for the oracle, are overwritten one by one
    and may be inconsistent after a kill.

    Args:
      plan: The search.
      on_end: Called with each trial that has ended.

    Attributes:
      plan: The search.
      trials: The trials by id, which is their number in four digits.
      ongoing_trials: The running trials by worker.
      max_trials: Maximum number of trials.
      has_stopped: Whether it has answered a worker that no trial is left.
      error: The exception that prevented an answer to a worker, or None. From
        then on KerasTuner's lock is never released.
    """

    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    tuner_ids: set[str]
    has_stopped = False
    error: Exception | None = None

    def __init__(self, plan: Plan, on_end: Callable[[Trial], None] = lambda trial: None) -> None:
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            max_trials=plan.settings.max_trials,
            hyperparameters=plan.space.declared,
        )
        self.plan = plan
        self.verbose = 0
        self._on_end = on_end

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the values of a trial; see `keras_tuner.Oracle`.

        Args:
          trial_id: The trial.

        Returns:
          The `status` RUNNING and the `values`, or the status STOPPED if every trial
          was started, or no new point is left.
        """
        if len(self.trials) >= self.max_trials:
            return {"status": STOPPED}
        values = self.new_values(trial_id)
        return {"status": STOPPED} if values is None else {"status": RUNNING, "values": values}

    def new_values(self, trial_id: str) -> dict[str, Any] | None:
        """Return values that no trial has: the default ones first; None if none is left."""
        return self.propose(trial_id) if self.trials else self.plan.space.defaults()

    def propose(self, trial_id: str) -> dict[str, Any] | None:
        """Sample values that no trial has; None if none is found."""
        return self.plan.space.sample(self.random(trial_id), self.tried())

    def random(self, trial_id: str) -> np.random.Generator:
        """Return a trial's own source of randomness."""
        return np.random.default_rng([self.plan.base.training.seed, int(trial_id)])

    def tried(self) -> set[str]:
        """Return the keys of the points of all trials."""
        space = self.plan.space
        return {
            space.key(space.values(trial.hyperparameters.values)) for trial in self.trials.values()
        }

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Return the next trial, or the running trial of the worker with this id.

        If no new trial is left, workers stay idle until the running trials have
        ended: one of them may be requeued.
        """
        with self._recorded_error():
            if tuner_id in self.ongoing_trials:
                return self.ongoing_trials[tuner_id]
            self.tuner_ids.add(tuner_id)
            trial = self._waiting_trial() or self._new_trial()
            if trial.status == RUNNING:
                self.ongoing_trials[tuner_id] = trial
                self.save()
            elif self.ongoing_trials:
                trial.status = IDLE
            elif trial.status == STOPPED:
                self.tuner_ids.discard(tuner_id)
                self.has_stopped = True
            return trial

    def _waiting_trial(self) -> Trial | None:
        """Return the first trial that was started, has not ended and runs nowhere."""
        ongoing = {trial.trial_id for trial in self.ongoing_trials.values()}
        for trial_id in self.start_order:
            if trial_id not in ongoing and trial_id not in self.end_order:
                return self.trials[trial_id]
        return None

    def _new_trial(self) -> Trial:
        trial_id = f"{len(self.trials):04d}"
        response = self.populate_space(trial_id)
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.values = response.get("values", {})
        trial = Trial(hyperparameters, trial_id, response["status"])
        if trial.status == RUNNING:
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
        return trial

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Record a trial's metrics: of an epoch, the `step`, or those of its end.

        Returns:
          The trial; its status is STOPPED if it is to stop after this epoch.
        """
        with self._recorded_error():
            trial = self.trials[trial_id]
            answer = trial.status
            for name, value in metrics.items():
                if name == OBJECTIVE:
                    # Not among the trial's metrics: KerasTuner would not report a rerun's.
                    trial.score = value
                    continue
                record(trial, name, value, step)
                earlier = [self.trials[each] for each in self.end_order]
                if self.plan.settings.median_stopping and is_stopped(trial, name, step, earlier):
                    answer = STOPPED
            self.save()
            reported = Trial.from_state(trial.get_state())
            reported.status = answer
            return reported

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record the end of a trial, completed if it has a finite score and failed otherwise."""
        with self._recorded_error():
            known = self.trials[trial.trial_id]
            for tuner_id in [n for n, each in self.ongoing_trials.items() if each is known]:
                del self.ongoing_trials[tuner_id]
            # A worker that was lost may return and end a trial that another one has ended.
            is_new = known.trial_id not in self.end_order
            if is_new:
                has_score = known.score is not None and math.isfinite(known.score)
                is_complete = trial.status == TrialStatus.COMPLETED and has_score
                known.status = TrialStatus.COMPLETED if is_complete else TrialStatus.FAILED
                known.score = known.score if is_complete else None
                self.end_order.append(known.trial_id)
            self.save()
            if is_new:
                self._on_end(known)

    @keras_tuner.synchronized
    def requeue(self, tuner_id: str) -> Trial | None:
        """Take the running trial of a worker away, for the next worker, and return it."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is not None:
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
        """True if all trials have ended."""
        return len(self.end_order) == len(self.trials) >= self.max_trials

    def get_state(self) -> dict[str, Any]:
        """Return the state: the trials, their order, and the workers of those that run."""
        return {
            "trials": {name: trial.get_state() for name, trial in self.trials.items()},
            "start_order": self.start_order,
            "end_order": self.end_order,
            "ongoing_trials": {
                tuner_id: trial.trial_id for tuner_id, trial in self.ongoing_trials.items()
            },
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state that `get_state` returned."""
        self.trials = {name: Trial.from_state(each) for name, each in state["trials"].items()}
        self.start_order, self.end_order = state["start_order"], state["end_order"]
        self.ongoing_trials = {
            tuner_id: self.trials[trial_id]
            for tuner_id, trial_id in state["ongoing_trials"].items()
        }

    def save(self) -> None:
        """Write the state atomically."""
        files.write_json(self.plan.oracle, self.get_state())

    def reload(self) -> None:
        """Restore the state from its file if there is one; running trials stay assigned.

        Raises:
          HlnError: The file is damaged.
        """
        if self.plan.oracle.is_file():
            self.set_state(files.read_json(self.plan.oracle, "choose another `workdir`"))
