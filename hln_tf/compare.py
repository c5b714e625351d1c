"""Paired comparison of runs on the same examples: `python -m hln_tf.compare RUN RUN...`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.common.files import as_location
from hln_tf.data.layout import SPLITS
from hln_tf.training.run_directory import RunDirectory, existing_run

_DESCRIPTION = """\
Compares runs with the first one, example by example: the difference of each metric with its
bootstrap interval over sessions, and a randomisation test corrected for all comparisons. Runs
that differ in the seed alone count as one model. Ranks are written to the run directories, as
by python -m hln_tf.evaluate --save_ranks, and read from there.

  python -m hln_tf.compare runs/sample/markov runs/sample/hln --slices --sessions 5
"""


def main(arguments: Sequence[str]) -> None:
    """Compare the given runs and print the tables."""
    parser = cli.Parser(prog="python -m hln_tf.compare", description=_DESCRIPTION)
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=existing_run,
        help="workdirs of finished runs, first the one to compare with",
    )
    add("--data_dir", type=as_location, help="prepared data set (default: the one of the training)")
    add("--split", choices=SPLITS, default="test", help="part to rank (default: %(default)s)")
    text = "also write the comparisons as PATH.csv and a picture of them as PATH.png and PATH.svg"
    add("--output", type=Path, metavar="PATH", help=text)
    from hln_tf.analysis.run_comparison import ComparisonSettings

    cli.add_settings(parser, ComparisonSettings, "the comparison")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(ComparisonSettings, flags)
    if len({run.resolve() for run in flags.runs}) < max(2, len(flags.runs)):
        raise UsageError("name two or more different workdirs to compare")
    if flags.output:
        cli.require_extra("plots", ["matplotlib"])
    runs = [RunDirectory(run) for run in flags.runs]
    directories = {run.path: run.data_dir(flags.data_dir) for run in runs}
    cli.import_tensorflow()
    from hln_tf.analysis import run_comparison
    from hln_tf.training.ranked_examples import rank_runs

    tables, sessions = rank_runs(directories, flags.split, settings.slice_by)
    systems = run_comparison.systems_of(flags.runs, tables)
    examples = tables[flags.runs[0]]
    print(f"{flags.split}: {len(examples):,} examples, metrics in percent\n")
    print(run_comparison.means_markdown(systems, settings.metrics))
    rows = run_comparison.compare_systems(systems, examples, settings)
    print(f"\n{run_comparison.comparison_markdown(rows, settings.level)}")
    if settings.sessions:
        ids = runs[0].vocabulary()
        found = run_comparison.largest_differences(
            systems, examples, sessions[runs[0].path], ids, settings.sessions
        )
        print(f"\n{found}")
    if flags.output:
        from hln_tf.analysis.pictures import draw_differences, save

        table = run_comparison.comparison_rows(rows, settings.level)
        for path in save(draw_differences(rows), table, flags.output):
            print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
