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
from hln_tf.training.trainer import OBJECTIVE
from tuning.plan import Plan


class SearchOracle(keras_tuner.Oracle):
    """What the oracles of a search share.

    The first trial has the defaults; with Hyperband it is the first of the first
    bracket, which begins with few epochs and goes on if it is good.

    All that is known is in one file, which is replaced as a whole: KerasTuner's
    own files, one for each trial and one for the oracle, are rewritten in place
    and may disagree after a kill.

    Attributes:
      planned: Number of trials at most.
      has_ended: Whether it has told a worker that nothing is left to do.
      broken: The error that kept it from answering a worker, or None. It holds
        KerasTuner's lock from then on.
      on_end: Called with each trial that has ended.
    """

    planned: int
    ongoing_trials: dict[str, Trial]
    has_ended = False
    broken: Exception | None = None
    on_end: Callable[[Trial], None]

    @property
    def path(self) -> Path:
        """The file of the state."""
        return Path(self._get_oracle_fname())

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial, or that under way at the worker of this id.

        Where nothing is left to begin, workers wait for the trials under way:
        one of them may be given up and left to others.
        """
        with self._breaking():
            trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED:
            if self.ongoing_trials:
                trial.status = TrialStatus.IDLE
            else:
                self.has_ended = True
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes down how a trial ended."""
        with self._breaking():
            known = self.trials[trial.trial_id]
            # What comes from another process was rounded on its way.
            trial.hyperparameters = known.hyperparameters
            super().end_trial(trial)
            # A worker that was given up may come back and end the trial that waits for another.
            with contextlib.suppress(ValueError):
                self._retry_queue.remove(trial.trial_id)
            self.on_end(known)

    @keras_tuner.synchronized
    def put_back(self, tuner_id: str) -> Trial | None:
        """Leaves the trial that is under way at a worker to others; returns it."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is not None:
            self._retry_queue.append(trial.trial_id)
            self.save()
        return trial

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.broken = error
            raise

    @property
    def is_complete(self) -> bool:
        """Whether all trials that are planned have ended."""
        waiting = self.ongoing_trials or self._retry_queue
        return not waiting and len(self.trials) >= self.planned

    def _random_values(self) -> dict[str, Any] | None:
        if not self.trials:
            return {each.name: each.default for each in self.hyperparameters.space}
        return super()._random_values()

    def get_state(self) -> dict[str, Any]:
        """The oracle's state with its trials."""
        trials = {name: trial.get_state() for name, trial in self.trials.items()}
        return {**super().get_state(), "trials": trials}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave."""
        self.trials = {name: Trial.from_state(each) for name, each in state["trials"].items()}
        super().set_state(state)
        # KerasTuner saves before it forgets that an ended trial was under way.
        self.ongoing_trials = {
            tuner_id: trial
            for tuner_id, trial in self.ongoing_trials.items()
            if trial.status == TrialStatus.RUNNING
        }

    def save(self) -> None:
        """Saves the state, whole or not at all."""
        files.write_json(self.path, self.get_state())

    def reload(self) -> None:
        """Takes up the saved state, where there is one; trials under way stay so.

        Raises:
          HlnError: It is damaged.
        """
        if self.path.is_file():
            remedy = "choose another --workdir"
            self.set_state(files.read_json(self.path, remedy))

    def _save_trial(self, trial: Trial) -> None:
        """Nothing to do: `save` follows wherever it matters."""


class RandomOracle(SearchOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(SearchOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process that says where the most is to be hoped for."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Chooses a trial; what the process says of its own fit is of no use to the user."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)


class HyperbandOracle(SearchOracle, keras_tuner.oracles.HyperbandOracle):
    """Many trials of few epochs, of which the best go on."""

    @property
    def planned(self) -> int:  # type: ignore[override]
        """Trials of all rounds of all brackets."""
        brackets = range(self._get_num_brackets())
        rounds = [(bracket, each) for bracket in brackets for each in range(bracket + 1)]
        return self.hyperband_iterations * sum(self._get_size(*each) for each in rounds)


def create(plan: Plan, on_end: Callable[[Trial], None] = lambda trial: None) -> SearchOracle:
    """The oracle of a search, as its saved state left it.

    Args:
      plan: The search.
      on_end: Called with each trial that has ended.

    Raises:
      HlnError: The saved state is damaged.
    """
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "hyperparameters": plan.space.declare(),
        "seed": plan.base.training.seed or 2**32 - 1,  # KerasTuner draws one in place of 0.
        # A search goes on however many trials fail.
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
            # KerasTuner's own 3 for each hyperparameter would leave small searches no other.
            random_trials = min(3 * len(plan.space.hyperparameters), max(3, plan.max_trials // 3))
            oracle = BayesianOracle(num_initial_points=random_trials, **options)
        else:
            oracle = RandomOracle(**options)
        oracle.planned = plan.max_trials
    oracle.on_end = on_end
    oracle.verbose = 0
    oracle._set_project_dir(str(plan.workdir.parent), plan.workdir.name)
    oracle.reload()
    return oracle
