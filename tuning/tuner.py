"""The KerasTuner tuner whose trials are runs."""

import time
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.src import config as keras_tuner_config

from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.training.trainer import OBJECTIVE
from tuning.oracle import SearchOracle
from tuning.plan import Plan
from tuning.trial import Train, TrialError, run_trial

SECONDS_BETWEEN_QUESTIONS = 0.5

# Else it prints the traceback of each trial that fails; the trial's workdir has it.
keras_tuner_config.DEBUG = False


class FatalError(HlnError, keras_tuner.errors.FatalError):
    """An error that ends the search, not a trial alone."""


class Tuner(keras_tuner.Tuner):
    """Runs the trials that an oracle chooses.

    Args:
      plan: The search.
      oracle: Chooses the trials. Where the environment names a chief and this
        process is a worker, the chief's oracle takes its place.
      train: Trains a run in its workdir and returns its objective; None for a
        chief, which trains none.
      stop: Says when to stop.
    """

    def __init__(
        self, plan: Plan, oracle: SearchOracle, train: Train | None, stop: StopOnSignal
    ) -> None:
        self._plan = plan
        self._train = train
        self._stop = stop
        self._is_idle = False
        super().__init__(
            oracle=oracle, directory=str(plan.workdir.parent), project_name=plan.workdir.name
        )

    def pre_create_trial(self) -> None:
        """Leaves time between questions to an oracle that has no trial for now."""
        self._stop.check()
        if self._is_idle:
            time.sleep(SECONDS_BETWEEN_QUESTIONS)
        self._is_idle = True

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains a trial, or what is left of it.

        Raises:
          FailedTrialError: The trial failed.
          FatalError: The trial cannot be run here.
        """
        self._is_idle = False
        drawn = trial.hyperparameters.values
        assert self._train is not None, "a chief runs no trial"
        try:
            return {OBJECTIVE: run_trial(self._plan, trial.trial_id, drawn, self._train)}
        except TrialError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from None
        except HlnError as error:
            raise FatalError(str(error)) from None
        except OSError as error:
            raise FatalError(cli.describe_os_error(error)) from None

    def save(self) -> None:
        """Nothing to do: a tuner has no state, and its oracle saves its own."""
