"""KerasTuner tuners whose trials are runs of hln-tf."""

import dataclasses
import functools
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.models import SessionScorer
from hln_tf.training import OBJECTIVE, RunConfig
from tuning.chief import Chief, LostReportError
from tuning.oracle import SearchOracle
from tuning.oracles import create_oracle
from tuning.plan import Plan
from tuning.results import Results, print_progress
from tuning.stopping import epoch_metric, score_metric
from tuning.trial import TrainFunction, TrialError, run_trial

IDLE_POLL_SECONDS = 0.5


class FatalError(HlnError, keras_tuner.errors.FatalError):
    """An error that ends the search, not only a trial."""


class TrialTuner(keras_tuner.Tuner):
    """Tuner that runs the trials that an oracle chooses.

    Args:
      plan: The search.
      oracle: Chooses the trials. If the environment names a chief and this
        process is a worker, the chief's oracle is used instead.
      train: Trains a run in its run directory and returns its objective; None
        for a chief, which trains none.
      stop: Checked for a signal before each trial.
      chief: The chief, for a worker.
    """

    def __init__(
        self,
        plan: Plan,
        oracle: SearchOracle,
        train: TrainFunction | None,
        stop: StopOnSignal,
        chief: Chief | None = None,
    ) -> None:
        self.plan = plan
        self.train = train
        self.stop = stop
        self.chief = chief
        self._is_idle = False
        super().__init__(
            oracle=oracle, directory=str(plan.workdir.parent), project_name=plan.workdir.name
        )

    def pre_create_trial(self) -> None:
        """Pause before the next request to an oracle that has no trial at the moment."""
        self.stop.check()
        if self._is_idle:
            time.sleep(IDLE_POLL_SECONDS)
        self._is_idle = True
        self.await_chief()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Run a trial, or resume it.

        Returns:
          The objective, NaN for a trial that failed, which its oracle records; and
          the objective on each data set.

        Raises:
          FatalError: The trial cannot be run here.
        """
        self._is_idle = False
        assert self.train is not None, "a chief runs no trial"
        hyperparameters = trial.hyperparameters.values
        try:
            scores = run_trial(
                self.plan,
                trial.trial_id,
                hyperparameters,
                self.train,
                functools.partial(self.should_stop, trial.trial_id),
            )
        except TrialError:
            scores = [np.nan]
        except HlnError as error:
            raise FatalError(str(error)) from None
        except OSError as error:
            raise FatalError(cli.describe_os_error(error)) from None
        self.await_chief()
        parts = {score_metric(data): score for data, score in enumerate(scores)}
        # In a geometric mean the same relative gain counts the same on each data set.
        mean = float(np.prod(scores) ** (1 / len(scores)))
        return {OBJECTIVE: mean, **(parts if len(parts) > 1 else {})}

    def should_stop(self, trial_id: str, data: int, history: Sequence[Mapping[str, Any]]) -> bool:
        """Ask the oracle whether a trial stops after an epoch; without an answer it goes on.

        Args:
          trial_id: The trial.
          data: Index of the data set.
          history: The results of its epochs so far.
        """
        is_asked = self.plan.settings.median_stopping
        if not is_asked or (self.chief is not None and not self.chief.is_reachable()):
            return False
        metrics = {epoch_metric(data): history[-1][OBJECTIVE]}
        try:
            answer = self.oracle.update_trial(trial_id, metrics, step=len(history))
        except grpc.RpcError:
            return False
        return answer.status == TrialStatus.STOPPED

    def on_trial_end(self, trial: Trial) -> None:
        """Report the end of a trial to the oracle.

        Raises:
          LostReportError: The oracle has not received its result, because its process died.
          Exception: The oracle could not record it, such as an `OSError`.
        """
        if trial.status != TrialStatus.COMPLETED:
            raise getattr(self.oracle, "error", None) or LostReportError
        self.await_chief()
        super().on_trial_end(trial)

    def await_chief(self) -> None:
        """Wait for the chief, if there is one, before a request.

        Raises:
          FatalError: It does not answer within its timeout.
        """
        if self.chief is not None:
            try:
                self.chief.wait(self.stop.check)
            except HlnError as error:
                raise FatalError(str(error)) from None

    def save(self) -> None:
        """Do nothing: the tuner has no state, and its oracle saves its own."""


class Tuner(TrialTuner):
    """Tuner of a search by this process alone, see `tuning.search`.

    Its verbs are KerasTuner's; `oracle.max_trials` may be raised to search on.

    Args:
      plan: The search.
      train: Trains a run in its run directory and returns its objective.
      stop: Interrupts a training at a signal.
    """

    # Removes the directory of a search that has none of its own, together with it.
    temporary: tempfile.TemporaryDirectory[str] | None = None

    def __init__(self, plan: Plan, train: TrainFunction, stop: StopOnSignal) -> None:
        oracle = create_oracle(plan, lambda trial: print_progress(oracle, trial))
        super().__init__(plan, oracle, train, stop)

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Run the trials that are left, and write the results.

        Raises:
          TrainingInterrupt: A signal arrived; the search resumes when it is called again.
          HlnError: The directory contains another search, another process searches
            there, or no trial has a score.
        """
        with self.plan.locked(), self.stop:
            self.oracle.reload()  # another process may have searched here
            for worker in list(self.oracle.ongoing_trials):
                self.oracle.requeue(worker)
            super().search(verbose=0)
            self.results.write()

    @property
    def results(self) -> Results:
        """The results of the trials that have ended."""
        return Results.from_oracle(self.oracle)

    def results_summary(self, num_trials: int = 10) -> None:
        """Print the table of the best trials, and those that failed.

        Args:
          num_trials: Number of trials.

        Raises:
          HlnError: No trial has a score.
        """
        print(self.results.describe(num_trials))

    def load_model(self, trial: Trial) -> SessionScorer:
        """Load the model of a trial with the weights of its best epoch, as `get_best_models` does.

        Raises:
          HlnError: The trial has no weights: its model counts, or it has failed.
        """
        run = self.plan.run_directories(trial.trial_id)[0]
        model = run.config().create_model()
        model(np.zeros([1, 1], np.int32))
        if not run.weights_of(model).restore(is_whole=True):
            raise HlnError(f"{run.path} has no weights: fit its config by hln_tf.train")
        return model

    @property
    def best_config(self) -> RunConfig:
        """The configuration of the best trial; raises an `HlnError` if none has a score."""
        return self.results.best_config

    @property
    def best_settings(self) -> dict[str, Any]:
        """The model's name and all settings of the best trial, for `hln_tf.Recommender.fit`."""
        config = self.best_config
        training = dataclasses.asdict(config.training)
        del training["refit"]  # an argument of `fit` with a default of its own
        return {"model": config.model, **dataclasses.asdict(config.model_settings), **training}
