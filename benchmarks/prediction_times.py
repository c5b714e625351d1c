"""What prediction took, kept beside Table 1 as long as its runs stay. Imports no TensorFlow."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from benchmarks.settings import PredictionSettings
from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError
from hln_tf.training.run_directory import METRICS

FILE = "prediction.json"
BATCH_SIZES = {"alone": 1, "batch": 512}

# Seconds for a session in each round, by the names of `BATCH_SIZES`.
Times = dict[str, list[float]]


def prediction_times(
    output: Path, runs: Sequence[Path], data_dir: Path, settings: PredictionSettings
) -> dict[Path, Times]:
    """What each run's model takes for a session, measured where it is not known yet.

    Models that are compared are measured together, so a new one has all of them
    measured again.

    Args:
      output: The table's directory, where the times are kept.
      runs: Workdirs of finished runs below it.
      data_dir: The data set.
      settings: How much is measured.
    """
    known = known_times(output, runs, settings)
    if set(known) != set(runs):
        cli.import_tensorflow()
        from benchmarks.prediction import measure_prediction

        known = measure_prediction(runs, data_dir, settings)
        content = {
            "settings": dataclasses.asdict(settings),
            "runs": {
                str(run.relative_to(output)): {"of": files.sha256(run / METRICS), **times}
                for run, times in known.items()
            },
        }
        files.write_json(output / FILE, content)
    return known


def known_times(
    output: Path, runs: Sequence[Path], settings: PredictionSettings
) -> dict[Path, Times]:
    """What is kept of it: the times of those runs that are as they were then.

    Raises:
      HlnError: The file is damaged.
    """
    if not (output / FILE).is_file():
        return {}
    content = files.read_json(output / FILE, "remove it")
    try:
        if content["settings"] != dataclasses.asdict(settings):
            return {}
        entries = {run: content["runs"].get(str(run.relative_to(output))) for run in runs}
        return {
            run: {name: [float(value) for value in entry[name]] for name in BATCH_SIZES}
            for run, entry in entries.items()
            if entry and entry["of"] == files.sha256(run / METRICS)
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise HlnError(f"{output / FILE} holds no prediction times: remove it") from None
