"""KerasTuner tuner whose trials are runs of hln-tf."""

import time
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.src import config as keras_tuner_config

from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.training import OBJECTIVE
from tuning.oracle import SearchOracle
from tuning.plan import Plan
from tuning.trial import TrainFunction, TrialError, run_trial

IDLE_POLL_SECONDS = 0.5

# Otherwise it prints the traceback of each failed trial, which is in the trial's run directory.
keras_tuner_config.DEBUG = False


class FatalError(HlnError, keras_tuner.errors.FatalError):
    """An error that ends the search, not only a trial."""


class Tuner(keras_tuner.Tuner):
    """Tuner that runs the trials that an oracle chooses.

    Args:
      plan: The search.
      oracle: Chooses the trials. If the environment names a chief and this
        process is a worker, the chief's oracle is used instead.
      train: Trains a run in its run directory and returns its objective; None
        for a chief, which trains none.
      stop: Checked for a signal before each trial.
    """

    def __init__(
        self, plan: Plan, oracle: SearchOracle, train: TrainFunction | None, stop: StopOnSignal
    ) -> None:
        self._plan = plan
        self._train = train
        self._stop = stop
        self._is_idle = False
        super().__init__(
            oracle=oracle, directory=str(plan.workdir.parent), project_name=plan.workdir.name
        )

    def pre_create_trial(self) -> None:
        """Pause before the next request to an oracle that has no trial at the moment."""
        self._stop.check()
        if self._is_idle:
            time.sleep(IDLE_POLL_SECONDS)
        self._is_idle = True

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Run a trial, or resume it.

        Raises:
          FailedTrialError: The trial failed.
          FatalError: The trial cannot be run here.
        """
        self._is_idle = False
        hyperparameters = trial.hyperparameters.values
        assert self._train is not None, "a chief runs no trial"
        try:
            objective = run_trial(self._plan, trial.trial_id, hyperparameters, self._train)
        except TrialError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from None
        except HlnError as error:
            raise FatalError(str(error)) from None
        except OSError as error:
            raise FatalError(cli.describe_os_error(error)) from None
        return {OBJECTIVE: objective}

    def save(self) -> None:
        """Do nothing: the tuner has no state, and its oracle saves its own."""
