"""Agreement of a trained model's preference groups with the sample's planted ones."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from beam_preprocess.sample.evaluation import match_items
from beam_preprocess.sample.generator import NOISE, LogSettings, draw_log, read_process
from hln_tf.common.cli import import_tensorflow
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.training import RunDirectory

SESSIONS_AT_A_TIME = 512


@dataclasses.dataclass(frozen=True)
class GroupsSettings:
    """The settings of the comparison of preference groups."""

    workdir: str = setting("runs/sample/hln", "workdir of an HLN trained on the sample")
    raw_dir: str = setting("data/raw", "directory that holds the generated log's process")
    sessions: int = setting(2_000, "number of sessions to sample from the process", minimum=1)
    seed: int = setting(1, "seed of these sessions", minimum=0)

    def __post_init__(self) -> None:
        checked(self)


def compare_groups(settings: GroupsSettings) -> dict[str, float]:
    """Compute the mean adjusted Rand index per session of found and planted groups.

    Each click that is not noise is assigned to the group with the highest retention.
    Sessions whose clicks are all of one planted group are left out: their index is
    not informative.

    Returns:
      The index of the model, of the same groups shuffled among a session's
      clicks, and of an untrained model with the same settings.

    Raises:
      HlnError: The model or the process is missing, or the model knows other items.
      UsageError: The model has no preference groups.
    """
    workdir = RunDirectory(Path(settings.workdir))
    config = workdir.config()
    if config.model != "hln":
        raise UsageError(f"--workdir {settings.workdir} holds {config.model}, expected hln")
    process, _ = read_process(settings.raw_dir)
    item_of_line = match_items(process, workdir.vocabulary())
    import_tensorflow()

    # The seed of the log is S and that of its sessions [S, 1]; these have another one.
    log = draw_log(process, LogSettings(sessions=settings.sessions), seed=2**31 + settings.seed)
    # Items that preprocessing dropped have the index of padding.
    item_index = np.zeros(process.items, np.int32)
    item_index[item_of_line] = np.arange(1, len(item_of_line) + 1)
    items = item_index[log.items]
    ends = np.cumsum(log.lengths)[:-1]
    sessions = np.split(items, ends)
    planted = np.split(np.where(items > 0, log.groups, NOISE), ends)
    untrained = config.create_model()
    rng = np.random.default_rng(settings.seed)
    found = {"trained": strongest_groups(workdir.model(), sessions)}
    found["shuffled"] = [rng.permutation(groups) for groups in found["trained"]]
    found["untrained"] = strongest_groups(untrained, sessions)
    return {name: mean_index(planted, groups) for name, groups in found.items()}


def strongest_groups(model: Any, sessions: list[np.ndarray]) -> list[np.ndarray]:
    """Find the group with the highest retention of each click, [clicks] for each session."""
    import tensorflow as tf

    groups = []
    for first in range(0, len(sessions), SESSIONS_AT_A_TIME):
        batch = sessions[first : first + SESSIONS_AT_A_TIME]
        items = tf.ragged.constant(batch, tf.int32, ragged_rank=1).to_tensor()
        strongest = model.retention(items).numpy().argmax(axis=1)
        groups += [row[: len(session)] for row, session in zip(strongest, batch, strict=True)]
    return groups


def mean_index(planted: list[np.ndarray], found: list[np.ndarray]) -> float:
    """Average the adjusted Rand index over sessions with clicks of two or more planted groups."""
    indices = []
    for truth, guess in zip(planted, found, strict=True):
        signal = truth != NOISE
        if len(set(truth[signal])) > 1:
            indices.append(adjusted_rand_index(truth[signal], guess[signal]))
    return float(np.mean(indices)) if indices else float("nan")


def adjusted_rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the agreement of two groupings, 1 where they are equal and 0 by chance.

    Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985.

    Args:
      first: Group of each element [elements].
      second: The same of the other grouping.
    """
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)

    def pairs(counts: np.ndarray) -> float:
        return float(np.sum(counts * (counts - 1)) / 2)

    together = pairs(table)
    of_first, of_second = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    all_pairs = pairs(np.array([len(first)]))
    expected, most = of_first * of_second / all_pairs, (of_first + of_second) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)
