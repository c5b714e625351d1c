"""What the models of Table 1 take to recommend."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate
from benchmarks.prediction_times import BATCH_SIZES, Times
from benchmarks.settings import PredictionSettings
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import read_sessions
from hln_tf.layers.catalogue_scores import catalogue_top_k
from hln_tf.models.base import SessionEncoder, SessionScorer
from hln_tf.training.run_directory import RunDirectory

K = 20


def measure_prediction(
    runs: Sequence[Path], data_dir: Path, settings: PredictionSettings
) -> dict[Path, Times]:
    """Seconds for a session, of each run's model, which take turns in this process.

    The models recommend `K` of all items for the same test prefixes, drawn at
    random, alone and in batches.

    Args:
      runs: Workdirs of finished runs on the data set.
      data_dir: The data set.
      settings: How much is measured.
    """
    test = read_sessions(data_dir, "test")
    workdirs = [RunDirectory(run) for run in runs]
    top_of = {str(workdir.path): _recommend(workdir.model()) for workdir in workdirs}
    found: dict[Path, Times] = {run: {} for run in runs}
    counts = {"alone": settings.prediction_sessions, "batch": settings.prediction_batches}
    for name, size in BATCH_SIZES.items():
        contestants = {}
        for workdir in workdirs:
            prefixes = Prefixes.from_sessions(test, workdir.config().training.max_length)
            order = np.random.default_rng(0).choice(len(prefixes), counts[name] * size)
            batches = [batch["items"] for batch in prefixes.batches(order, size)]
            contestants[str(workdir.path)] = _over(batches, top_of[str(workdir.path)])
        taken = alternate(contestants, settings.prediction_rounds, f"prediction, {name}")
        for run in runs:
            sessions = counts[name] * size
            found[run][name] = [seconds / sessions for seconds in taken[str(run)]]
    return found


def _recommend(model: SessionScorer) -> Callable[[tf.Tensor], tf.Tensor]:
    k = min(K, model.num_items)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def top(items: tf.Tensor) -> tf.Tensor:
        if isinstance(model, SessionEncoder):
            return catalogue_top_k(model.encode(items), model.candidates(), k)[1]
        return tf.math.top_k(model.scores(items), k).indices

    return top


def _over(
    batches: Sequence[np.ndarray], top: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[], None]:
    def whole_round() -> None:
        for items in batches:
            top(items).numpy()

    return whole_round
