"""Tables of the ranked examples of runs, for what is computed from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hln_tf.analysis.ranked_examples import (
    KEYS,
    example_keys,
    examples_table,
    read_examples,
    with_extra,
    write_examples,
)
from hln_tf.common.files import Location
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.layout import Manifest, check_extra
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, read_sessions
from hln_tf.training.ranking import rank_examples
from hln_tf.training.run_directory import RunDirectory


def rank_runs(
    directories: Mapping[Path, Location], split: str, columns: Sequence[str] = ()
) -> tuple[dict[Path, pa.Table], dict[Path, Sessions]]:
    """Read the tables of ranked examples of runs, or rank them and write them.

    Args:
      directories: The data set directory of each run, by run directory.
      split: The part to rank.
      columns: Extra columns that the data sets must have.

    Returns:
      The tables, and the sessions that they are examples of, by run directory.

    Raises:
      HlnError: As for `ranked_examples`, or a data set is damaged.
      UsageError: A data set lacks an extra column.
      TrainingInterrupt: A signal arrived.
    """
    for directory in dict.fromkeys(directories.values()):
        check_extra(columns, Manifest.read(directory).extra_columns, str(directory))
    parts = {
        each: read_sessions(each, split, extra=True) for each in dict.fromkeys(directories.values())
    }
    sessions = {run: parts[directory] for run, directory in directories.items()}
    with StopOnSignal() as stop:
        tables = {
            run: ranked_examples(RunDirectory(run), split, of_run, stop)
            for run, of_run in sessions.items()
        }
    return tables, sessions


def ranked_examples(
    run: RunDirectory, split: str, sessions: Sessions, stop: StopOnSignal
) -> pa.Table:
    """Read a run's table of ranked examples, or rank them and write it.

    Args:
      run: A finished run.
      split: The part that the sessions are.
      sessions: The sessions.
      stop: Checked while examples are ranked.

    Raises:
      HlnError: The run is not finished, or the table is damaged.
      TrainingInterrupt: A signal arrived.
    """
    training = run.config().training
    prefixes = Prefixes.from_sessions(sessions, training.max_length)
    vocabulary = run.vocabulary()
    path = run.ranks(split)
    if path.exists():
        table = read_examples(path)
        if table.select(KEYS).equals(example_keys(sessions, prefixes, vocabulary)):
            return with_extra(table, sessions, prefixes)
    model = run.model()
    batch_size = training.evaluation_batch_size
    found = rank_examples(model, prefixes, batch_size, str(run.path), stop)
    table = examples_table(sessions, prefixes, *found, model.item_counts.numpy(), vocabulary)
    write_examples(path, table)
    return table
