"""The record of a run for TensorBoard's HParams dashboard, which compares runs."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api, api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from hln_tf.analysis.comparison import NON_IDENTIFYING_SETTINGS
from hln_tf.common.interrupt import TrainingInterrupt
from hln_tf.training.run_config import RunConfig
from hln_tf.training.tensorboard import summary_writer

# A sibling of the trainings' event directories, not their parent: HParams would take each of
# their scalars for a metric of the run.
RESULTS = "results"


class HParamsLogger:
    """Logger of a run's settings and its final metrics, a context manager.

    A resumed run is recorded from scratch: TensorBoard uses the first of two
    recorded ends, so a run that failed and was then finished would remain a
    failed one.

    Args:
      directory: Directory of the event files; None to write none.
      config: The run's settings.
    """

    def __init__(self, directory: Path | None, config: RunConfig) -> None:
        self._config = config
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        self._writer = summary_writer(directory)

    def __enter__(self) -> "HParamsLogger":
        with self._writer.as_default():
            api.hparams(hyperparameters(self._config))
        self._writer.flush()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # An interrupted run has not ended: it can be resumed.
        if not isinstance(error, TrainingInterrupt | KeyboardInterrupt):
            status = api_pb2.STATUS_FAILURE if error else api_pb2.STATUS_SUCCESS
            ended = hparams_summary.session_end_pb(status)
            with self._writer.as_default(step=0):
                tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        self._writer.close()

    def metrics(self, split: str, metrics: Mapping[str, float]) -> None:
        """Log final metrics of a part of the data, as fractions of 1."""
        _write_metrics(self._writer, split, metrics)


def record_metrics(directory: Path, split: str, metrics: Mapping[str, float]) -> None:
    """Add final metrics to the record of a run; see `HParamsLogger`."""
    writer = summary_writer(directory)
    _write_metrics(writer, split, metrics)
    writer.close()


def _write_metrics(writer: Any, split: str, metrics: Mapping[str, float]) -> None:
    with writer.as_default(step=0):
        for name, value in metrics.items():
            tf.summary.scalar(f"{split}/{name}", value)


def hyperparameters(config: RunConfig) -> dict[str, bool | int | float | str]:
    """Return the settings that identify a run, by name."""
    settings = {
        **config.to_dict()["model_settings"],
        **config.to_dict()["training"],
    }
    identifying = {
        name: value for name, value in settings.items() if name not in NON_IDENTIFYING_SETTINGS
    }
    return {
        "model": config.model,
        "dataset": config.data.dataset,
        **identifying,
        "seed": config.training.seed,
    }
