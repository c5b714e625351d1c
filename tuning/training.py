"""The training of a trial's run."""

import gc
from typing import Any

from hln_tf.common.errors import HlnError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.dataset import SessionDataset
from hln_tf.training import OBJECTIVE, RunConfig, RunDirectory, TensorBoardSettings
from tuning.plan import Plan
from tuning.trial import ShouldStop, TrainFunction


def trainer(plan: Plan, stop: StopOnSignal, tensorboard: TensorBoardSettings) -> TrainFunction:
    """Return a function that trains a run of the search and returns its validation MRR@20.

    Args:
      plan: The search, whose data sets are read.
      stop: Interrupts the training at a signal.
      tensorboard: TensorBoard settings of each run.

    Raises:
      HlnError: A data set is damaged, or has nothing to train on or to validate by.
    """
    import tensorflow as tf
    import tf_keras as keras

    from hln_tf.training import Run

    tf.get_logger().setLevel("ERROR")  # Otherwise it warns of the retracing in each trial.
    for dataset in plan.datasets:
        for part in ("train", "validation"):
            if dataset.split(part).prefixes < 1:
                raise HlnError(
                    f"the {part} part of {dataset.name} has no session of two or more clicks: "
                    f"prepare it from more clicks"
                )

    def train_run(
        config: RunConfig, directory: RunDirectory, dataset: SessionDataset, should_stop: ShouldStop
    ) -> float:
        try:
            run: Any = Run(
                config, directory, tensorboard=tensorboard, stop=stop, should_stop=should_stop
            )
            fitted = run.fit(dataset.split("train"), dataset.split("validation"))
            return float(fitted.results["validation"][OBJECTIVE])
        finally:
            # Free the trial's model and graphs before those of the next trial are built.
            keras.backend.clear_session()
            gc.collect()

    return train_run
