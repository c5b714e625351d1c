"""Evaluation of the optimum on the test split of the prepared sample."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from beam_preprocess.sample.generator import CLICKS, read_process
from beam_preprocess.sample.optimum import PRUNE, Optimum
from beam_preprocess.sample.process import Process
from hln_tf.common import files
from hln_tf.common.cli import import_tensorflow
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.data.layout import Manifest, read_vocabulary
from hln_tf.training import CONFIG, METRICS

SESSIONS_AT_A_TIME = 128
PREPARE = (
    "prepare it again with python -m beam_preprocess --dataset sample "
    "--input {log} --output {data_dir} --overwrite"
)


@dataclasses.dataclass(frozen=True)
class OptimumSettings:
    """The settings of the optimum's evaluation."""

    raw_dir: str = setting("data/raw", "directory that holds the generated log's process")
    data_dir: str = setting("data/sample", "directory of the prepared data set")
    workdir: str = setting("runs/sample/optimum", f"directory to write {METRICS} to")
    prune: float = setting(
        PRUNE, "drop hypotheses below this share of the probability", minimum=0, below=1e-3
    )

    def __post_init__(self) -> None:
        checked(self)


def evaluate(settings: OptimumSettings) -> dict[str, Any]:
    """Rank the target of every test prefix by the optimum and write the metrics.

    Items that preprocessing dropped as rare are neither candidates nor in the
    prefixes; with the default settings there are none.

    Returns:
      The content of `metrics.json`.

    Raises:
      HlnError: The data set is missing or was not prepared from this sample.
    """
    workdir = Path(settings.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UsageError(f"--workdir {workdir} is a file, expected a directory")
    if (workdir / CONFIG).exists():
        raise UsageError(f"--workdir {workdir} holds a trained model's run: choose another one")
    process, checksum = read_process(settings.raw_dir)
    manifest = Manifest.read(settings.data_dir)
    if checksum not in [file.get("sha256") for file in manifest.inputs]:
        raise HlnError(
            f"{settings.data_dir} was not prepared from the log in {settings.raw_dir}: "
            + PREPARE.format(log=Path(settings.raw_dir) / CLICKS, data_dir=settings.data_dir)
        )
    candidates = match_items(process, read_vocabulary(settings.data_dir, manifest))
    import_tensorflow()
    from hln_tf.data.sessions import read_split

    test = read_split(settings.data_dir, "test")
    if not len(test):
        raise HlnError(f"the test part of {settings.data_dir} is empty: generate more sessions")
    sessions = np.split(test.items - 1, test.offsets[1:-1])
    ranked = rank_targets(Optimum(process, settings.prune), candidates, sessions)
    metrics = {
        "model": "optimum",
        "dataset": manifest.dataset,
        "trained_on": "the generator's own process",
        "test": {**ranked, "prefixes": test.prefixes},
    }
    files.write_json(workdir / METRICS, metrics)
    return metrics


def match_items(process: Process, vocabulary: list[str]) -> np.ndarray:
    """Find the process's item for each line of the vocabulary [vocabulary].

    Raises:
      HlnError: The vocabulary has an item that is not of this process.
    """
    items = {str(item_id): item for item, item_id in enumerate(process.item_ids.tolist())}
    unknown = [item_id for item_id in vocabulary if item_id not in items]
    if unknown:
        raise HlnError(
            f"the vocabulary holds item {unknown[0]!r}, which the sample's process does not have: "
            "generate the sample and prepare it again"
        )
    return np.array([items[item_id] for item_id in vocabulary], np.int64)


def rank_targets(
    optimum: Optimum, candidates: np.ndarray, sessions: list[np.ndarray]
) -> dict[str, float]:
    """Compute Recall@k and MRR@k of the next click after each click of each session.

    Args:
      optimum: The scorer.
      candidates: The process's item for each line of the vocabulary.
      sessions: Lines of the vocabulary, from 0, one array for each session.

    Returns:
      The metrics by name, as fractions of 1.
    """
    import tensorflow as tf

    from hln_tf.layers import target_ranks
    from hln_tf.metrics import FullCatalogueRanking

    ranking = FullCatalogueRanking()
    for first in range(0, len(sessions), SESSIONS_AT_A_TIME):
        batch = sessions[first : first + SESSIONS_AT_A_TIME]
        scores = [optimum.score_prefixes(candidates[session].tolist()) for session in batch]
        targets = np.concatenate([session[1:] for session in batch])
        in_vocabulary = tf.constant(np.concatenate(scores)[:, candidates])
        ranking.update_from_ranks(target_ranks(in_vocabulary, tf.constant(targets)))
    return ranking.results()
