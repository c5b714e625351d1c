"""Metrics of a trained model: `python -m hln_tf.evaluate --workdir DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli
from hln_tf.common.errors import SettingError, UsageError
from hln_tf.data.layout import SPLITS
from hln_tf.training.run_directory import RunDirectory

KS = "5,10,20"


def main(arguments: Sequence[str]) -> None:
    """Rank a split's targets and print the metrics, of HLN also each group's retention."""
    parser = cli.Parser(prog="python -m hln_tf.evaluate", description=__doc__)
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="directory of a finished run")
    add("--data_dir", type=Path, help="prepared data set (default: the one of the training)")
    add("--split", choices=SPLITS, default="test", help="part to rank (default: %(default)s)")
    text = "leap gate of HLN instead of the one it was trained with"
    add("--inference_gate", choices=("hard", "expected", "sampled"), help=text)
    add("--k", default=KS, help="cut-offs, joined by commas (default: %(default)s)")
    text = "also divide the examples by popularity, length, repeats and time"
    add("--slices", action="store_true", help=text)
    text = "draw the slices by MRR at the largest cut-off as PATH.png and PATH.svg, with PATH.csv"
    add("--slices_picture", type=Path, metavar="PATH", help=text)
    text = (
        "also print coverage, concentration, popularity and novelty of what is recommended; takes "
        "160 MB for scores at least"
    )
    add("--beyond_accuracy", action="store_true", help=text)
    text = "write a row for each example to ranks-SPLIT.parquet in the workdir"
    add("--save_ranks", action="store_true", help=text)
    flags = parser.parse_args(arguments)
    ks = _cut_offs(flags.k)
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    changes = {"inference_gate": flags.inference_gate} if flags.inference_gate else {}
    if changes and not hasattr(config.model_settings, "inference_gate"):
        raise UsageError(f"--inference_gate does not apply to {config.model}: it has no leap gate")
    if changes and flags.save_ranks:
        raise UsageError(
            "--save_ranks goes without --inference_gate: the file has the ranks of the run itself"
        )
    if flags.slices_picture:
        cli.require_extra("plots", ["matplotlib"])
    data_dir = workdir.data_dir(flags.data_dir)
    cli.import_tensorflow()
    from hln_tf.analysis.ranked_examples import examples_table, write_examples
    from hln_tf.analysis.slices import slice_values, slices_markdown, slices_table
    from hln_tf.common.interrupt import StopOnSignal
    from hln_tf.data.prefixes import Prefixes
    from hln_tf.data.sessions import read_sessions
    from hln_tf.metrics import BeyondAccuracy, means_of_ranks
    from hln_tf.models.hln import HLN
    from hln_tf.training.evaluation import mean_retention
    from hln_tf.training.ranked_examples import rank_examples

    sessions = read_sessions(data_dir, flags.split)
    prefixes = Prefixes.from_sessions(sessions, config.training.max_length)
    batch_size = config.training.evaluation_batch_size
    model = workdir.model(**changes)
    counts = model.item_counts.numpy()
    lists = BeyondAccuracy(counts, ks) if flags.beyond_accuracy else None
    with StopOnSignal() as stop:
        ranks, scores = rank_examples(model, prefixes, batch_size, flags.split, stop, lists)
    print(f"{flags.split}: {len(prefixes)} prefixes, {config.data.items} items")
    for name, value in means_of_ranks(ranks, ks).items():
        print(f"{name:13} {100 * value:6.2f} %")
    if lists:
        for name, value in lists.results().items():
            print(f"{name:13} {value:.6g}")
    if isinstance(model, HLN):
        for group, mean in enumerate(mean_retention(model, prefixes, batch_size), start=1):
            print(f"group {group}: mean retention {100 * mean:.2f} %")
    table = examples_table(sessions, prefixes, ranks, scores, counts, workdir.vocabulary())
    if flags.slices:
        print(f"\n{slices_markdown(table, ks)}")
    if flags.slices_picture:
        from hln_tf.analysis.pictures import draw_slices, save

        metric = f"mrr@{max(ks)}"
        title = f"{workdir.path}, {flags.split}"
        figure = draw_slices(slice_values(table, metric), metric, title)
        for path in save(figure, slices_table(table, ks), flags.slices_picture):
            print(f"wrote {path}")
    if flags.save_ranks:
        path = workdir.ranks(flags.split)
        write_examples(path, table)
        print(f"wrote {path}")


def _cut_offs(text: str) -> list[int]:
    """Parse cut-offs.

    Raises:
      UsageError: They are no positive integers joined by commas.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part[:9]) for part in parts):
        raise SettingError("k", text, "positive whole numbers joined by commas, such as 1,5,20")
    return sorted({int(part) for part in parts})


if __name__ == "__main__":
    sys.exit(cli.run(main))
