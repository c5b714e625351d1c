"""Prediction latencies of Table 1, stored next to it. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.common.settings import checked, setting
from hln_tf.training import METRICS

FILE = "prediction.json"
BATCH_SIZES = {"alone": 1, "batch": 512}

# Seconds per session in each round, by the names of `BATCH_SIZES`.
Latencies = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class LatencySettings:
    """Amount of prediction that is measured for Table 1."""

    prediction_rounds: int = setting(
        5, "rounds of prediction; each measures every model once", minimum=1
    )
    prediction_sessions: int = setting(
        200, "sessions in a round that are predicted alone", minimum=1, maximum=1_000_000
    )
    prediction_batches: int = setting(
        4, "batches of 512 sessions in a round", minimum=1, maximum=10_000
    )

    def __post_init__(self) -> None:
        checked(self)


def store_latencies(
    output: Path, latencies: Mapping[Path, Latencies], settings: LatencySettings
) -> None:
    """Store the latencies of runs, with checksums of the runs' results.

    Args:
      output: The table's directory.
      latencies: The latencies by run directory, below `output`.
      settings: The settings of the measurement.
    """
    content = {
        "settings": dataclasses.asdict(settings),
        "runs": {
            str(run.relative_to(output)): {"of": files.sha256(run / METRICS), **of_run}
            for run, of_run in latencies.items()
        },
    }
    files.write_json(output / FILE, content)


def stored_latencies(
    output: Path, runs: Sequence[Path], settings: LatencySettings
) -> dict[Path, Latencies]:
    """Read the stored latencies of those runs that have not changed since.

    Args:
      output: The table's directory.
      runs: Run directories below `output`.
      settings: The settings of the measurement; latencies of other settings are ignored.

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
        raise HlnError(f"{output / FILE} has no prediction times: remove it") from None
