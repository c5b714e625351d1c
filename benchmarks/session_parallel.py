"""GRU4Rec trained session-parallel: `python -m benchmarks.session_parallel --data_dir DIR`."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.paper.session_parallel import SessionParallelSettings
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import read_sessions
from hln_tf.metrics.of_ranks import means_of_ranks

_DESCRIPTION = """\
Trains GRU4Rec as its authors did in 2016 (one-hot clicks, sessions side by side, the
gradient of one step, the other targets of the batch as negatives, TOP1), on train and
validation, and ranks the targets of the test part: over all of them, and over those on
items that train has, which public logs count. The row `gru4rec:paper` of
benchmarks.table1 is the same model on whole prefixes.

  python -m benchmarks.session_parallel --data_dir data/yoochoose64
"""


def main(arguments: Sequence[str]) -> None:
    """Train, rank and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    parser = cli.Parser(prog="python -m benchmarks.session_parallel", description=_DESCRIPTION)
    parser.add_argument("--data_dir", required=True, type=Path, help="a prepared data set")
    cli.add_settings(parser, SessionParallelSettings, "training")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(SessionParallelSettings, flags)
    manifest = Manifest.read(flags.data_dir)
    cli.import_tensorflow()
    from benchmarks.paper.session_parallel_gru import SessionParallelGRU

    train, validation, test = (
        read_sessions(flags.data_dir, split) for split in ("train", "validation", "test")
    )
    model = SessionParallelGRU(manifest.items, settings)
    losses = model.train(train + validation)
    ranks = model.ranks(Prefixes.from_sessions(test, int(test.lengths.max())))
    is_seen = np.isin(test.targets, (train + validation).items)
    rows: list[Sequence[str]] = [
        ("targets", "examples", "R@5", "R@10", "R@20", "MRR@5", "MRR@10", "MRR@20")
    ]
    for name, some in (("all", ranks), ("on items of train", ranks[is_seen])):
        values = means_of_ranks(some, (5, 10, 20), ("recall", "mrr")).values()
        rows.append((name, f"{len(some):,}", *(f"{100 * value:.2f}" for value in values)))
    print(f"{dataclasses.asdict(settings)}; loss {losses[0]:.4f} to {losses[-1]:.4f}\n")
    print(markdown(rows, texts=1))


if __name__ == "__main__":
    sys.exit(cli.run(main))
