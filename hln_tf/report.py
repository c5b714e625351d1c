"""Tables of results: `python -m hln_tf.report RUNS...`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hln_tf.analysis.comparison import mean_table, table
from hln_tf.common import cli, files
from hln_tf.common.errors import UsageError
from hln_tf.common.files import Location, as_location
from hln_tf.training.run_directory import RunDirectory, existing_run

if TYPE_CHECKING:
    from hln_tf.analysis.page import Section
    from hln_tf.data.sessions import Sessions

# Test sessions of the page whose groups are shown, and their clicks at least and at most.
_SHOWN = 3
_CLICKS = (4, 12)


def main(arguments: Sequence[str]) -> None:
    """Print a table of the given runs' results."""
    parser = cli.Parser(prog="python -m hln_tf.report", description=__doc__)
    add = parser.add_argument
    add("runs", nargs="+", type=existing_run, help="workdirs of finished runs")
    text = "one row for runs that differ in the seed alone: mean and standard deviation"
    add("--mean", action="store_true", help=text)
    text = "also write a page with data, settings, curves, intervals, slices, groups and cost"
    add("--html", type=Path, metavar="FILE", help=text)
    text = "prepared data set, for --html (default: the one of the training)"
    add("--data_dir", type=as_location, help=text)
    text = "extra columns of the data set by which the page divides the examples"
    add("--slice_by", nargs="+", metavar="COLUMN", default=[], help=text)
    flags = parser.parse_args(arguments)
    if flags.data_dir and not flags.html:
        raise UsageError("--data_dir goes with --html: the table needs no data set")
    if flags.slice_by and not flags.html:
        raise UsageError("--slice_by goes with --html: the table has no slices")
    rows = mean_table(flags.runs) if flags.mean else table(flags.runs)
    print(f"test metrics in percent, over the full catalogue\n\n{rows}")
    if flags.html:
        cli.require_extra("plots", ["matplotlib", "jinja2"])
        runs = list(dict.fromkeys(flags.runs))
        directories = {run: RunDirectory(run).data_dir(flags.data_dir) for run in runs}
        page = _page(runs, directories, flags.slice_by)
        with files.atomic_write(flags.html) as temporary:
            temporary.write_text(page, "utf-8")
        print(f"wrote {flags.html}")


def _page(
    runs: Sequence[Path], directories: Mapping[Path, Location], columns: Sequence[str]
) -> str:
    """Render the page of some runs.

    Args:
      runs: Directories of finished runs.
      directories: The data set of each.
      columns: Extra columns of the data set by which examples are divided.
    """
    cli.import_tensorflow()
    from hln_tf.analysis import run_page
    from hln_tf.analysis.page import render_page
    from hln_tf.training.ranked_examples import rank_runs

    tables, sessions = rank_runs(directories, "test", columns)
    sections = [
        run_page.metrics_section(runs, tables),
        run_page.comparison_section(runs, tables),
        run_page.slices_section(runs, tables, columns),
        run_page.curves_section(runs),
        _groups_section(sessions),
        run_page.data_section(list(directories.values())),
        run_page.settings_section(runs),
        run_page.cost_section(runs),
    ]
    return render_page(f"hln-tf: {', '.join(run.name for run in runs)}", sections)


def _groups_section(sessions: Mapping[Path, "Sessions"]) -> "Section":
    """Draw mean retention and some sessions' groups, of the runs whose models have groups."""
    from hln_tf.analysis.page import Section, picture_of
    from hln_tf.analysis.pictures import draw_retention, draw_session
    from hln_tf.analysis.retention import (
        LENGTH,
        compiled_retention,
        mean_by_position,
        retention_of_clicks,
    )
    from hln_tf.recommender import Recommender

    parts = []
    for run, of_run in sessions.items():
        recommender = Recommender.load(run)
        model, config = recommender.model, RunDirectory(run).config()
        if model.preferences is None:
            continue
        chosen = of_run.where(of_run.lengths == LENGTH)
        if len(chosen):
            retention = compiled_retention(model)
            of_clicks = retention_of_clicks(retention, chosen, config.training.max_length)
            title = f"{run}: {len(chosen):,} test sessions of {LENGTH} clicks"
            figure = draw_retention(mean_by_position(of_clicks, chosen, LENGTH), title)
            parts.append(picture_of(figure, f"retention {run}"))
        ids = RunDirectory(run).vocabulary()
        shown = of_run.where((of_run.lengths >= _CLICKS[0]) & (of_run.lengths <= _CLICKS[1]))
        examples = [
            [ids[item - 1] for item in shown.items[start:end]]
            for start, end in zip(shown.offsets[:_SHOWN], shown.offsets[1:], strict=False)
        ]
        for number, explanation in enumerate(recommender.explain(examples, 5), start=1):
            figure = draw_session(explanation, f"{run}: test session {number}")
            parts.append(picture_of(figure, f"session {number} {run}"))
    note = "Retention is the probability that a preference group does not leap over a click."
    return Section("Preference groups", parts, note)


if __name__ == "__main__":
    sys.exit(cli.run(main))
