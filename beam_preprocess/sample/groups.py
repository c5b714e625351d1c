"""Agreement of a trained model's preference groups with groups that are known."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from beam_preprocess.sample.evaluation import match_items
from beam_preprocess.sample.generator import NOISE, LogSettings, draw_log, read_process
from hln_tf.common.cli import import_tensorflow, require_extra
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.data.sessions import read_sessions
from hln_tf.training import RunDirectory

K = 20
# Clicks of a session that is plotted.
SHOWN = (8, 12)


@dataclasses.dataclass(frozen=True)
class GroupsSettings:
    """The settings of the comparison of preference groups."""

    workdir: str = setting("runs/sample/hln", "workdir of an HLN")
    raw_dir: str = setting("data/raw", "directory that holds the generated log's process")
    data_dir: str = setting(
        "", "instead of the process, a data set whose neighbouring test sessions are interleaved"
    )
    sessions: int = setting(2_000, "number of sessions, or of pairs of them", minimum=1)
    seed: int = setting(1, "seed of these sessions", minimum=0)
    picture: str = setting(
        "", "also draw a session's known and found groups, as PATH.png and PATH.svg"
    )

    def __post_init__(self) -> None:
        checked(self)


def compare_groups(settings: GroupsSettings) -> dict[str, float]:
    """Compute the mean adjusted Rand index per session of found and true groups.

    Each click that is not noise is assigned to the group with the highest
    retention. The true groups are those that the sample's process planted or, with
    `data_dir`, the two sessions of which one was interleaved.

    Returns:
      The index of the model, of the same groups shuffled among a session's clicks,
      and of an untrained model with the same settings; of interleaved sessions also
      that of halves by position, of 2-means of the item embeddings, and Recall and
      MRR of the next click at 20.

    Raises:
      HlnError: The model, the process or the data set is missing, or the model
        knows other items.
      UsageError: The model has no preference groups.
    """
    workdir = RunDirectory(Path(settings.workdir))
    config = workdir.config()
    if config.model != "hln":
        raise UsageError(f"`workdir` {settings.workdir} holds {config.model}, expected hln")
    if settings.data_dir:
        return _compare_pairs(settings, workdir)
    process, _ = read_process(settings.raw_dir)
    item_of_line = match_items(process, workdir.vocabulary())
    import_tensorflow()
    from hln_tf.analysis import NO_GROUP

    # The seed of the log is S and that of its sessions [S, 1]; these have another one.
    log = draw_log(process, LogSettings(sessions=settings.sessions), seed=2**31 + settings.seed)
    # Items that preprocessing dropped have the index of padding.
    item_index = np.zeros(process.items, np.int32)
    item_index[item_of_line] = np.arange(1, len(item_of_line) + 1)
    items = item_index[log.items]
    ends = np.cumsum(log.lengths)[:-1]
    sessions = np.split(items, ends)
    planted = np.split(np.where((items > 0) & (log.groups != NOISE), log.groups, NO_GROUP), ends)
    return _indices(settings, workdir, sessions, planted, np.random.default_rng(settings.seed))[0]


def _compare_pairs(settings: GroupsSettings, workdir: RunDirectory) -> dict[str, float]:
    """Compare groups with the sessions of interleaved pairs."""
    from hln_tf.analysis import clusters, halves, interleave_pairs, mean_index
    from hln_tf.training import evaluate_sessions

    import_tensorflow()
    config = workdir.config()
    rng = np.random.default_rng(settings.seed)
    test = read_sessions(Path(settings.data_dir), "test")
    if test.items.max() > config.data.items:
        raise UsageError(
            f"`data_dir` {settings.data_dir} has {test.items.max()} items and the model of "
            f"{settings.workdir} has {config.data.items}: name the data set of its training"
        )
    singles = np.split(test.items, test.offsets[1:-1])[: 2 * settings.sessions]
    sessions, truth = interleave_pairs(singles, rng)
    found, model = _indices(settings, workdir, sessions, truth, rng)
    found["halves"] = mean_index(truth, halves(sessions))
    embeddings = np.asarray(model.item_embeddings())
    found["2-means"] = mean_index(truth, clusters(sessions, embeddings, rng))
    metrics = evaluate_sessions(model, sessions, (K,), config.training.max_length, 512)
    return found | {name: metrics[name] for name in (f"recall@{K}", f"mrr@{K}")}


def _indices(
    settings: GroupsSettings,
    workdir: RunDirectory,
    sessions: list[Any],
    truth: list[Any],
    rng: np.random.Generator,
) -> tuple[dict[str, float], Any]:
    """Compute the indices of a run's model, of shuffled groups and of an untrained model.

    Draws the picture too, where it is asked for.
    """
    from hln_tf.analysis import mean_index, shuffled, strongest_groups

    model = workdir.model()
    groups = strongest_groups(model, sessions)
    found = {
        "trained": groups,
        "shuffled": shuffled(groups, rng),
        "untrained": strongest_groups(workdir.config().create_model(), sessions),
    }
    if settings.picture:
        _draw_example(settings, workdir, model, sessions, truth)
    return {name: mean_index(truth, each) for name, each in found.items()}, model


def _draw_example(
    settings: GroupsSettings,
    workdir: RunDirectory,
    model: Any,
    sessions: list[Any],
    truth: list[Any],
) -> None:
    """Draw the first session of a length that a picture can show and of several groups.

    Raises:
      UsageError: There is none.
    """
    require_extra("plots", ["matplotlib"])
    from hln_tf.analysis import draw_groups, save_picture

    chosen = [
        place
        for place, (items, groups) in enumerate(zip(sessions, truth, strict=True))
        if SHOWN[0] <= len(items) <= SHOWN[1] and np.all(items > 0) and len(np.unique(groups)) > 1
    ]
    if not chosen:
        raise UsageError(
            f"`sessions` is {settings.sessions}, among which there is none of {SHOWN[0]} to "
            f"{SHOWN[1]} clicks and several groups to draw: sample more"
        )
    items, vocabulary = sessions[chosen[0]], workdir.vocabulary()
    config = workdir.config()
    figure = draw_groups(
        [vocabulary[item - 1] for item in items],
        truth[chosen[0]],
        model.retention(items[None]).numpy()[0],
        f"Preference groups of one session: {config.model} on {config.data.dataset}",
    )
    for path in save_picture(figure, Path(settings.picture)):
        print(f"wrote {path}")
