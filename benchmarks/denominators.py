"""Runs over all test targets, and as public logs count: `python -m benchmarks.denominators RUN`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.common.files import Location
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.metrics.of_ranks import means_of_ranks, metric_names
from hln_tf.training.run_directory import RunDirectory

_DESCRIPTION = """\
Ranks the test targets of finished runs three times: all of them among all items, as this
package does; those on items that the model was trained on, among all items; and these
among the items that it was trained on, as public logs of a slice of Yoochoose do, whose
data lack the other items.

  python -m benchmarks.denominators runs/yoochoose64/stamp --data_dir data/yoochoose64
"""
_KS, _MEASURES = (5, 10, 20), ("recall", "mrr")


def main(arguments: Sequence[str]) -> None:
    """Rank the targets of each run and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: A run or its data set is unusable.
    """
    parser = cli.Parser(prog="python -m benchmarks.denominators", description=_DESCRIPTION)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    parser.add_argument("--data_dir", type=Path, help="their data set; by default each run's own")
    flags = parser.parse_args(arguments)
    names = metric_names(_KS, _MEASURES)
    rows: list[Sequence[str]] = [("run", "targets", "candidates", "examples", *names)]
    cli.import_tensorflow()
    for path in flags.runs:
        run = RunDirectory(path)
        for what, ranks in ranks_by_denominator(run, run.data_dir(flags.data_dir)).items():
            means = means_of_ranks(ranks, _KS, _MEASURES)
            values = [f"{100 * means[name]:.2f}" for name in names]
            rows.append((str(path), *what, f"{len(ranks):,}", *values))
    print(markdown(rows, texts=3))


def ranks_by_denominator(
    run: RunDirectory, data_dir: Location
) -> dict[tuple[str, str], npt.NDArray[np.int32]]:
    """Rank a run's test targets.

    Args:
      run: A finished run.
      data_dir: Its data set.

    Returns:
      The ranks from 1 by which targets count and which items are candidates.
    """
    import tensorflow as tf

    from hln_tf.layers.catalogue_scores import target_ranks
    from hln_tf.training.ranking import batches_by_length

    model, config = run.model(), run.config().training
    of_train: Sessions = read_sessions(data_dir, "train")
    if (run.metrics() or {})["trained_on"] == "train+validation":
        of_train += read_sessions(data_dir, "validation")
    prefixes = Prefixes.from_sessions(read_sessions(data_dir, "test"), config.max_length)
    seen = np.unique(of_train.items)
    is_seen = np.isin(prefixes.items[prefixes.targets], seen)
    place = np.searchsorted(seen, prefixes.items[prefixes.targets])
    among_all, among_seen = np.empty([2, len(prefixes)], np.int32)
    for chosen, batch in batches_by_length(prefixes, config.evaluation_batch_size, "ranking"):
        among_all[chosen] = model.compiled_rank_targets(batch["items"], batch["target"])[0]
        scores = tf.gather(model(batch["items"]), seen - 1, axis=1)
        among_seen[chosen] = target_ranks(scores, np.minimum(place[chosen], len(seen) - 1))
    return {
        ("all", "all"): among_all,
        ("on items of train", "all"): among_all[is_seen],
        ("on items of train", "items of train"): among_seen[is_seen],
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
