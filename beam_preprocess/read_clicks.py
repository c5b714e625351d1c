"""Reading of raw logs into one table in this process, for logs that are evaluated."""

import os
import sys
from collections.abc import Sequence

import pyarrow as pa

from beam_preprocess.format_detection import open_log
from beam_preprocess.read import find_files
from beam_preprocess.scan import add_row_counts, cut, scan
from beam_preprocess.settings import Settings, Work
from beam_preprocess.stats import check_rows
from hln_tf.common.cli import with_flags
from hln_tf.common.errors import HlnError


def read_clicks(inputs: Sequence[str | os.PathLike[str]], settings: Settings) -> pa.Table:
    """Read the well-formed clicks of raw logs.

    Args:
      inputs: Raw logs.
      settings: The format of the logs, and the largest share of malformed rows.

    Returns:
      Columns `session` and `item` (string) and `time` (timestamp, microseconds, UTC);
      the session is that of the log or, where it names users, the user.

    Raises:
      HlnError: A file cannot be used, or too many rows are malformed.
    """
    files = [open_log(file, settings.log_format) for file in find_files(inputs)]
    work = Work()
    counts, tables = [], []
    for part in cut(files, work.block_bytes):
        for of_block, _, clicks in scan(part, settings, work):
            counts.append(of_block)
            if clicks is not None:
                tables.append(clicks)
    rows = check_rows(add_row_counts(counts), files, settings)
    if rows.problem:
        raise HlnError(rows.problem)
    for warning in rows.warnings:
        print(f"warning: {with_flags(warning)}", file=sys.stderr)
    clicks = pa.concat_tables(tables)
    times = clicks["time"].cast(pa.timestamp("us", "UTC"))
    return pa.table({"session": clicks["session"], "time": times, "item": clicks["item"]})
